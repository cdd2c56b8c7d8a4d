"""Errors of the subscriber base. No text and no detail holds anything of a person."""

from __future__ import annotations

from typing import ClassVar


class SubscriberError(Exception):
    """Base of these errors: a stable code, an HTTP status, an exit code, a text."""

    code: ClassVar[str] = "subscribers"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class SubscriberSettingError(SubscriberError):
    """The database's address is none, or no adapter drives it."""

    code = "configuration"
    exit_code = 78


class SubscriberBaseUnavailableError(SubscriberError):
    """The database does not answer in time, or lacks a view. Nothing is released."""

    code = "subscriber-base-unavailable"
    http_status = 503
    exit_code = 69


class SubscriberDataError(SubscriberError):
    """A row of a view is not of the form in docs/subscribers.md. The text names view and column, never the value."""

    code = "subscriber-data"
    exit_code = 65
