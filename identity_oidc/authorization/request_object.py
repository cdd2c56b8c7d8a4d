"""No request objects: refused by their own errors, as the metadata says. Source: OIDC Core §6, §3.1.2.6."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft, refuse

_REFUSALS = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


def check(draft: Draft) -> None:
    """Nothing is fetched from an address that a request names."""
    for name, error in _REFUSALS.items():
        if draft.get(name) is not None:
            raise refuse(error, f"parameter {name} is not taken here: send plain parameters")
