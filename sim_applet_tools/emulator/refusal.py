"""The status words with which the emulated card refuses."""

from __future__ import annotations

from typing import Final

WRONG_LENGTH: Final = 0x6700
CHANNEL_NOT_OPEN: Final = 0x6881
LAST_EXPECTED: Final = 0x6883
PIN_REQUIRED: Final = 0x6982
BLOCKED: Final = 0x6983
EMPTY: Final = 0x6984
CONDITIONS: Final = 0x6985
INCORRECT_DATA: Final = 0x6A80
NO_CHANNEL: Final = 0x6A81
NOT_FOUND: Final = 0x6A82
RECORD_NOT_FOUND: Final = 0x6A83
MEMORY: Final = 0x6A84
WRONG_PARAMETERS: Final = 0x6A86
REFERENCED_DATA: Final = 0x6A88
CONFLICT: Final = 0x6A89
WRONG_OFFSET: Final = 0x6B00
UNKNOWN_INSTRUCTION: Final = 0x6D00
SIGNATURE_MISMATCH: Final = 0x6D01
WRONG_CLASS: Final = 0x6E00
FAILURE: Final = 0x6F00


class Refusal(Exception):  # noqa: N818  a refusal is an answer of the card, not an error of this program
    """Ends a command with a status word."""

    def __init__(self, status_word: int) -> None:
        super().__init__(f"{status_word:04X}")
        self.status_word = status_word
