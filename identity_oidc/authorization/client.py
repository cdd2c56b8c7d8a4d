"""`client_id` names an app that a member admitted, and whose record has not run out. Source: RFC 6749 §4.1.2.1."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft
from identity_oidc.errors import PageError


def check(draft: Draft) -> None:
    """Unknown, withdrawn and expired look alike."""
    values = draft.parameters.get("client_id", ())
    if len(values) != 1 or not values[0] or len(values[0]) > 128:
        raise PageError("The app did not say once which app it is (client_id). Go back to it and tell its operator.")
    client = draft.surroundings.find_client(values[0])
    if client is None:
        raise PageError("No such app is registered here. Go back to it and tell its operator.")
    draft.found_client = client
