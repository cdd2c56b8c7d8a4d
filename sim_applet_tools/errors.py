"""Errors that people and programs meet: a stable code, an HTTP status, an exit code, a text, and detail for the log.

Same shape as the errors of the other packages, so that one command line reports all of them. Every text says what was
wrong with which input and what to do about it. Errors of status words are in `status_words`.
"""

from __future__ import annotations

from typing import ClassVar


class SimError(Exception):
    """Base of all errors that this package raises on purpose."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigurationError(SimError):
    """A setting is missing, unknown or out of range; the text names its key and file."""

    code = "configuration"
    exit_code = 78


class InputError(SimError):
    """The caller's input is not of the form asked for."""

    code = "bad-input"
    http_status = 400
    exit_code = 65


class StorageError(SimError):
    """A file could not be read or written: nothing was acknowledged."""

    code = "storage"
    http_status = 507
    exit_code = 74


class CardResponseError(SimError):
    """The card answered with bytes that are not of the form that its own standard asks for."""

    code = "card-response"
    http_status = 502
    exit_code = 76


class SignatureRefusedError(CardResponseError):
    """The card's signature is not passed on: it does not verify under its key, or repeats a nonce."""

    code = "signature-refused"


class ReaderError(SimError):
    """The way to the card does not work: service, reader or card."""

    code = "reader"
    http_status = 503
    exit_code = 69


class ServiceUnavailableError(ReaderError):
    """The PC/SC service does not run."""

    code = "no-pcsc-service"


class NoReaderError(ReaderError):
    """No reader, or none of the name asked for."""

    code = "no-reader"


class NoCardError(ReaderError):
    """No card in the reader, or it was pulled."""

    code = "no-card"


class MuteCardError(ReaderError):
    """A card is there and does not answer."""

    code = "mute-card"


class ReaderBusyError(ReaderError):
    """Another program holds the reader."""

    code = "reader-busy"
    exit_code = 75


class CardResetError(ReaderError):
    """Another program reset the card between two commands: selection and PIN are gone."""

    code = "card-reset"
    exit_code = 75


class NotEnrolledError(ConfigurationError):
    """This agent is not, or no longer, enrolled at the provider."""

    code = "not-enrolled"


class ProviderUnavailableError(SimError):
    """The provider cannot be reached, or says that it cannot answer now."""

    code = "provider-unavailable"
    http_status = 502
    exit_code = 69


class ProviderAnswerError(SimError):
    """The provider's answer is not of the form of docs/sim-agent-api.yaml."""

    code = "provider-answer"
    http_status = 502
    exit_code = 76


class ProviderRefusedError(SimError):
    """The provider refused a call; `reason` is the problem document's code, `tries_left` its count if any."""

    code = "provider-refused"
    http_status = 502
    exit_code = 77

    def __init__(self, message: str, *, reason: str, detail: str = "", tries_left: int | None = None) -> None:
        super().__init__(message, detail=detail)
        self.reason = reason
        self.tries_left = tries_left


class ChallengeRefusedError(SimError):
    """The agent does not show this challenge, so nobody can approve it."""

    code = "challenge-refused"
    http_status = 400
    exit_code = 77


class WatchUnavailableError(SimError):
    """The ledger cannot be asked about the identity, or its answer is too old."""

    code = "watch-unavailable"
    http_status = 503
    exit_code = 69
