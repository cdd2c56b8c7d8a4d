"""The SIM agent: from the start of the program to the prompt that a person reads, and the approval after the PIN."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sim_applet_tools.emulator.pcscd import SOCKET_VARIABLE
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from tests.agent.conftest import IDENTITY, PIN, Person, enrolled, make_active, opener
from tests.agent.ledger import Ledger
from tests.agent.person_at_terminal import person_at
from tests.agent.provider import Provider
from tests.agent.provider_http import serve
from tests.bench.figures import Figure
from tests.sim.card_targets import FIRST_SLOT, Readers, fresh_emulator, in_reader

ROUNDS = 15


def measure() -> Iterable[Figure]:
    """All figures of the section `agent`: a card in a reader of a real pcscd, a provider over HTTP, real terminals."""
    try:
        with tempfile.TemporaryDirectory() as folder, _everything(Path(folder)) as (provider, environment):
            logins = [_login(provider, environment) for _ in range(ROUNDS)]
    finally:
        Readers.stop()
    prompts, processor, questions, approvals = zip(*logins, strict=True)
    what = "start of the program to prompt, median"
    yield Figure("agent", what, 1000 * statistics.median(prompts), "ms", "under 300")
    yield Figure("agent", "processor time of that, median", 1000 * statistics.median(processor), "ms")
    what = "start to the question below it (card and ledger looked at), median"
    yield Figure("agent", what, 1000 * statistics.median(questions), "ms")
    yield Figure("agent", "start to prompt, slowest of 15", 1000 * max(prompts), "ms")
    yield Figure("agent", "PIN typed to approval taken, median", 1000 * statistics.median(approvals), "ms")


def _login(provider: Provider, environment: dict[str, str]) -> tuple[float, float, float, float]:
    """Seconds to the prompt, of them on a processor, to the question below it, and from the PIN to the end."""
    login = provider.begin()
    started = time.perf_counter()
    with person_at(["sim", "agent", "open", login.link(local=True)], environment) as person:
        person.wait_for("Verified domain:")
        prompt = time.perf_counter() - started
        processor = _processor_s(person.process.pid)
        person.wait_for("Numbers of items to refuse")
        question = time.perf_counter() - started
        person.type("")
        person.wait_for("PIN")
        person.type(PIN)
        typed = time.perf_counter()
        person.wait_for("Approved.")
        return prompt, processor, question, time.perf_counter() - typed


def _processor_s(pid: int) -> float:
    """User and system time of a process. Source: proc(5), stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _everything(folder: Path) -> Iterator[tuple[Provider, dict[str, str]]]:
    ledger = Ledger()
    with serve(Provider(ledger)) as provider, in_reader(card := fresh_emulator()) as transport:
        key = make_active(find_applet(transport, [load_profile("tally")]))
        ledger.register(IDENTITY, key)
        person = Person(IDENTITY, card, opener(card), key, SeenInMemory())
        with enrolled(provider, person, folder / "agent"):
            pass
        yield (
            provider,
            {
                SOCKET_VARIABLE: str(Readers.pcscd().socket_path),
                "XDG_STATE_HOME": str(folder / "state"),
                "TALLY_AGENT_HOME": str(folder / "agent"),
                "TALLY_SIM_READER": FIRST_SLOT,
                "BROWSER": "true",
                "LC_ALL": "C.UTF-8",
            },
        )
