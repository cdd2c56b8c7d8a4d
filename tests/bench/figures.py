"""Figures and how they are written down. Ratios within one run mean something; seconds of one machine hardly."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

MISSING = "peer not installed"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `aim` and `beside` (a peer's value in the same unit and run) where there is one."""

    section: str
    what: str
    value: float
    unit: str
    aim: str = ""
    beside: float | None = None
    beside_what: str = ""


def median_rate(work: Callable[[], int], seconds: Callable[[], float], runs: int = 3) -> float:
    """Median of `runs` of how many a second, after one run that is not counted."""
    rates = []
    for run in range(runs + 1):
        begun = seconds()
        done = work()
        if run:
            rates.append(done / (seconds() - begun))
    return statistics.median(rates)


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "engine": "embedded (anvil with our journal), one process",
    }


def write(figures: Sequence[Figure], target: Path) -> None:
    """JSON to `target`, a table to standard output."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "figures": [asdict(each) for each in figures]}
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = Table(title="Measured on " + ", ".join(f"{key} {value}" for key, value in machine().items()))
    for heading in ("section", "what", "value", "unit", "aim", "beside it", "ratio"):
        table.add_column(heading, justify="right" if heading in {"value", "ratio"} else "left")
    for each in figures:
        beside = each.beside_what if each.beside is None else f"{each.beside_what} {each.beside:,.4g}"
        ratio = "" if not each.beside else f"{each.value / each.beside:.2f}"
        table.add_row(each.section, each.what, f"{each.value:,.4g}", each.unit, each.aim, beside, ratio)
    Console(width=160).print(table)
