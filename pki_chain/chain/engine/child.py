"""The anvil process behind the embedded engine: where it is, how it is started, how it is asked."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pki_chain.chain.engine.journal import Genesis
from pki_chain.chain.errors import EngineStoppedError, RpcError
from pki_chain.errors import ConfigurationError, LedgerUnavailableError

_LAUNCHER = Path(__file__).with_name("launcher.py")
_BUILT = "node_modules/@foundry-rs/anvil-*/bin/anvil"
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
_STATES_KEPT = 32
_REQUEST_TIMEOUT_S = 120.0

log = logging.getLogger(__name__)


def find_anvil() -> str:
    """The anvil program: TALLY_ANVIL, else node_modules here or above (or above this package), else on PATH.

    Raises `ConfigurationError` when there is none.
    """
    named = os.environ.get("TALLY_ANVIL")
    if named:
        if not os.access(named, os.X_OK):
            raise ConfigurationError(f"TALLY_ANVIL names {named}, which is not a program. Correct or unset it.")
        return named
    here, package = Path.cwd(), Path(__file__).resolve().parent
    for directory in (here, *here.parents, *package.parents):
        for found in sorted(directory.glob(_BUILT)):
            if os.access(found, os.X_OK):
                return str(found)
    on_path = shutil.which("anvil")
    if on_path is None:
        raise ConfigurationError(
            "The embedded engine needs anvil. Run `npm ci` in the project, or set TALLY_ANVIL to the program."
        )
    return on_path


class Child:
    """A running anvil on a port of its own on loopback. Safe for threads.

    Start it from a thread that lives as long as it shall: it dies with that thread.
    """

    def __init__(self, genesis: Genesis, *, hardfork: str = "osaka") -> None:
        """Start anvil with an empty ledger. Raises `EngineStoppedError`."""
        arguments = [
            *("--accounts", "0", "--gas-price", "0", "--base-fee", "0", "--disable-min-priority-fee"),
            *("--hardfork", hardfork, "--no-cors", "--prune-history", str(_STATES_KEPT)),
            *("--no-mining", "--order", "fifo", "--host", "127.0.0.1", "--port", "0", "--color", "never"),
            "--no-request-size-limit",
            *("--chain-id", str(genesis.chain_id), "--timestamp", str(genesis.timestamp)),
            *("--gas-limit", str(genesis.gas_limit)),
        ]
        self._process = subprocess.Popen(  # noqa: S603  # program and arguments are ours
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), find_anvil(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._connections: dict[int, http.client.HTTPConnection] = {}
        self._port = self._await_port()
        self._drain = threading.Thread(target=self._discard_output, name="anvil-output", daemon=True)
        self._drain.start()

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process under the feet of those who ask it, from another thread; `stop` must still follow."""
        self._process.kill()

    def stop(self) -> None:
        """End the process. Nothing of it is needed any more: the journal is the record."""
        self._process.kill()
        self._process.wait()
        self._drain.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        for thread in list(self._connections):
            self._close(thread)

    def disconnect(self) -> None:
        """Close this thread's connection to the process, when the thread is about to end."""
        self._close(threading.get_ident())

    def _close(self, thread: int) -> None:
        connection = self._connections.pop(thread, None)
        if connection is not None:
            connection.close()

    def post(self, body: bytes) -> bytes:
        """The answer to a JSON-RPC body. Raises `LedgerUnavailableError` when the process does not answer."""
        connection = self._connection()
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise LedgerUnavailableError("The engine's process does not answer.", detail=repr(error)) from error
        if response.status != http.client.OK:
            raise LedgerUnavailableError("The engine's process does not answer.", detail=f"status {response.status}")
        return content

    def request(self, method: str, *params: Any) -> Any:
        """The result of one request. Raises `RpcError`, `LedgerUnavailableError`."""
        answer = self.batch([(method, params)])[0]
        if "error" in answer:
            raise RpcError(f"anvil: {answer['error'].get('message')}", rpc_code=int(answer["error"].get("code", 0)))
        return answer.get("result")

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """The answers, each with "result" or "error", in the order of the requests."""
        body = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
            for index, (method, params) in enumerate(requests)
        ]
        answers = json.loads(self.post(json.dumps(body if len(body) != 1 else body[0]).encode()))
        by_id = {answer.get("id"): answer for answer in (answers if isinstance(answers, list) else [answers])}
        if by_id.keys() != set(range(len(body))):
            raise LedgerUnavailableError("The engine's process did not answer each request.", detail=str(answers)[:500])
        return [by_id[index] for index in range(len(body))]

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's own connection, made when it asks first."""
        thread = threading.get_ident()
        if thread not in self._connections:
            self._connections[thread] = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_REQUEST_TIMEOUT_S)
        return self._connections[thread]

    def _await_port(self) -> int:
        seen: list[str] = []
        for line in self._process.stdout or ():
            seen.append(line.strip())
            found = _LISTENING.search(line)
            if found:
                return int(found[1])
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        raise EngineStoppedError(
            f"anvil ended with status {self._process.returncode} instead of listening. Run `npm ci` again.",
            detail="\n".join(seen[-20:]),
        )

    def _discard_output(self) -> None:
        for _ in self._process.stdout or ():
            pass
