"""Counts of several processes are added up, and what cannot be shared is counted all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tally_service.counters import Counters
from tally_service.prometheus import render, requests_metric

ROUTES = ("one", "other")


def count_elsewhere(directory: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tally_service.counters import Counters;"
        "counters = Counters(('one', 'other'), Path(sys.argv[1]));"
        "[counters.count('one', status) for status in (200, 200, 404)]"
    )
    subprocess.run((sys.executable, "-c", code, str(directory)), check=True)


def test_processes_are_added_up(tmp_path: Path) -> None:
    here = Counters(ROUTES, tmp_path)
    here.count("one", 200)
    here.count("other", 503)
    count_elsewhere(tmp_path)
    totals = here.totals()
    assert {key: count for key, count in totals.items() if count} == {
        ("one", "2xx"): 3,
        ("one", "4xx"): 1,
        ("other", "5xx"): 1,
    }
    text = render([requests_metric("requests_total", totals)])
    assert 'requests_total{route="one",status="2xx"} 3\n' in text
    assert text.count("requests_total{") == 3
    Counters(ROUTES, tmp_path).clear()
    assert not any(Counters(ROUTES, tmp_path).totals().values())


def test_files_of_other_routes_are_left_out(tmp_path: Path) -> None:
    count_elsewhere(tmp_path)
    assert not any(Counters(("one",), tmp_path).totals().values())


def test_one_process_counts_for_itself() -> None:
    counters = Counters(ROUTES)
    assert not any(counters.totals().values())
    for status in (101, 301):
        counters.count("one", status)
    assert (counters.totals()["one", "2xx"], counters.totals()["one", "3xx"]) == (1, 1), "what is below counts as done"


def test_what_cannot_be_shared_is_left_out_and_no_reason_to_fail(tmp_path: Path) -> None:
    """Another worker would not know of it, and the sums would jump."""
    (tmp_path / "file").write_text("")
    counters = Counters(ROUTES, tmp_path / "file" / "below")
    counters.count("one", 200)
    assert not any(counters.totals().values())
