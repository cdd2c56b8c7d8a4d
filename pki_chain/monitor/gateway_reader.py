"""Reads of gateways that may be large or may last: bundles, pages of the change feed, the stream that wakes us."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import requests

from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError

_CONNECT_TIMEOUT_S: Final = 3.05
_MAX_BYTES: Final = 256 << 20
_SILENCE_S: Final = 15.0
"""A stream says something every 5 s: one that is silent for longer is dead."""


class GatewayReader:
    """The first of several gateways that answers; `token` opens lists."""

    def __init__(self, gateways: Sequence[str], token: str = "", timeout_s: float = 10.0) -> None:
        """Raises `ConfigurationError` when no gateway is named."""
        if not gateways:
            raise ConfigurationError("No gateway is named. Give --gateway, or set [station] gateways in tally.toml.")
        self._gateways = tuple(each.rstrip("/") for each in gateways)
        self._timeout_s = timeout_s
        self._session = open_session(token)

    def read(self, path: str, query: Mapping[str, object]) -> bytes:
        """The body of a 200. Raises `RefusedError` for another answer, `LedgerUnavailableError` where there is none."""
        failures: list[str] = []
        for gateway in self._gateways:
            try:
                return self._ask(gateway + path, query)
            except LedgerUnavailableError as error:
                failures.append(error.message)
        raise LedgerUnavailableError(" ".join(failures))

    def read_object(self, path: str, query: Mapping[str, object]) -> dict[str, Any]:
        """As `read`, the JSON object in it."""
        try:
            content = json.loads(self.read(path, query))
        except (ValueError, RecursionError) as error:
            raise LedgerUnavailableError(f"A gateway's answer at {path} is no JSON. Ask another gateway.") from error
        if not isinstance(content, dict):
            raise LedgerUnavailableError(f"A gateway's answer at {path} is no object. Ask another gateway.")
        return content

    def _ask(self, address: str, query: Mapping[str, object]) -> bytes:
        parameters = {name: str(value) for name, value in query.items()}
        try:
            with self._session.get(
                address,
                params=parameters,
                timeout=(_CONNECT_TIMEOUT_S, self._timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                body: bytes = response.raw.read(_MAX_BYTES + 1, decode_content=True)
                status = response.status_code
        except Exception as error:  # requests' and urllib3's; nothing else is raised here
            raise LedgerUnavailableError(f"{address} does not answer. Look after that gateway.") from error
        if status == 200 and len(body) <= _MAX_BYTES:
            return body
        if status in {400, 401, 403, 404, 422}:
            raise RefusedError(f"{address} refuses: {_detail_of(body)}")
        raise LedgerUnavailableError(f"{address} cannot answer now (status {status}): {_detail_of(body)}")


class Wake:
    """Follows a gateway's stream from a thread of its own, and wakes whoever waits when something changed.

    It only makes things faster: whoever waits looks by itself after a while.
    """

    def __init__(self, stream: str, token: str = "") -> None:
        """`stream` is the address of the stream port."""
        self._address = stream.rstrip("/") + "/v1/changes"
        self._session = open_session(token)
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="change-stream", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wake who waits, and follow no more."""
        self._stop.set()
        self._woken.set()

    def wait(self, timeout_s: float) -> None:
        """Until something changed, at most so long."""
        self._woken.wait(timeout_s)
        self._woken.clear()

    def _follow(self) -> None:
        while not self._stop.is_set():
            with suppress(Exception):  # a stream that broke is opened again; whoever waits looks by himself meanwhile
                self._read()
            self._woken.set()  # something may have changed while nobody listened
            self._stop.wait(1.0)

    def _read(self) -> None:
        with self._session.get(
            self._address,
            params={"after": "now"},
            timeout=(_CONNECT_TIMEOUT_S, _SILENCE_S),
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code != 200:
                return
            for line in response.iter_lines(chunk_size=1):
                if self._stop.is_set():
                    return
                if line == b"event: change":
                    self._woken.set()


def open_session(token: str) -> requests.Session:
    """A session that no proxy of the environment sees."""
    session = requests.Session()
    session.trust_env = False
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def _detail_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "without a reason"
