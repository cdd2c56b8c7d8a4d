"""An authorization request: what is sent, what is established so far, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from identity_oidc.claims import ACR_REMOTE, satisfies
from identity_oidc.clients import Client
from identity_oidc.errors import AuthorizationError

Parameters = Mapping[str, tuple[str, ...]]
"""Each parameter with all the values that were sent for it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks may ask beside the request itself."""

    find_client: Callable[[str], Client | None]
    subject_of_hint: Callable[[str, Client], str | None]
    """The `sub` of an ID Token that this provider issued to this client; None for anything else."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every check. `items` maps a claim to whether the app calls it essential."""

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    nonce: str
    code_challenge: str
    prompt: tuple[str, ...]
    max_age_s: int | None
    acr_values: tuple[str, ...]
    is_acr_essential: bool
    id_token_claims: tuple[str, ...]
    userinfo_claims: tuple[str, ...]
    items: Mapping[str, bool]
    language: str
    login_hint: str
    hinted_sub: str

    @property
    def may_be_remote(self) -> bool:
        """Whether a login read from another screen would do."""
        return not self.is_acr_essential or any(satisfies(ACR_REMOTE, wanted) for wanted in self.acr_values)

    def is_open_to(self, client: Client) -> bool:
        """Whether the app is still registered for what it asked: its registration may change while a login waits."""
        return client.has_redirect_uri(self.redirect_uri) and set(self.items) <= set(client.items)

    def content(self) -> dict[str, Any]:
        """As it is stored."""
        return {name: getattr(self, name) for name in self.__slots__} | {"items": dict(self.items)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """From what `content` gave."""
        values: dict[str, Any] = {}
        for name, value in content.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


@dataclass(slots=True)
class Draft:
    """A request on its way through the pipeline; each check adds what it establishes."""

    parameters: Parameters
    surroundings: Surroundings
    found_client: Client | None = None
    redirect_uri: str = ""
    scope: tuple[str, ...] = ()
    nonce: str = ""
    code_challenge: str = ""
    prompt: tuple[str, ...] = ()
    max_age_s: int | None = None
    acr_values: tuple[str, ...] = ()
    is_acr_essential: bool = False
    id_token_claims: tuple[str, ...] = ()
    userinfo_claims: tuple[str, ...] = ()
    items: dict[str, bool] = field(default_factory=dict)
    language: str = "en"
    login_hint: str = ""
    hinted_sub: str = ""

    @property
    def client(self) -> Client:
        """The app, once `client` has passed."""
        if self.found_client is None:
            raise RuntimeError("the check of the client comes first")
        return self.found_client

    def get(self, name: str) -> str | None:
        """The one value of a parameter; an empty one counts as not sent. Source: RFC 6749 §3.1."""
        values = self.parameters.get(name, ())
        return values[0] or None if values else None

    @property
    def state(self) -> str | None:
        """What goes back to the app as it came, also with an error; None where it was sent twice."""
        return self.get("state") if len(self.parameters.get("state", ())) == 1 else None

    def finish(self) -> AuthorizationRequest:
        """The request, after the last check."""
        return AuthorizationRequest(
            client_id=self.client.client_id,
            redirect_uri=self.redirect_uri,
            scope=self.scope,
            state=self.state,
            nonce=self.nonce,
            code_challenge=self.code_challenge,
            prompt=self.prompt,
            max_age_s=self.max_age_s,
            acr_values=self.acr_values,
            is_acr_essential=self.is_acr_essential,
            id_token_claims=self.id_token_claims,
            userinfo_claims=self.userinfo_claims,
            items=dict(sorted(self.items.items())),
            language=self.language,
            login_hint=self.login_hint,
            hinted_sub=self.hinted_sub,
        )


def refuse(error: str, message: str) -> AuthorizationError:
    """An error for the app, to be raised once the redirect URI is known to be its own."""
    return AuthorizationError(error, message)
