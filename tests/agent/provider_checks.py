"""What a provider verifies, written from docs/approval.md and docs/sim-agent-api.yaml and from nothing of the agent's.

JWS and JWE by joserfc, canonical JSON by the standard library (all texts here have member names in ASCII), the text
shown by a second reading of the templates.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

TEMPLATES: dict[str, Any] = json.loads(
    (files("sim_applet_tools.agent") / "texts" / "consent.json").read_text(encoding="utf-8")
)
FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")


class RefusedError(Exception):
    """A check failed; `code` as in the agent API."""

    def __init__(self, status: int, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.more = more


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jcs(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def text_shown(request: dict[str, Any], record: dict[str, Any], kind: str, language: str) -> str:
    """Docs/approval.md, "Text shown"."""
    words = TEMPLATES[language]
    host = re.sub(r"^https://([^/:?#]+).*$", r"\1", request["redirect_uri"])
    covering = sorted((d for d in record["verified_domains"] if ("." + host).endswith("." + d)), key=len)
    values = {
        "app": record["name"],
        "member": record["member_name"],
        "domain": covering[-1] if covering else record["verified_domains"][0],
    }

    def line(template: str, **more: str) -> str:
        parts = re.split(r"\{([a-z]+)\}", words[template])
        return "".join(part if index % 2 == 0 else {**values, **more}[part] for index, part in enumerate(parts))

    out = [line("asks" if kind == "login" else "asks_grant"), line("admitted")]
    if request["purpose"]:
        out.append(line("purpose", purpose=request["purpose"]))
    out.append(line("items" if request["items"] else "no_items"))
    for item in request["items"]:
        name = words["claims"].get(item["name"], item["name"])
        if item["purpose"]:
            out.append(line("item", label=name, purpose=item["purpose"]))
        else:
            out.append(line("item_without_purpose", label=name))
    out.extend(line("detail", detail=jcs(detail).decode()) for detail in request["authorization_details"])
    if request["grant_expires_at"] == 0:
        out.append(line("grant_once"))
    else:
        until = datetime.fromtimestamp(request["grant_expires_at"], UTC)
        out.append(line("grant_until", time=f"{until:%Y-%m-%d %H:%M} UTC"))
    if request["sso_seconds"]:
        out.append(line("sso", seconds=str(request["sso_seconds"])))
    return "\n".join(out)


def context_of(challenge: dict[str, Any], granted: list[str], refused: list[str], code: str) -> dict[str, Any]:
    """The context from the provider's own request; of the agent's only what was granted and refused."""
    request, app = challenge["request"], challenge["app"]
    names = [item["name"] for item in request["items"]]
    if sorted(granted + refused) != names or granted != sorted(granted) or refused != sorted(refused):
        raise RefusedError(400, "context-mismatch")
    record = json.loads(unb64(app.split(".")[1]))
    shown = text_shown(request, record, challenge["kind"], challenge["language"])
    same = ("acr", "authorization_details", "client_id", "code_challenge", "grant_expires_at", "nonce", "purpose")
    return {
        **{name: request[name] for name in (*same, "redirect_uri", "scope", "sso_seconds")},
        "app_record": b64(sha256(app.rsplit(".", 1)[0].encode())),
        "claims_granted": granted,
        "claims_refused": refused,
        "claims_requested": request["items"],
        "code": code,
        "kind": challenge["kind"],
        "language": challenge["language"],
        "mode": challenge["mode"],
        "session": challenge["session"]["digest"],
        "sub": challenge["sub"],
        "text_digest": b64(sha256(shown.encode())),
    }


def ctx_of(challenge: dict[str, Any], context: dict[str, Any]) -> str:
    return b64(sha256(unb64(challenge["ctx_salt"]) + jcs(context)))


def leaf_of(challenge: dict[str, Any]) -> str:
    request = challenge["request"]
    parts = b"".join(sha256(text.encode()) for text in (request["client_id"], challenge["sub"], request["nonce"]))
    return b64(sha256(b"tally-leaf-1" + unb64(challenge["leaf_salt"]) + parts))


def card_claims(text: str, typ: str, names: set[str]) -> dict[str, Any]:
    """Header exactly as the card's texts have it, payload with exactly these members, in JCS form."""
    if not isinstance(text, str) or len(text) > 4096 or not FORM.fullmatch(text):
        raise RefusedError(400, "malformed-approval")
    header, payload, _ = text.split(".")
    if unb64(header) != f'{{"alg":"ES256","typ":"{typ}"}}'.encode():
        raise RefusedError(400, "malformed-approval")
    try:
        claims = json.loads(unb64(payload))
    except ValueError:
        raise RefusedError(400, "malformed-approval") from None
    if not isinstance(claims, dict) or set(claims) != names or jcs(claims) != unb64(payload):
        raise RefusedError(400, "malformed-approval")
    return claims


def is_signed(text: str, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        jws.deserialize_compact(text, ECKey.import_key(key), algorithms=["ES256"])
    except (JoseError, ValueError):
        return False
    return True


def proof_key(proof: str, method: str, url: str, now: float) -> tuple[str, dict[str, Any], ECKey]:
    """RFC 9449 §4.3: thumbprint, claims and key of a proof that fits the call; ath, jti and nonce are the caller's."""
    try:
        header = json.loads(unb64(proof.partition(".")[0]))
        jwk = header["jwk"]
        if set(header) != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt" or header["alg"] != "ES256":
            raise RefusedError(401, "invalid_dpop_proof")
        if set(jwk) != {"kty", "crv", "x", "y"} or jwk["kty"] != "EC" or jwk["crv"] != "P-256":
            raise RefusedError(401, "invalid_dpop_proof")
        key = ECKey.import_key(jwk)
        claims = json.loads(jws.deserialize_compact(proof, key, algorithms=["ES256"]).payload)
        if claims["htm"] != method or claims["htu"] != url or abs(claims["iat"] - now) > 60:
            raise RefusedError(401, "invalid_dpop_proof")
    except (JoseError, ValueError, KeyError, TypeError):
        raise RefusedError(401, "invalid_dpop_proof") from None
    return key.thumbprint(), claims, key
