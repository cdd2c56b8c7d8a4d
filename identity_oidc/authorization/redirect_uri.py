"""`redirect_uri` is registered, character for character; before this check nobody is sent anywhere.

Source: RFC 9700 §2.1 and §4.1.3; RFC 8252 §7.3 for the port of a loopback address.
"""

from __future__ import annotations

from identity_oidc.authorization.request import Draft
from identity_oidc.errors import PageError


def check(draft: Draft) -> None:
    """OpenID Connect has it required, also where only one is registered. Source: OIDC Core §3.1.2.1."""
    values = draft.parameters.get("redirect_uri", ())
    if len(values) != 1 or not draft.client.has_redirect_uri(values[0]):
        raise PageError(
            "The address that the app wants you sent to (redirect_uri) is not registered for it. Go back to the app"
            " and tell its operator."
        )
    draft.redirect_uri = values[0]
