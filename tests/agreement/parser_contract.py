"""The contract's verdicts, for comparison: CertificateParser on an anvil of its own, asked by eth_call."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests
from eth_abi import decode, encode
from eth_hash.auto import keccak

from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules

ROOT = Path(__file__).resolve().parents[2]
ARTIFACT = ROOT / "pki_chain" / "chain" / "artifacts" / "CertificateParser.json"
ANVIL = ROOT / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
CERTIFICATES_A_CALL = 150
GAS = 2_000_000_000
START_S = 20.0
NO_TRUST_LIST = "0x" + "00" * 20

PROFILE = (
    "(string,bool,bool,bool,bool,uint8,uint8,uint8,uint8,uint16,uint16,uint16,uint32,uint32,uint8,uint8,uint32,uint32)"
)
RULES = f"({PROFILE},bytes,(uint8,uint8,uint64,uint64,bytes)[],uint64,address)"
# An external library's selector is made from the names of its structs, not from their members.
CHECK_BATCH = keccak(b"checkBatch(bytes[],CertificateRules)")[:4]


@dataclass(frozen=True)
class Verdict:
    """What one implementation says of one certificate; with a reason, the rest means nothing and is zero."""

    reason: Reason | None
    not_after: int = 0
    spki_hash: bytes = bytes(32)
    tbs_hash: bytes = bytes(32)


class Engine(Protocol):
    """Where the contract runs."""

    def deploy(self, bytecode: str) -> str:
        """The contract's address, from its creation code in hexadecimal."""
        ...

    def call(self, to: str, data: bytes) -> bytes: ...


class Anvil:
    """JSON-RPC of one engine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()

    def request(self, method: str, *params: object) -> object:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._session.post(self._url, json=body, timeout=120).json()
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def deploy(self, bytecode: str) -> str:
        sender = self.request("eth_accounts")[0]  # type: ignore[index]
        transaction = {"from": sender, "data": bytecode, "gas": hex(GAS)}
        sent = self.request("eth_sendTransaction", transaction)
        self.request("evm_mine")
        receipt = self.request("eth_getTransactionReceipt", sent)
        assert isinstance(receipt, dict)
        assert receipt["status"] == "0x1"
        return str(receipt["contractAddress"])

    def call(self, to: str, data: bytes) -> bytes:
        result = self.request("eth_call", {"to": to, "data": "0x" + data.hex(), "gas": hex(GAS)}, "latest")
        return bytes.fromhex(str(result)[2:])


@contextmanager
def running_anvil() -> Iterator[Anvil]:
    """An engine on a port that it chooses itself, ended with the block. Raises AssertionError if it does not start."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--hardfork", "osaka", "--gas-limit", str(GAS)]
    arguments += ["--no-mining", "--accounts", "1", "--gas-price", "0", "--base-fee", "0"]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen([ANVIL, *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Anvil(_wait_for_port(process, Path(log.name)))
        finally:
            process.terminate()
            process.wait(timeout=START_S)


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if listening := re.search(r"Listening on 127\.0\.0\.1:(\d+)\n", log.read_text()):
            return int(listening[1])
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    raise AssertionError(f"anvil does not answer: {log.read_text()[-1_000:]}")


class ParserContract:
    """CertificateParser, deployed; `trust_list` is where it looks up the issuers of CA-issued certificates."""

    def __init__(self, engine: Engine, trust_list: str = NO_TRUST_LIST) -> None:
        self._engine = engine
        self._trust_list = trust_list
        self._address = engine.deploy(json.loads(ARTIFACT.read_text())["bytecode"])

    def check(self, certificates: Sequence[bytes], rules: CertificateRules) -> list[Verdict]:
        """Verdicts in order."""
        verdicts: list[Verdict] = []
        for start in range(0, len(certificates), CERTIFICATES_A_CALL):
            verdicts += self._call(certificates[start : start + CERTIFICATES_A_CALL], rules)
        return verdicts

    def _call(self, certificates: Sequence[bytes], rules: CertificateRules) -> Iterable[Verdict]:
        arguments = encode(["bytes[]", RULES], [list(certificates), encode_rules(rules, self._trust_list)])
        answer = self._engine.call(self._address, CHECK_BATCH + arguments)
        (checked,) = decode(["(uint16,uint40,bytes32,bytes32)[]"], answer)
        assert len(checked) == len(certificates)
        for reason, *facts in checked:
            yield Verdict(Reason(reason) if reason else None, *facts)


def encode_rules(rules: CertificateRules, trust_list: str) -> tuple[object, ...]:
    """As `CertificateRules` in Solidity."""
    ranges = [(int(span.kind), span.bits, span.first, span.last, span.value) for span in rules.ranges]
    profile = tuple(rules.profile.content().values())
    return (profile, rules.organisation.encode(), ranges, rules.block_time, trust_list)
