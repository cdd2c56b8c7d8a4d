"""Errors of the read model."""

from __future__ import annotations

from typing import ClassVar

from pki_chain.errors import TallyError


class IndexFaultError(TallyError):
    """The ledger contradicts what is stored: nothing is answered until the read model is rebuilt."""

    code: ClassVar[str] = "read-model-fault"
    http_status: ClassVar[int] = 503
    exit_code: ClassVar[int] = 65


class IndexBusyError(TallyError):
    """Another process writes this read model."""

    code: ClassVar[str] = "read-model-busy"
    http_status: ClassVar[int] = 503
    exit_code: ClassVar[int] = 73


class NotReadyError(TallyError):
    """The read model holds no block yet."""

    code: ClassVar[str] = "not-ready"
    http_status: ClassVar[int] = 503
    exit_code: ClassVar[int] = 75


class MissingEventsError(Exception):
    """Events that must have been there were not given. It never leaves this package."""
