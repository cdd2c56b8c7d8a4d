"""`python -m tests.bench [SECTION]...`, of those in SECTIONS or all: measure, write build/bench.json, print a table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench import agent, authority_lists, gas, ipsec, issuing, keys, ocsp, oidc, proofs, relying, serving, sim
from tests.bench.figures import Figure, write


def _issue() -> Iterable[Figure]:
    yield from issuing.measure()
    with tempfile.TemporaryDirectory() as directory:
        yield issuing.files(Path(directory) / "devices")


SECTIONS: dict[str, Callable[[], Iterable[Figure]]] = {
    "issue": _issue,
    "gas": gas.measure,
    "serving": serving.measure,
    "sim": sim.measure,
    "agent": agent.measure,
    "proof": proofs.measure,
    "ipsec": ipsec.measure,
    "relying": relying.measure,
    "ca-lists": authority_lists.measure,
    "ocsp": ocsp.measure,
    "oidc": oidc.measure,
    "keys": keys.measure,
}


def main(wanted: list[str]) -> int:
    """Measure the sections named, or all. Exit status 2 for an unknown name."""
    unknown = set(wanted) - SECTIONS.keys()
    if unknown:
        print(f"unknown section {', '.join(sorted(unknown))}: choose of {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in wanted or SECTIONS:
        print(f"measuring: {name}", file=sys.stderr)
        figures += SECTIONS[name]()
    write(figures, Path("build/bench.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
