"""An operator's desk in a whole consortium, and cards in the test's own hands."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Keystore
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import MemberConfig
from pki_chain.demo.stage import OPERATOR, Stage
from pki_chain.identity.batch_file import BatchPlan, batch_content, create_identities, store_batch
from pki_chain.identity.card_files import Addressee, load_activations, load_registrations
from pki_chain.identity.enrolment import Enrolment
from pki_chain.identity.orders import IdentityOrders
from pki_chain.identity.register import IdentityRegister
from pki_chain.ports import PossessionPurpose
from pki_chain.station.gateway_client import GatewayClient
from tests.identity.cards import TestCard, write_lines


@dataclass
class Batch:
    """A batch of the operator and the cards that were made for it, in the test's own hands."""

    file: Path
    content: dict[str, Any]
    cards: dict[str, TestCard]

    def proof(self, identity: str, card: TestCard, purpose: str = "register", **words: str) -> str:
        """What a card signs, computed from the batch file alone, as a personaliser does."""
        template = self.content[purpose]
        own = {"identity": identity, "x": "0x" + card.x.hex(), "y": "0x" + card.y.hex(), **words}
        packed = b"".join(bytes.fromhex(own.get(word, word)[2:]) for word in template["words"])
        separator = bytes.fromhex(template["domain_separator"][2:])
        return card.sign(keccak(b"\x19\x01" + separator + keccak(packed)))

    def header(self, what: str) -> dict[str, Any]:
        return {
            "format": f"tally-identity-{what}/1",
            "operator": self.content["operator"],
            "registry": self.content["registry"],
        }

    def registration(self, identity: str, card: TestCard, **changes: Any) -> dict[str, Any]:
        return {
            "identity": identity,
            "key": card.jwk,
            "proof": self.proof(identity, card),
            "attestation": "none",
            "card_enforced": True,
            "emulator": False,
            **changes,
        }

    def registrations(self, path: Path, *lines: dict[str, Any]) -> str:
        return str(write_lines(path, self.header("registrations"), *lines))

    def activations(self, path: Path, *identities: str) -> str:
        lines = [{"identity": each, "proof": self.proof(each, self.cards[each], "activate")} for each in identities]
        return str(write_lines(path, self.header("activations"), *lines))


class Desk:
    """The operator's desk by the library: what the commands do, without a process for each."""

    def __init__(self, stage: Stage) -> None:
        self.config = MemberConfig.load(stage.home(OPERATOR) / "tally.toml", {})
        self.consortium = self.config.load_consortium()
        self.signer = Keystore.open(self.config.keystore.directory, self.config.keystore.passphrase_file).load(
            "registrar"
        )
        self.gateways = list(stage.gateways.values())
        self.addressee = Addressee(self.config.member.id, self.consortium.identity_registry)

    def prepare(self, directory: Path, count: int) -> Batch:
        now = int(time.time())
        member = self.config.member
        plan = BatchPlan(member.id, member.name, PossessionPurpose.REGISTER, now + 86_400, now + 172_800)
        identities = create_identities(count)
        content = batch_content(self.consortium, plan, identities)
        with IdentityRegister(self.config.identity.data) as record:
            record.prepare(
                identities, "batch", plan.purpose, register_by=plan.register_by, activate_by=plan.activate_by
            )
        file = directory / f"{secrets.token_hex(4)}.json"
        store_batch(file, content)
        return Batch(file, content, {identity: TestCard() for identity in content["identities"]})

    def enrolment(
        self, record: IdentityRegister, gateways: list[str] | None = None, *, clock: Callable[[], float] = time.time
    ) -> Enrolment:
        client, texts = GatewayClient(gateways or self.gateways), TypedTexts(self.consortium)
        return Enrolment(
            record,
            self.config.member.id,
            texts=texts,
            orders=IdentityOrders(texts, self.signer, client, clock=clock),
            gateways=client,
            ledger=LedgerClient(self.consortium),
            clock=clock,
        )

    def register(self, file: str) -> None:
        with IdentityRegister(self.config.identity.data) as record:
            work = self.enrolment(record)
            assert {work.take_registration(line) for line in load_registrations(Path(file), self.addressee)} == {""}
            assert work.run(threading.Event(), timeout_s=60)

    def activate(self, file: str) -> None:
        with IdentityRegister(self.config.identity.data) as record:
            work = self.enrolment(record)
            assert {work.take_activation(line) for line in load_activations(Path(file), self.addressee)} == {""}
            assert work.run(threading.Event(), timeout_s=60)
