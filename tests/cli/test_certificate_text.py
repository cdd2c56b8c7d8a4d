"""How a status reads to a person."""

from __future__ import annotations

from pki_chain.cli.certificate import _lines

ANSWER = {
    "sha256": "ab" * 32,
    "der": "AAAA",
    "names": [{"kind": "dns", "value": "a.example"}],
    "not_before": 0,
    "not_after": 253_402_300_799,
    "status": {"state": "revoked", "reason": {"number": 1, "name": "keyCompromise"}, "holds": [], "since": 86_400},
    "block": {"number": 7, "time": 60, "hash": "0x01"},
    "age_s": 1.5,
}


def test_times_names_and_reasons_are_readable() -> None:
    lines = dict(line.split(maxsplit=1) for line in _lines(ANSWER).splitlines())
    assert lines == {
        "sha256": "ab" * 32,
        "names": "dns:a.example",
        "not_before": "1970-01-01T00:00:00+00:00",
        "not_after": "never",
        "state": "revoked",
        "reason": "keyCompromise",
        "since": "1970-01-02T00:00:00+00:00",
        "block": "7 of 1970-01-01T00:01:00+00:00, 0x01",
    }
