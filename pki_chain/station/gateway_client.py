"""REST of gateways, as a station, an administrator or the demo uses it: several addresses, failover, bounded answers.

An answer is taken at its word: what a gateway refused is a `RefusedError` and is not tried at another. Only a gateway
that does not answer, or is not able to (429, 5xx), is passed over.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests

from pki_chain.errors import (
    ConfigurationError,
    InputError,
    LedgerUnavailableError,
    NotFoundError,
    RefusedError,
    TallyError,
)
from pki_chain.station.outbox import SignedBatch

Json = dict[str, Any]

_CONNECT_TIMEOUT_S: Final = 3.05
_MAX_ANSWER_BYTES: Final = 8 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayRefusal:
    """A problem document (RFC 9457): HTTP status, our error code where there is one, and the text."""

    status: int
    code: str
    text: str


class GatewayRefusedError(RefusedError):
    """A gateway refused the request itself; `refusal` says why. Sending the same again does not help."""

    def __init__(self, refusal: GatewayRefusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class GatewayClient:
    """Any of `gateways`, the first that answers; `token` opens look-ups that need a member's token."""

    def __init__(self, gateways: Sequence[str], timeout_s: float = 10.0, token: str = "") -> None:
        """Raises `ConfigurationError` when no gateway is named."""
        if not gateways:
            raise ConfigurationError(
                "no gateway is named: give --gateway, or set [station] gateways in tally.toml (TALLY_STATION_GATEWAYS)"
            )
        self._gateways = tuple(each.rstrip("/") for each in gateways)
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy from the environment would see what goes to our own gateway
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    @property
    def gateways(self) -> tuple[str, ...]:
        return self._gateways

    def get(self, path: str, *, gateway: str = "") -> Json:
        """The JSON object at `path`. Raises `NotFoundError`, `GatewayRefusedError`, `LedgerUnavailableError`."""
        return self._first_answer("GET", path, None, gateway)

    def post(self, path: str, content: Mapping[str, Any], *, gateway: str = "") -> Json:
        """Post a JSON object, and return the one that is answered. Raises as `get`."""
        return self._first_answer("POST", path, content, gateway)

    def submit(self, batch: SignedBatch, *, copies: int = 1) -> list[str]:
        """Post a signed batch to `copies` gateways, or as many as answer; returns those that acknowledged it.

        Raises `GatewayRefusedError` when all that answered refused, `LedgerUnavailableError` when none answered.
        """
        content = {
            "station": batch.submission.station,
            "profile": batch.submission.profile,
            "lot": batch.submission.lot,
            "nonce": str(batch.submission.nonce),
            "deadline": batch.submission.deadline,
            "certificates": [base64.b64encode(entry.der).decode() for entry in batch.entries],
            "signature": "0x" + batch.signature.hex(),
        }
        acknowledged: list[str] = []
        failures: list[TallyError] = []
        for gateway in self._gateways:
            if len(acknowledged) == copies:
                break
            try:
                answer = self.post("/v1/submissions", content, gateway=gateway)
            except (LedgerUnavailableError, RefusedError, InputError, NotFoundError) as error:
                failures.append(error)
                continue
            if answer.get("digest") != "0x" + batch.digest.hex():
                failures.append(
                    LedgerUnavailableError(f"{gateway} acknowledged another digest than the one that was sent")
                )
                continue
            acknowledged.append(gateway)
        if acknowledged:
            return acknowledged
        refusals = [each for each in failures if isinstance(each, GatewayRefusedError)]
        if refusals and len(refusals) == len(failures):
            raise refusals[0]
        raise next(each for each in failures if not isinstance(each, GatewayRefusedError))

    def _first_answer(self, method: str, path: str, content: Mapping[str, Any] | None, gateway: str) -> Json:
        failures: list[str] = []
        for each in (gateway,) if gateway else self._gateways:
            try:
                return self._ask(method, each, path, content)
            except LedgerUnavailableError as error:
                log.info("%s is passed over: %s", each, error)
                failures.append(error.message)
        raise LedgerUnavailableError("; ".join(failures))

    def _ask(self, method: str, gateway: str, path: str, content: Mapping[str, Any] | None) -> Json:
        try:
            with self._session.request(
                method,
                gateway + path,
                json=content,
                headers={"Accept": "application/json"},
                timeout=(_CONNECT_TIMEOUT_S, self._timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = response.raw.read(_MAX_ANSWER_BYTES + 1, decode_content=True)
                status = response.status_code
        except (requests.RequestException, OSError) as error:
            raise LedgerUnavailableError(
                f"gateway {gateway} does not answer: check that `tally gateway run` is up and the address is right",
                detail=repr(error),
            ) from error
        except Exception as error:
            # urllib3 raises errors of its own while the raw body is read; nothing else can be raised here.
            raise LedgerUnavailableError(f"gateway {gateway} broke off its answer", detail=repr(error)) from error
        if len(body) > _MAX_ANSWER_BYTES:
            raise LedgerUnavailableError(f"gateway {gateway} answered more than {_MAX_ANSWER_BYTES} bytes")
        return _judge(gateway, status, _json_object(body))


def _json_object(body: bytes) -> Json | None:
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _judge(gateway: str, status: int, content: Json | None) -> Json:
    """The answer, or the error that its status stands for."""
    if 200 <= status < 300:
        if content is None:
            raise LedgerUnavailableError(f"gateway {gateway} answered {status} without a JSON object")
        return content
    problem = content or {}
    text = str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
    code = str(problem.get("code") or str(problem.get("type", "")).rsplit("/", 1)[-1].rsplit(":", 1)[-1])
    if status == 429 or status >= 500:
        raise LedgerUnavailableError(f"gateway {gateway} cannot answer now (status {status}): {text}")
    if status == 404:
        raise NotFoundError(f"gateway {gateway}: {text}")
    raise GatewayRefusedError(GatewayRefusal(status, code, text))
