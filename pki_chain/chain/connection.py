"""JSON-RPC to the ledger over several endpoints, and the contracts' reverts as named errors.

An endpoint that does not answer (refused, timed out, HTTP error, not JSON-RPC, wrong chain) is passed over and the
next one asked; what an endpoint *answers*, a JSON-RPC error or a revert, is an answer and is not asked again
elsewhere. Each endpoint's chain id is checked before its first use.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from pki_chain.chain.abi import describe_revert
from pki_chain.chain.errors import AnswerTooLargeError, RpcError
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError, TallyError
from pki_chain.ports import Address

Json = Any
"""What a JSON-RPC result may be."""

MAX_ANSWER_BYTES = 64 << 20
MAX_BATCH = 500
_CONNECT_TIMEOUT_S = 3.0
_CHUNK_BYTES = 1 << 16

T = TypeVar("T")

log = logging.getLogger(__name__)


class WrongChainError(ConfigurationError):
    """An endpoint serves another chain than the consortium's."""

    code = "wrong-chain"


class Connection:
    """One ledger, reached through any of `endpoints`. Safe for threads.

    `chain_id` None takes the id that the first endpoint answers; the others must then answer the same.
    """

    def __init__(self, endpoints: Sequence[str], timeout_s: float = 10.0, *, chain_id: int | None = None) -> None:
        if not endpoints:
            raise ConfigurationError("No endpoint of the ledger is given. Name one in ledger.endpoints.")
        self._endpoints = tuple(endpoints)
        self._timeout_s = timeout_s
        self._chain_id = chain_id
        self._checked: set[str] = set()
        self._preferred = 0
        self._ids = count(1)
        self._lock = threading.Lock()
        self._sessions = threading.local()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._endpoints

    def chain_id(self) -> int:
        """The chain's id. Raises `LedgerUnavailableError` when nobody answers."""
        return parse_quantity(self.request("eth_chainId", []))

    def request(self, method: str, params: Sequence[Json]) -> Json:
        """The result of one request.

        Raises `RefusedError` for a contract's revert, `RpcError` for another JSON-RPC error,
        `LedgerUnavailableError` when no endpoint answers.
        """
        return self._failover(lambda endpoint: _result(self._ask(endpoint, [(method, params)])[0]))

    def batch(self, requests_: Sequence[tuple[str, Sequence[Json]]]) -> list[Json | RpcError | RefusedError]:
        """The results of many requests in their order; an error stands in its request's place. All of one call are
        answered by one endpoint."""

        def ask(endpoint: str) -> list[Json | RpcError | RefusedError]:
            answers: list[Json | RpcError | RefusedError] = []
            for answer in self._ask_all(endpoint, requests_):
                try:
                    answers.append(_result(answer))
                except (RpcError, RefusedError) as error:
                    answers.append(error)
            return answers

        return self._failover(ask)

    def results(self, requests_: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """As `batch`, but the first error is raised."""
        return self.read(requests_, lambda answers: answers)

    def read(self, requests_: Sequence[tuple[str, Sequence[Json]]], parse: Callable[[list[Json]], T]) -> T:
        """As `results`, and what `parse` makes of them. An endpoint at whose results it raises
        `LedgerUnavailableError` is passed over like one that does not answer."""

        def ask(endpoint: str) -> T:
            return parse([_result(answer) for answer in self._ask_all(endpoint, requests_)])

        return self._failover(ask)

    def call(
        self, to: Address, data: bytes, block: str | int = "latest", *, sender: Address | None = None, gas: int = 0
    ) -> bytes:
        """What a contract's function returns, executed at `block` without a transaction. Reverts: `RefusedError`."""
        result = self.request("eth_call", [call_object(to, data, sender=sender, gas=gas), block_tag(block)])
        return parse_bytes(result)

    def _failover(self, ask: Callable[[str], T]) -> T:
        failures: list[TallyError] = []
        first = self._preferred
        for step in range(len(self._endpoints)):
            index = (first + step) % len(self._endpoints)
            endpoint = self._endpoints[index]
            try:
                self._check_chain(endpoint)
                answer = ask(endpoint)
            except AnswerTooLargeError:
                raise
            except (LedgerUnavailableError, WrongChainError) as error:
                log.warning("endpoint %s is passed over: %s", _shown(endpoint), error)
                failures.append(error)
                continue
            self._preferred = index
            return answer
        if all(isinstance(failure, WrongChainError) for failure in failures):
            raise failures[0]
        raise LedgerUnavailableError(
            "No endpoint of the ledger answers. Check that it runs and that ledger.endpoints is right: "
            + " ".join(str(failure) for failure in failures)
        )

    def _check_chain(self, endpoint: str) -> None:
        """Refuse an endpoint of another chain, once before its first use."""
        if endpoint in self._checked:
            return
        found = parse_quantity(_result(self._ask(endpoint, [("eth_chainId", [])])[0]))
        with self._lock:
            if self._chain_id is None:
                self._chain_id = found
            if found != self._chain_id:
                raise WrongChainError(
                    f"{_shown(endpoint)} serves chain {found}, not chain {self._chain_id}. Correct ledger.endpoints."
                )
            self._checked.add(endpoint)

    def _ask_all(self, endpoint: str, requests_: Sequence[tuple[str, Sequence[Json]]]) -> Iterator[Mapping[str, Json]]:
        for start in range(0, len(requests_), MAX_BATCH):
            yield from self._ask(endpoint, requests_[start : start + MAX_BATCH])

    def _ask(self, endpoint: str, requests_: Sequence[tuple[str, Sequence[Json]]]) -> list[Mapping[str, Json]]:
        """Post requests as one JSON-RPC batch (or alone) and return their answers in order."""
        first = next(self._ids)
        bodies = [
            {"jsonrpc": "2.0", "id": f"{first}.{index}", "method": method, "params": list(params)}
            for index, (method, params) in enumerate(requests_)
        ]
        answer = self._post(endpoint, bodies[0] if len(bodies) == 1 else bodies)
        answers = answer if isinstance(answer, list) and len(bodies) > 1 else [answer]
        by_id = {each["id"]: each for each in answers if isinstance(each, dict) and isinstance(each.get("id"), str)}
        if by_id.keys() != {body["id"] for body in bodies} or len(answers) != len(bodies):
            raise LedgerUnavailableError(f"{_shown(endpoint)} did not answer each request with JSON-RPC.")
        return [by_id[body["id"]] for body in bodies]

    def _post(self, endpoint: str, body: Json) -> Json:
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._session().post(
                endpoint,
                json=body,
                timeout=(min(_CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s),
                stream=True,
                allow_redirects=False,
            ) as response:
                content = bytearray()
                for chunk in response.iter_content(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise AnswerTooLargeError(f"{_shown(endpoint)} answered more than {MAX_ANSWER_BYTES} bytes.")
                    if time.monotonic() > deadline:
                        raise LedgerUnavailableError(f"{_shown(endpoint)} took over {self._timeout_s:g} s to answer.")
                status = response.status_code
        except requests.Timeout as error:
            raise LedgerUnavailableError(f"{_shown(endpoint)} took over {self._timeout_s:g} s to answer.") from error
        except requests.RequestException as error:
            raise LedgerUnavailableError(f"{_shown(endpoint)} cannot be reached.", detail=str(error)) from error
        if status != requests.codes.ok:
            raise LedgerUnavailableError(f"{_shown(endpoint)} answered with HTTP status {status}.")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise LedgerUnavailableError(f"{_shown(endpoint)} did not answer with JSON.") from error

    def _session(self) -> requests.Session:
        """One session a thread: sessions are not made for sharing. Proxies and .netrc of the environment are left
        aside, so that what goes to the ledger goes where the settings say."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            self._sessions.session = session
        return session


def _shown(endpoint: str) -> str:
    """Scheme, host and port: the path may hold a token and goes into no message."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _result(answer: Mapping[str, Json]) -> Json:
    error = answer.get("error")
    if error is None:
        if "result" not in answer:
            raise LedgerUnavailableError("The endpoint answered with neither a result nor an error.")
        return answer["result"]
    if not isinstance(error, dict):
        raise LedgerUnavailableError("The endpoint answered with an error that is not JSON-RPC's.")
    text, code, data = str(error.get("message", ""))[:1000], error.get("code", 0), error.get("data")
    rpc_code = code if isinstance(code, int) else 0
    if isinstance(data, str) and data.startswith("0x") and (rpc_code == 3 or "revert" in text.lower()):
        raise RefusedError(describe_revert(parse_bytes(data)), detail=text)
    if rpc_code == 3 or "execution reverted" in text.lower():
        raise RefusedError("The contract refused without giving a reason.", detail=text)
    raise RpcError(
        f"The ledger refused a request: {text}", rpc_code=rpc_code, data=data if isinstance(data, str) else ""
    )


def call_object(to: Address | None, data: bytes, *, sender: Address | None = None, gas: int = 0) -> dict[str, str]:
    """The object that eth_call and eth_estimateGas take; `to` None creates a contract."""
    call = {"data": "0x" + data.hex()}
    if to is not None:
        call["to"] = to
    if sender is not None:
        call["from"] = sender
    if gas:
        call["gas"] = hex(gas)
    return call


def block_tag(block: str | int) -> str:
    """A block's number, or a tag such as "latest", as JSON-RPC wants it."""
    return block if isinstance(block, str) else hex(block)


def parse_bytes(value: Json, length: int | None = None) -> bytes:
    """Hexadecimal with 0x to bytes. Raises `LedgerUnavailableError` when an endpoint sent something else."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            content = bytes.fromhex(value[2:])
        except ValueError:
            content = None
        if content is not None and (length is None or len(content) == length):
            return content
    raise LedgerUnavailableError("An endpoint answered something that is not hexadecimal where bytes were due.")


def parse_quantity(value: Json) -> int:
    """A JSON-RPC quantity to a number. Raises `LedgerUnavailableError` when an endpoint sent something else."""
    if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise LedgerUnavailableError("An endpoint answered something that is not a quantity where a number was due.")
