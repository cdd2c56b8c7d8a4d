"""Writes tests/vectors/approval/: `python -m tests.agent.make_vectors`. The same bytes each time (RFC 6979).

Made with the provider's side of the tests (tests/agent/provider_checks.py), so that the agent is measured against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.agent.provider_checks import b64, context_of, ctx_of, jcs, leaf_of, sha256, text_shown, unb64

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "approval"
ISSUER = "https://login.operator.example"
IDENTITY = "0x" + "5a" * 32
NOW = 1_800_000_000
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CARD_KEY = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
"""The P-256 key of RFC 6979 A.2.5: published, so it protects nothing."""
APPROVAL_HEADER = b'{"alg":"ES256","typ":"tally-approval+jwt"}'
POSSESSION_HEADER = b'{"alg":"ES256","typ":"tally-possession+jws"}'
MEMBER_KEY = ec.derive_private_key(2, ec.SECP256R1())


def sign(text: str, key: ec.EllipticCurvePrivateKey = CARD_KEY) -> str:
    """The compact JWS of a signing input."""
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def twin(jws: str) -> str:
    """The other signature that verifies: (r, n - s)."""
    text, _, signature = jws.rpartition(".")
    raw = unb64(signature)
    return f"{text}.{b64(raw[:32] + (ORDER - int.from_bytes(raw[32:], 'big')).to_bytes(32, 'big'))}"


def approval_jws(claims: dict[str, Any], header: str = APPROVAL_HEADER.decode()) -> str:
    return sign(f"{b64(header.encode())}.{b64(jcs(claims))}")


def record_jws(record: dict[str, Any]) -> str:
    header = {"alg": "ES256", "kid": "member-key", "typ": "app-registration+jwt"}
    return sign(f"{b64(jcs(header))}.{b64(jcs(record))}", MEMBER_KEY)


def challenge(number: int, mode: str, language: str, **changes: Any) -> dict[str, Any]:
    provider = Provider(Ledger(), issuer=ISSUER, clock=lambda: NOW)
    made = provider.begin(app=record_jws(provider.record(**changes.pop("record", {}))), mode=mode, **changes).challenge
    made["request"]["nonce"] = changes.get("nonce", b64(bytes([number]) * 16))
    made["session"]["digest"] = b64(sha256(b"browser session %d" % number))
    return {
        **made,
        "challenge_id": b64(sha256(b"challenge %d" % number)[:16]),
        "language": language,
        "ctx_salt": b64(sha256(b"ctx salt %d" % number)),
        "leaf_salt": b64(sha256(b"leaf salt %d" % number)),
    }


def case(name: str, made: dict[str, Any], refused: list[str], code: str = "") -> dict[str, Any]:
    granted = [item["name"] for item in made["request"]["items"] if item["name"] not in refused]
    context = context_of(made, granted, refused, code)
    claims = {
        "iss": IDENTITY,
        "aud": ISSUER,
        "jti": made["challenge_id"],
        "iat": NOW + 5,
        "exp": NOW + 120,
        "ctx": ctx_of(made, context),
        "leaf": leaf_of(made),
    }
    jws = approval_jws(claims)
    record = json.loads(unb64(made["app"].split(".")[1]))
    return {
        "name": name,
        "challenge": made,
        "granted": granted,
        "refused": refused,
        "code": code,
        "text_shown": text_shown(made["request"], record, made["kind"], made["language"]),
        "context": context,
        "canonical_context": jcs(context).decode(),
        "claims": claims,
        "approval": jws,
        "approval_twin": twin(jws),
    }


def cases() -> list[dict[str, Any]]:
    item = {"name": "birthdate", "purpose": "仅限成年人", "essential": False}
    details = [{"type": "door", "place": "机房 3", "from": NOW, "to": NOW + 3600}]
    chinese = {"name": "街角商店", "member_name": "示例电信"}
    return [
        case("local, one item refused", challenge(1, "local", "en"), ["phone_number"]),
        case(
            "remote, Chinese, all granted",
            challenge(2, "remote", "zh", items=[item], purpose="核实年龄", record=chinese),
            [],
            "012345",
        ),
        case(
            "ciba, grant with details, no item",
            challenge(3, "ciba", "en", kind="grant", items=[], authorization_details=details, sso_seconds=0),
            [],
        ),
        case(
            "local, nothing but the login",
            challenge(4, "local", "zh", items=[], purpose="", grant_expires_at=0, sso_seconds=0, nonce=""),
            [],
        ),
    ]


def other_contexts(context: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each member of the context with another value of the same form."""
    other: dict[str, Any] = {
        "acr": "urn:tally:acr:other",
        "app_record": b64(sha256(b"another record")),
        "authorization_details": [{"type": "payment"}],
        "claims_granted": ["email", "name", "phone_number"],
        "claims_refused": [],
        "claims_requested": context["claims_requested"][:1],
        "client_id": "app-2",
        "code": "123456",
        "code_challenge": b64(sha256(b"another verifier")),
        "grant_expires_at": context["grant_expires_at"] + 86_400,
        "kind": "grant",
        "language": "zh",
        "mode": "remote",
        "nonce": "another",
        "purpose": "to sell it on",
        "redirect_uri": "https://www.shop.example/other",
        "scope": "openid",
        "session": b64(sha256(b"another browser")),
        "sso_seconds": 86_400,
        "sub": "sub-of-somebody-else",
        "text_digest": b64(sha256(b"another text")),
    }
    assert other.keys() == context.keys()
    yield from other.items()


