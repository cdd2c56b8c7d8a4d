"""`/healthz`, `/readyz`, `/metrics`, `/openapi.json`: for those who run the gateway."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from flask import Blueprint, Response

from pki_chain.errors import TallyError
from pki_chain.gateway.answers import json_answer
from pki_chain.gateway.problems import problem_of
from pki_chain.gateway.services import services
from tally_service.prometheus import Metric, render, requests_metric

operations = Blueprint("operations", __name__)


@operations.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return json_answer({"status": "ok"})


@operations.get("/readyz")
def readyz() -> Response:
    """The read model is fresh: this gateway may be sent traffic. 503 with the problem where it is not."""
    try:
        moment = services().freshness.moment()
    except TallyError as error:
        return problem_of(error)
    return json_answer({"status": "ready", **moment.content()})


@operations.get("/metrics")
def metrics() -> Response:
    """Prometheus text."""
    response = Response(render([*_ledger_metrics(), *_work_metrics()]), 200)
    response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    return response


@operations.get("/openapi.json")
def openapi() -> Response:
    """This interface, as OpenAPI 3.1."""
    response = json_answer(load_openapi())
    response.headers["Cache-Control"] = "max-age=3600"
    return response


@cache
def load_openapi() -> dict[str, object]:
    """The document that ships with the package."""
    document: dict[str, object] = json.loads(files(__package__).joinpath("openapi.json").read_text(encoding="utf-8"))
    return document


def _ledger_metrics() -> list[Metric]:
    parts = services()
    try:
        block = parts.read_model.head()
    except TallyError:
        return [Metric("tally_read_model_up", "gauge", "Whether the read model can answer.", (({}, 0),))]
    age_s = round(parts.freshness.now() - block.time, 3)
    return [
        Metric("tally_read_model_up", "gauge", "Whether the read model can answer.", (({}, 1),)),
        Metric("tally_block_number", "gauge", "Last block taken in.", (({}, block.number),)),
        Metric("tally_age_seconds", "gauge", "Age of that block; below 0 where the clock is behind.", (({}, age_s),)),
    ]


def _work_metrics() -> list[Metric]:
    parts = services()
    inbox = tuple(
        ({"kind": kind, "state": state}, float(count)) for (kind, state), count in sorted(parts.inbox.counts().items())
    )
    return [
        Metric("tally_inbox", "gauge", "What was acknowledged, by how far it has come.", inbox),
        requests_metric("tally_requests_total", parts.counters.totals()),
    ]
