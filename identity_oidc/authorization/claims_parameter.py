"""`claims`: a JSON object with `userinfo` and `id_token`. Source: OIDC Core §5.5."""

from __future__ import annotations

import json
from typing import Any, Final

from identity_oidc.authorization.request import Draft, refuse
from identity_oidc.claims import CLAIMS

MAX_CHARS: Final = 4_096
_MAX_MEMBERS: Final = 64
_MAX_SUB_CHARS: Final = 255
_BAD: Final = "claims must be a JSON object as in OpenID Connect Core §5.5"


def check(draft: Draft) -> None:
    """Claims that are not known are passed over; an essential `acr` binds, and so does a `sub` with a value."""
    text = draft.get("claims")
    if text is None:
        return
    wanted = _parse(text)
    for member in ("userinfo", "id_token"):
        asked = wanted.get(member) or {}
        if not isinstance(asked, dict) or len(asked) > _MAX_MEMBERS:
            raise refuse("invalid_request", _BAD)
        for name, details in asked.items():
            if details is not None and not isinstance(details, dict):
                raise refuse("invalid_request", _BAD)
            if name == "acr" and member == "id_token":
                _take_acr(draft, details or {})
            if name == "sub" and member == "id_token":
                _take_sub(draft, details or {})
            if name in CLAIMS:
                _take_claim(draft, member, name, is_essential=(details or {}).get("essential") is True)


def _take_claim(draft: Draft, member: str, name: str, *, is_essential: bool) -> None:
    draft.items[name] = draft.items.get(name, False) or is_essential
    if member == "id_token":
        draft.id_token_claims = tuple(sorted({*draft.id_token_claims, name}))
    else:
        draft.userinfo_claims = tuple(sorted({*draft.userinfo_claims, name}))


def _take_acr(draft: Draft, details: dict[str, Any]) -> None:
    values = details.get("values", [details["value"]] if "value" in details else [])
    if not isinstance(values, list) or len(values) > 8 or not all(isinstance(each, str) for each in values):
        raise refuse("invalid_request", _BAD)
    if values:
        draft.acr_values = tuple(values)
        draft.is_acr_essential = details.get("essential") is True


def _take_sub(draft: Draft, details: dict[str, Any]) -> None:
    """Nobody else may be logged in then, as with `id_token_hint`. Source: OIDC Core §3.1.2.2, §5.5.1."""
    sub = details.get("value", "")
    if not isinstance(sub, str) or len(sub) > _MAX_SUB_CHARS:
        raise refuse("invalid_request", _BAD)
    draft.hinted_sub = sub


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARS or text.count("{") > _MAX_MEMBERS * 2:
        raise refuse("invalid_request", "claims is too long")
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:  # too deep
        raise refuse("invalid_request", _BAD) from error
    if not isinstance(content, dict):
        raise refuse("invalid_request", _BAD)
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member twice")
    return found
