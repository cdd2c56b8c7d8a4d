"""Scripts of APDUs with the answers expected (`*.apdu`), run against any transport.

One step a line; `#` begins a comment. Words of a line are separated by blanks:

    > 80 2B 80 01 ( 9B [ {text} ] ) 00      a command; ( ) puts Lc in front, [ ] a BER length
    < 33 40 {r:32} {s:32} 9000              the answer expected; {name:size} captures on first use and must agree later
    @let text "ascii" 00*20 {other}         a variable; a word *N is repeated
    @reset                                  card reset
    @verify {key} {text} {r} {s}            the signature must verify under the uncompressed point `04 key`
    @forge {key} {text} {r} {s}             the same must fail
    @differ {a} {b}                         two captures must differ
    @requires prehashed                     the script needs a capability of the card
    @agree {x} 04 {k}                       two sides must be the same bytes

`??` stands for one byte that may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from sim_applet_tools.apdu import MAX_SHORT_DATA, ResponseApdu, parse_command
from sim_applet_tools.errors import InputError, SimError
from sim_applet_tools.tlv import encode_length
from sim_applet_tools.transport.base import Transport, exchange

MAX_REPEAT = 4096
_WORD = re.compile(r'"[^"]*"(?:\*\d+)?|[\[\]()]|[^\s\[\]()]+')
_CAPTURE = re.compile(r"\{(\w+)(?::(\d+))?\}(?:\*(\d+))?")


class ScriptFailure(SimError):  # noqa: N818  a failed script is a finding about the card
    """The card did not answer as the script expects; the text names file, line, both answers."""

    code = "script-failed"
    exit_code = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One line: `>`, `<` or `@name`, and its words."""

    line: int
    kind: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed script."""

    name: str
    steps: tuple[Step, ...]
    requires: frozenset[str]


@dataclass(slots=True)
class _Run:
    script: Script
    transport: Transport
    write: Callable[[str], None]
    variables: dict[str, bytes] = field(default_factory=dict)
    answer: ResponseApdu | None = None


def parse_script(name: str, text: str) -> Script:
    """Read a script; a line that is none is an `InputError` with its number."""
    steps = []
    requires: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = tuple(_WORD.findall(_without_comment(line)))
        if not words:
            continue
        kind, rest = words[0], words[1:]
        if kind == "@requires":
            requires.update(rest)
        elif kind in {">", "<"} or kind in _ACTIONS:
            steps.append(Step(number, kind, rest))
        else:
            raise InputError(f"{name}:{number}: a line begins with >, <, # or one of {', '.join(_ACTIONS)}")
    return Script(name, tuple(steps), frozenset(requires))


def run_script(script: Script, transport: Transport, write: Callable[[str], None] = lambda _: None) -> int:
    """Run all steps and return how many commands were sent; `ScriptFailure` at the first difference."""
    run = _Run(script, transport, write)
    sent = 0
    for step in script.steps:
        if step.kind == ">":
            raw = _bytes(run, step, step.words)
            run.answer = exchange(transport, parse_command(raw))
            sent += 1
            write(f"{script.name}:{step.line}: {run.answer.status_word:04X}")
        elif step.kind == "<":
            _expect(run, step)
        else:
            _ACTIONS[step.kind](run, step)
    return sent


def _without_comment(line: str) -> str:
    quoted = False
    for index, character in enumerate(line):
        quoted ^= character == '"'
        if character == "#" and not quoted:
            return line[:index]
    return line


def _fail(run: _Run, step: Step, text: str) -> ScriptFailure:
    return ScriptFailure(f"{run.script.name}:{step.line}: {text}")


def _bytes(run: _Run, step: Step, words: Sequence[str]) -> bytes:
    """The bytes that words stand for; brackets nest."""
    stack: list[tuple[str, bytearray]] = [("", bytearray())]
    for word in words:
        if word in {"[", "("}:
            stack.append((word, bytearray()))
        elif word in {"]", ")"}:
            opened, content = stack.pop()
            if not stack or opened != {"]": "[", ")": "("}[word]:
                raise InputError(f"{run.script.name}:{step.line}: a bracket closes that none opened")
            stack[-1][1].extend(_length(run, step, opened, len(content)) + content)
        else:
            stack[-1][1].extend(_word_bytes(run, step, word))
    if len(stack) != 1:
        raise InputError(f"{run.script.name}:{step.line}: a bracket does not close")
    return bytes(stack[0][1])


def _length(run: _Run, step: Step, opened: str, size: int) -> bytes:
    if opened == "[":
        return encode_length(size)
    if not 1 <= size <= MAX_SHORT_DATA:
        raise InputError(f"{run.script.name}:{step.line}: {size} bytes do not fit Lc")
    return bytes((size,))


def _word_bytes(run: _Run, step: Step, word: str) -> bytes:
    where = f"{run.script.name}:{step.line}"
    end = word.rindex('"') + 1 if word.startswith('"') else len(word.partition("*")[0])
    value, times = word[:end], word[end + 1 :]
    repeat = int(times) if times else 1
    if repeat > MAX_REPEAT:
        raise InputError(f"{where}: {word!r} repeats more than {MAX_REPEAT} times")
    if value.startswith('"'):
        return value[1:-1].encode("ascii") * repeat
    named = _CAPTURE.fullmatch(value)
    if named:
        if named[1] not in run.variables:
            raise InputError(f"{where}: {named[1]!r} has no value yet")
        return run.variables[named[1]] * repeat
    try:
        return bytes.fromhex(value) * repeat
    except ValueError as error:
        raise InputError(f"{where}: {word!r} is neither hexadecimal, a variable nor text in quotes") from error


def _expect(run: _Run, step: Step) -> None:
    """Compare the last answer, data and status word, with the words; capture what is new."""
    if run.answer is None:
        raise InputError(f"{run.script.name}:{step.line}: no command was sent before")
    actual = run.answer.encode()
    position = 0
    for word in step.words:
        named = _CAPTURE.fullmatch(word)
        if named and named[2] and named[1] not in run.variables:
            size = int(named[2])
            run.variables[named[1]] = actual[position : position + size]
            if len(run.variables[named[1]]) != size:
                raise _fail(run, step, f"the answer ends before {named[1]}: {actual.hex()}")
            position += size
            continue
        if re.fullmatch(r"(\?\?)+", word):
            position += len(word) // 2
            continue
        wanted = _word_bytes(run, step, word)
        if actual[position : position + len(wanted)] != wanted:
            raise _fail(run, step, f"expected {' '.join(step.words)}, the card answered {actual.hex(' ').upper()}")
        position += len(wanted)
    if position != len(actual):
        raise _fail(run, step, f"expected {' '.join(step.words)}, the card answered {actual.hex(' ').upper()}")


def _let(run: _Run, step: Step) -> None:
    run.variables[step.words[0]] = _bytes(run, step, step.words[1:])


def _reset(run: _Run, _step: Step) -> None:
    run.transport.reset()


def _is_valid(run: _Run, step: Step) -> bool:
    key, text, r, s = (_word_bytes(run, step, word) for word in step.words)
    public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    try:
        public_key.verify(der, sha256(text).digest(), ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


def _verify(run: _Run, step: Step) -> None:
    if not _is_valid(run, step):
        raise _fail(run, step, "the signature does not verify under the card's key")


def _forge(run: _Run, step: Step) -> None:
    if _is_valid(run, step):
        raise _fail(run, step, "the signature verifies, and should not")


def _differ(run: _Run, step: Step) -> None:
    values = [_word_bytes(run, step, word) for word in step.words]
    if len(set(values)) != len(values):
        raise _fail(run, step, "two values are the same that must differ")


def _agree(run: _Run, step: Step) -> None:
    if _word_bytes(run, step, step.words[0]) != _bytes(run, step, step.words[1:]):
        raise _fail(run, step, "two values differ that must be the same")


_ACTIONS: dict[str, Callable[[_Run, Step], None]] = {
    "@let": _let,
    "@reset": _reset,
    "@verify": _verify,
    "@forge": _forge,
    "@differ": _differ,
    "@agree": _agree,
}
