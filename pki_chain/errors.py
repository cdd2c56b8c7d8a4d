"""Errors that people and programs meet: a stable code, an HTTP status, an exit code, a text, and detail for the log.

Every text says what was wrong with which input and what to do about it. `detail` goes to the log only and never into
an answer. Exit codes follow sysexits.h where one fits.
"""

from __future__ import annotations

from typing import ClassVar


class TallyError(Exception):
    """Base of all errors that this package raises on purpose."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigurationError(TallyError):
    """A setting is missing, unknown or out of range; the text names its key and file."""

    code = "configuration"
    exit_code = 78


class InputError(TallyError):
    """The caller's input is not of the form asked for."""

    code = "bad-input"
    http_status = 400
    exit_code = 65


class NotFoundError(TallyError):
    """No such thing on the ledger, as far as the read model has come."""

    code = "not-found"
    http_status = 404
    exit_code = 66


class LedgerUnavailableError(TallyError):
    """No endpoint of the ledger answered in time. Nothing is known to be lost: try again."""

    code = "ledger-unavailable"
    http_status = 503
    exit_code = 69


class StaleError(TallyError):
    """The read model is older than the bound, so no answer is given rather than a stale one."""

    code = "stale"
    http_status = 503
    exit_code = 75


class RefusedError(TallyError):
    """The ledger or the gateway refuses the act: no right, wrong state, passed deadline, used nonce."""

    code = "refused"
    http_status = 409
    exit_code = 77


class StorageError(TallyError):
    """A file or database could not be written: nothing was acknowledged."""

    code = "storage"
    http_status = 507
    exit_code = 74
