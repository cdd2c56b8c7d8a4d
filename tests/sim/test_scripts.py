"""The same scripts against every card: the emulator in process and in a reader of a real pcscd, T=0 and T=1."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_applet_tools.errors import InputError
from sim_applet_tools.script import Script, ScriptFailure, parse_script, run_script
from tests.sim.card_targets import TARGETS

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.apdu"))


def _cases() -> list[object]:
    return [
        pytest.param(
            name,
            path,
            id=f"{name}-{path.stem}",
            marks=[pytest.mark.pcsc, pytest.mark.xdist_group("pcsc")] if pcsc else [],
        )
        for name, (_, capabilities, pcsc) in TARGETS.items()
        for path in SCRIPTS
        if _script(path).requires <= capabilities
    ]


def _script(path: Path) -> Script:
    return parse_script(path.stem, path.read_text())


@pytest.mark.parametrize(("target", "path"), _cases())
def test_card_answers_as_the_reference_says(target: str, path: Path) -> None:
    open_target, _, _ = TARGETS[target]
    with open_target() as transport:
        assert run_script(_script(path), transport) > 0


def test_a_card_without_a_mode_refuses_it() -> None:
    open_target, capabilities, _ = TARGETS["applet-t0"]
    script = next(script for script in map(_script, SCRIPTS) if not script.requires <= capabilities)
    with open_target() as transport, pytest.raises(ScriptFailure, match="the card answered 69 85"):
        run_script(script, transport)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("> 00 A4 04 00 ( F054414C4C590101 )\n< 6A82", "expected 6A82, the card answered 90 00"),
        ("> 00 A4 04 00 ( F054414C4C590101 )\n< 90", "expected 90, the card answered 90 00"),
        ("> 00 A4 04 00 ( F054414C4C590101 )\n< {x:3}", "ends before x"),
        ("@let a 01\n@differ {a} {a}", "must differ"),
        ("@let a 01\n@agree {a} 02", "must be the same"),
    ],
)
def test_a_script_that_does_not_fit_fails(text: str, expected: str) -> None:
    open_target, _, _ = TARGETS["emulator-t0"]
    with open_target() as transport, pytest.raises(ScriptFailure, match=expected):
        run_script(parse_script("made up", text), transport)


@pytest.mark.parametrize("text", ["hello", "> 00 ( A4", "> )", "> {nowhere}", "> zz", "< 9000", "> ( )", "> 00*9999"])
def test_what_is_no_script_is_refused_with_its_line(text: str) -> None:
    open_target, _, _ = TARGETS["emulator-t0"]
    with open_target() as transport, pytest.raises(InputError, match="made up:1:"):
        run_script(parse_script("made up", text), transport)
