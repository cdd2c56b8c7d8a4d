"""Errors of the provider: a stable code, an HTTP status, an exit code, a text for the caller, detail for the log.

Nothing personal, no secret and no token stands in text or detail.
"""

from __future__ import annotations

from typing import ClassVar


class ProviderError(Exception):
    """Base of all errors that this package raises on purpose."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigurationError(ProviderError):
    """A setting is missing, unknown or out of range; the text names its key and file."""

    code = "configuration"
    exit_code = 78


class InputError(ProviderError):
    """The caller's input is not of the form asked for."""

    code = "bad-input"
    http_status = 400
    exit_code = 65


class NotFoundError(ProviderError):
    """No such thing, or not for this caller: both look alike."""

    code = "not-found"
    http_status = 404
    exit_code = 66


class LedgerStaleError(ProviderError):
    """What is known of the ledger is older than the bound: nothing is guessed, and no login given."""

    code = "ledger-stale"
    http_status = 503
    exit_code = 75


class StorageError(ProviderError):
    """A file or the database could not be read or written: nothing was acknowledged."""

    code = "storage"
    http_status = 503
    exit_code = 74


class KeyTokenError(ProviderError):
    """The token with the signing keys does not sign: nothing is issued."""

    code = "key-token"
    http_status = 503
    exit_code = 69


class TooManyRequestsError(ProviderError):
    """More requests than one caller may send."""

    code = "rate-limit"
    http_status = 429


class EgressError(ProviderError):
    """An address of an app could not be reached, or must not be."""

    code = "egress"
    http_status = 502


class PageError(ProviderError):
    """An authorization request that goes back to nobody: the person sees a page. Source: RFC 9700 §4.11.2."""

    code = "invalid_request"
    http_status = 400


class AuthorizationError(ProviderError):
    """An error that goes back to the app by its redirect URI. Source: RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6."""

    http_status = 303

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class AgentError(ProviderError):
    """A refusal of an agent's request; `problem` is a code of docs/sim-agent-api.yaml."""

    def __init__(
        self, status: int, problem: str, message: str, *, tries_left: int | None = None, authenticate: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem
        self.tries_left = tries_left
        self.authenticate = authenticate