def tampered(whole: dict[str, Any]) -> list[dict[str, str]]:
    """Siblings of one approval, each wrong in one field, and the code of the check that finds it."""
    found = []

    def add(field: str, code: str, jws: str) -> None:
        found.append({"field": field, "code": code, "approval": jws})

    claims, made = whole["claims"], whole["challenge"]
    for member, value in other_contexts(whole["context"]):
        bent = ctx_of(made, {**whole["context"], member: value})
        add(f"context.{member}", "context-mismatch", approval_jws({**claims, "ctx": bent}))
    missing = {name: value for name, value in whole["context"].items() if name != "code"}
    add("context without code", "context-mismatch", approval_jws({**claims, "ctx": ctx_of(made, missing)}))
    salted = {**made, "ctx_salt": made["leaf_salt"], "leaf_salt": made["ctx_salt"]}
    add("ctx_salt", "context-mismatch", approval_jws({**claims, "ctx": ctx_of(salted, whole["context"])}))
    add("leaf_salt", "context-mismatch", approval_jws({**claims, "leaf": leaf_of(salted)}))
    for member, value in {
        "iss": "0x" + "5b" * 32,
        "aud": "https://login.other.example",
        "jti": b64(sha256(b"another challenge")[:16]),
        "iat": NOW + 300,
        "exp": NOW + 121,
    }.items():
        add(member, "malformed-approval", approval_jws({**claims, member: value}))
    add("another member", "malformed-approval", approval_jws({**claims, "sub": "x"}))
    add("no leaf", "malformed-approval", approval_jws({k: v for k, v in claims.items() if k != "leaf"}))
    spaced = f"{b64(APPROVAL_HEADER)}.{b64(json.dumps(claims).encode())}"
    add("not in JCS form", "malformed-approval", sign(spaced))
    for typ in ("tally-agent+jwt", "tally-possession+jws", "tally-approval+jws", "tally-approval+jwt "):
        header = f'{{"alg":"ES256","typ":"{typ}"}}'
        add(f"typ {typ!r}", "malformed-approval", approval_jws(claims, header))
    for name, header in {
        "alg none": '{"alg":"none","typ":"tally-approval+jwt"}',
        "kid": '{"alg":"ES256","typ":"tally-approval+jwt","kid":"x"}',
        "order of the header": '{"typ":"tally-approval+jwt","alg":"ES256"}',
    }.items():
        add(name, "malformed-approval", approval_jws(claims, header))
    text, _, signature = whole["approval"].rpartition(".")
    flipped = bytearray(unb64(signature))
    flipped[40] ^= 1
    add("signature", "signature-invalid", f"{text}.{b64(bytes(flipped))}")
    add("key", "signature-invalid", sign(text, MEMBER_KEY))
    digest = b64(sha256(b"EIP-712 digest of a registration"))
    possession = f"{b64(POSSESSION_HEADER)}.{digest}"
    add("a possession proof", "malformed-approval", sign(possession))
    return found


def documents() -> dict[str, Any]:
    """File name and content."""
    numbers = CARD_KEY.private_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": b64(numbers.public_numbers.x.to_bytes(32, "big")),
        "y": b64(numbers.public_numbers.y.to_bytes(32, "big")),
        "d": b64(numbers.private_value.to_bytes(32, "big")),
    }
    made = cases()
    return {
        "approvals.json": {"card_key": jwk, "identity": IDENTITY, "issuer": ISSUER, "cases": made},
        "tampered.json": {"of": made[0]["name"], "siblings": tampered(made[0])},
    }


def main() -> None:
    for name, document in documents().items():
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
