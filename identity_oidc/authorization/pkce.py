"""PKCE by S256: required by policy strict, of native apps, and never downgraded. Source: RFC 9700 §2.1.1, RFC 7636."""

from __future__ import annotations

import re
from typing import Final

from identity_oidc.authorization.request import Draft, refuse

_S256: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def check(draft: Draft) -> None:
    """`plain`, also where it is meant by leaving the method out, is refused."""
    challenge, method = draft.get("code_challenge"), draft.get("code_challenge_method")
    if challenge is None and method is None:
        if draft.client.policy == "strict" or draft.client.token_endpoint_auth_method == "none":  # noqa: S105
            raise refuse("invalid_request", "code_challenge is missing: PKCE with S256 is required of this app")
        return
    if challenge is None or method != "S256" or not _S256.fullmatch(challenge):
        raise refuse("invalid_request", "PKCE takes code_challenge_method=S256 and a code_challenge of 43 characters")
    draft.code_challenge = challenge
