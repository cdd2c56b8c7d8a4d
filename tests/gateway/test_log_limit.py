"""Logs do not grow with what goes wrong."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tally_service.log_limit import MOST_KINDS, LogLimit
from tally_service.logs import JsonFormatter
from tests.gateway.conftest import Gateway, problem_code


class Log:
    """A logger of its own, whose lines are kept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.limit = LogLimit(burst=3, period_s=60, ticks=lambda: self.now)
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(JsonFormatter("test", with_traceback=True))
        handler.addFilter(self.limit)
        self.logger = logging.getLogger("tests.log_limit")
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)
        self.logger.handlers = [handler]

    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.logger.handlers = []


def test_the_same_complaint_is_logged_a_few_times_and_then_counted(log: Log) -> None:
    for number in range(1_000):
        log.logger.warning("endpoint %d is away", number)
    log.logger.warning("another complaint")
    assert log.messages() == [*(f"endpoint {number} is away" for number in range(3)), "another complaint"]
    log.now = 60
    log.logger.warning("endpoint %d is away", 7)
    assert log.messages()[-1] == "endpoint 7 is away (997 more like this were left out)"
    log.logger.warning("endpoint %d is away", 8)
    assert log.messages()[-1] == "endpoint 8 is away"


def test_work_done_is_logged_always(log: Log) -> None:
    for number in range(100):
        log.logger.info("submission %d is sent", number)
    assert len(log.messages()) == 100


def test_complaints_of_ever_new_kinds_cost_no_memory(log: Log) -> None:
    for number in range(2 * MOST_KINDS):
        log.logger.warning(f"kind {number}")
    assert len(log.limit._kinds) == MOST_KINDS


def test_an_outage_logs_by_kind_and_not_by_request(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """A flood of bad requests must not hide that a disk is full."""
    gateway.clock.seconds += 1_000
    caplog.handler.addFilter(limit := LogLimit(burst=3))
    try:
        for _ in range(50):
            problem_code(gateway.client.get(f"/v1/certificates/{'00' * 32}/status"), 503)
            gateway.client.post("/v1/orders", data=b"{", content_type="application/json")
        gateway.client.get("/v1/certificates?key=" + "00" * 32)
    finally:
        caplog.handler.removeFilter(limit)
    names = [record.name.rpartition(".")[2] for record in caplog.records]
    assert (names.count("stale"), names.count("not-json")) == (3, 3)
