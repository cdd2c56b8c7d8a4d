"""All checks of an authorization request, in their order. The first that fails is the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from identity_oidc.authorization import (
    acr_values,
    bounds,
    claims_parameter,
    client,
    hints,
    locales,
    max_age,
    nonce,
    pkce,
    prompt,
    redirect_uri,
    registered_items,
    repeated,
    request_object,
    response_type,
    scope,
)
from identity_oidc.authorization.request import AuthorizationRequest, Draft, Parameters, Surroundings

Check = Callable[[Draft], None]

CHECKS: Final[tuple[Check, ...]] = (
    bounds.check,
    client.check,
    redirect_uri.check,
    # From here on an error goes back to the app.
    repeated.check,
    request_object.check,
    response_type.check,
    scope.check,
    pkce.check,
    nonce.check,
    prompt.check,
    max_age.check,
    acr_values.check,
    claims_parameter.check,
    registered_items.check,
    locales.check,
    hints.check,
)


def begin(parameters: Parameters, surroundings: Surroundings) -> Draft:
    """A draft of which nothing is known yet."""
    return Draft(parameters, surroundings)


def run(draft: Draft) -> AuthorizationRequest:
    """The request that passed. Raises `PageError`, and `AuthorizationError` once `draft.redirect_uri` is set."""
    for check in CHECKS:
        check(draft)
    return draft.finish()
