"""The ledger's word on identities, asked of gateways over REST. Source: docs/ledger.md, `/v1/identities`.

What a gateway cannot answer in time, or answers with an age beyond the bound, is no answer: nobody logs in then.
"""

from __future__ import annotations

import json
import re
from http.client import HTTPException
from typing import Any, Final

from identity_oidc import base64url
from identity_oidc.config import LedgerSettings
from identity_oidc.errors import ConfigurationError, LedgerStaleError
from identity_oidc.kept_connection import KeptConnections
from identity_oidc.ports import (
    Attestation,
    ChangePage,
    IdentityChange,
    IdentityId,
    IdentityState,
    LedgerIdentity,
)

_MAX_ANSWER_BYTES: Final = 1 << 20
_PAGE: Final = 500
_ID: Final = re.compile(r"0x[0-9a-f]{64}")


class GatewayLedger:
    """Implements `IdentityLedger`. Safe for threads; the gateways are asked in order until one answers."""

    def __init__(self, settings: LedgerSettings) -> None:
        if not settings.gateways:
            raise ConfigurationError("ledger.gateways is empty: name a gateway, such as http://127.0.0.1:8080")
        self._gateways = tuple(address.rstrip("/") for address in settings.gateways)
        self._max_age_s = settings.max_age_s
        token = settings.token_file.read_text("utf-8").strip() if settings.token_file else ""
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._connections = KeptConnections(settings.timeout_s, _MAX_ANSWER_BYTES)

    def identity(self, identity: IdentityId) -> LedgerIdentity | None:
        """Raises `LedgerStaleError`."""
        content = self._ask(f"/v1/identities/0x{identity.hex()}")
        return None if content is None else _identity(identity, content)

    def changes(self, after: str) -> ChangePage:
        """Raises `LedgerStaleError`."""
        content = self._ask(f"/v1/identities/changes?after={after or '0'}&limit={_PAGE}")
        try:
            if content is None:
                raise _malformed()
            changes = tuple(_change(each) for each in content["changes"])
            return ChangePage(changes, str(int(content["cursor"])), _age(content))
        except (ValueError, KeyError, TypeError) as error:
            raise _malformed() from error

    def _ask(self, path: str) -> dict[str, Any] | None:
        """The first answer that is fresh, and says so; None for what the ledger does not know."""
        for gateway in self._gateways:
            try:
                status, body = self._connections.get(gateway, path, self._headers)
            except (OSError, HTTPException, ValueError):
                continue
            try:
                content = json.loads(body)
                if _age(content) > self._max_age_s:
                    continue
                if status == 200:
                    return dict(content)
                if status == 404 and content["code"] == "not-found":
                    return None
            except (ValueError, KeyError, TypeError):
                continue
        raise LedgerStaleError("The ledger cannot be asked now, so nobody can log in. Try again in a moment.")


def _identity(identity: IdentityId, content: dict[str, Any]) -> LedgerIdentity:
    try:
        kind = content["key"]["kty"], content["key"]["crv"]
        if content["identity"] != "0x" + identity.hex() or kind != ("EC", "P-256"):
            raise _malformed()
        public_key = b"".join(base64url.parse(content["key"][name]) for name in ("x", "y"))
        state = IdentityState(content["state"])
        is_cut_off = bool(content["key_blocked"]) or content["operator_state"] != "active"
        return LedgerIdentity(
            identity=identity,
            public_key=public_key,
            state=IdentityState.HELD if is_cut_off and state is IdentityState.ACTIVE else state,
            attestation=Attestation(content["attestation"]),
            is_card_enforced=content["card_enforced"] is True,
            is_emulator=content["emulator"] is not False,
            block=int(content["block"]["number"]),
            age_s=_age(content),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _malformed() from error


def _change(content: dict[str, Any]) -> IdentityChange:
    if not _ID.fullmatch(content["identity"]) or not isinstance(content["kind"], str):
        raise ValueError("a change names no identity")
    return IdentityChange(IdentityId(bytes.fromhex(content["identity"][2:])), content["kind"])


def _age(content: dict[str, Any]) -> float:
    age_s = content["age_s"]
    if type(age_s) not in {int, float} or not age_s >= 0:
        raise ValueError("no age")
    return float(age_s)


def _malformed() -> LedgerStaleError:
    return LedgerStaleError("A gateway answers in a form that is not known here.", detail="malformed answer")
