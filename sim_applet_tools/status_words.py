"""Each status word as a named error that says what to do. Sources: ISO/IEC 7816-4 §5.6, GSMA IoT.05 §4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim_applet_tools.errors import SimError

OK = 0x9000


class StatusWordError(SimError):
    """The card refused a command; `status_word` says how."""

    code = "card-refused"
    http_status = 502
    exit_code = 77
    meaning: ClassVar[str] = "the card refused the command"
    remedy: ClassVar[str] = "run `tally sim doctor`"

    def __init__(self, status_word: int, command: str) -> None:
        self.status_word = status_word
        self.command = command
        super().__init__(f"{command}: {self.meaning} ({status_word:04X}); {self.remedy}")


class WrongPinError(StatusWordError):
    """PIN or PUK is wrong; `tries_left` says how often it may be tried again."""

    code = "wrong-pin"

    def __init__(self, status_word: int, command: str) -> None:
        self.tries_left = status_word & 0x0F
        self.meaning = f"wrong PIN or PUK, {self.tries_left} tries left"  # type: ignore[misc]
        self.remedy = (  # type: ignore[misc]
            "try again with the right one" if self.tries_left else "unblock it with the PUK: `tally sim pin unblock`"
        )
        super().__init__(status_word, command)


class RemoteAdministrationError(StatusWordError):
    code = "remote-administration"
    meaning = "the operator changed the card meanwhile"
    remedy = "select the applet again and read its objects anew"


class MoreDataError(StatusWordError):
    code = "more-data"
    meaning = "the card has more data than was asked for"
    remedy = "read on with a higher offset"


class IntegrityError(StatusWordError):
    code = "integrity"
    meaning = "the card found its memory damaged, or could not write it"
    remedy = "take the card out of use and ask its operator for another"


class WrongLengthError(StatusWordError):
    code = "wrong-length"
    meaning = "the data has not the length that the card wants"
    remedy = "check that --profile fits this card"


class ChannelNotSupportedError(StatusWordError):
    code = "channel-not-supported"
    meaning = "no such logical channel"
    remedy = "use the basic channel"


class ChainingNotSupportedError(StatusWordError):
    code = "chaining-not-supported"
    meaning = "the card takes no command chains"
    remedy = "send less at a time"


class IncompatibleError(StatusWordError):
    code = "incompatible"
    meaning = "the command does not fit this file or object"
    remedy = "check which object it was sent to with `tally sim info`"


class PinRequiredError(StatusWordError):
    code = "pin-required"
    meaning = "the PIN must be verified first, and one VERIFY permits one signature"
    remedy = "enter the PIN"


class PinBlockedError(StatusWordError):
    code = "pin-blocked"
    meaning = "too many wrong tries: blocked"
    remedy = "a PIN is unblocked with the PUK (`tally sim pin unblock`); a card with a blocked PUK must be replaced"


class EmptyContainerError(StatusWordError):
    code = "empty-container"
    meaning = "the container holds no key or file yet"
    remedy = "fill it first, for a key with `tally sim keygen`"


class ConditionsNotSatisfiedError(StatusWordError):
    code = "conditions-not-satisfied"
    meaning = "the card's state, or the purpose of this key, does not allow it"
    remedy = (
        "a key made for approvals signs nothing else; keys are made before personalisation only; "
        "the transport PIN must be changed before the first signature (`tally sim pin change`)"
    )


class CapacityError(StatusWordError):
    code = "capacity"
    meaning = "the card's capacity is reached, or a remote administration got in between"
    remedy = "close sessions and try again"


class IncorrectDataError(StatusWordError):
    code = "incorrect-data"
    meaning = "the card does not accept this data"
    remedy = "an approval key signs only texts that begin with its prefix; else check that --profile fits this card"


class NotSupportedError(StatusWordError):
    code = "not-supported"
    meaning = "the card does not know this function"
    remedy = "see what it offers with `tally sim info`"


class NotFoundError(StatusWordError):
    code = "not-found"
    exit_code = 66
    meaning = "no such applet, file or object on this card"
    remedy = "see what is there with `tally sim info`; other applets' AIDs can be given with --aid"


class CardMemoryError(StatusWordError):
    code = "card-memory"
    meaning = "not enough memory on the card"
    remedy = "use a smaller object"


class WrongParametersError(StatusWordError):
    code = "wrong-parameters"
    meaning = "the card does not know these parameters"
    remedy = "check that --profile fits this card"


class ConflictingRuleError(StatusWordError):
    code = "conflicting-rule"
    meaning = "the card has an access rule that says otherwise"
    remedy = "see the rules there are with `tally sim access-rule`, and have the card's issuer delete the other"


class WrongOffsetError(StatusWordError):
    code = "wrong-offset"
    meaning = "the offset lies outside of the file"
    remedy = "read within its size"


class UnknownInstructionError(StatusWordError):
    code = "unknown-instruction"
    meaning = "the card does not know this command"
    remedy = "see what it offers with `tally sim info`; PIN commands exist on cards with our applet only"


class SignatureMismatchError(StatusWordError):
    code = "signature-mismatch"
    meaning = "the signature is not of this key and text"
    remedy = "do not trust what was signed"


class WrongClassError(StatusWordError):
    code = "wrong-class"
    meaning = "the card does not know this class of command"
    remedy = "check that --profile fits this card"


class CardFailureError(StatusWordError):
    code = "card-failure"
    meaning = "the card failed without saying why"
    remedy = "pull it, insert it and try again"


@dataclass(frozen=True, slots=True)
class _Entry:
    status_word: int
    mask: int
    error: type[StatusWordError]


_TABLE = (
    _Entry(0x63CF, 0xFFFF, RemoteAdministrationError),
    _Entry(0x63C0, 0xFFF0, WrongPinError),
    _Entry(0x6300, 0xFFFF, MoreDataError),
    _Entry(0x6400, 0xFF00, IntegrityError),
    _Entry(0x6581, 0xFFFF, IntegrityError),
    _Entry(0x6700, 0xFFFF, WrongLengthError),
    _Entry(0x6881, 0xFFFF, ChannelNotSupportedError),
    _Entry(0x6884, 0xFFFF, ChainingNotSupportedError),
    _Entry(0x6981, 0xFFFF, IncompatibleError),
    _Entry(0x6982, 0xFFFF, PinRequiredError),
    _Entry(0x6983, 0xFFFF, PinBlockedError),
    _Entry(0x6984, 0xFFFF, EmptyContainerError),
    _Entry(0x6985, 0xFFFF, ConditionsNotSatisfiedError),
    _Entry(0x6989, 0xFFFF, CapacityError),
    _Entry(0x6A80, 0xFFFF, IncorrectDataError),
    _Entry(0x6A81, 0xFFFF, NotSupportedError),
    _Entry(0x6A82, 0xFFFF, NotFoundError),
    _Entry(0x6A83, 0xFFFF, NotFoundError),
    _Entry(0x6A84, 0xFFFF, CardMemoryError),
    _Entry(0x6A86, 0xFFFF, WrongParametersError),
    _Entry(0x6A88, 0xFFFF, NotFoundError),
    _Entry(0x6A89, 0xFFFF, ConflictingRuleError),
    _Entry(0x6B00, 0xFF00, WrongOffsetError),
    _Entry(0x6D01, 0xFFFF, SignatureMismatchError),
    _Entry(0x6D00, 0xFFFF, UnknownInstructionError),
    _Entry(0x6E00, 0xFF00, WrongClassError),
    _Entry(0x6F00, 0xFF00, CardFailureError),
)


def error_of(status_word: int, command: str) -> StatusWordError:
    """The error of a status word that is not 9000; `command` names what was sent, without its data."""
    for entry in _TABLE:
        if status_word & entry.mask == entry.status_word:
            return entry.error(status_word, command)
    return StatusWordError(status_word, command)


def verify_status_word(status_word: int, command: str) -> None:
    """Return on 9000, raise the named error else."""
    if status_word != OK:
        raise error_of(status_word, command)
