"""`acr_values`, most wanted first. Source: OIDC Core §3.1.2.1; a voluntary wish (§5.5.1.1)."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft, refuse

MAX_VALUES: Final = 8


def check(draft: Draft) -> None:
    """Levels that are not ours are passed over: the answer tells the level that was reached."""
    values = (draft.get("acr_values") or "").split()
    if len(values) > MAX_VALUES:
        raise refuse("invalid_request", f"acr_values holds more than {MAX_VALUES} values")
    draft.acr_values = tuple(values)
