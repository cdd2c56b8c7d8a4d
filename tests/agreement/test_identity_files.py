"""An operator's batch file, and what comes back from cards: two packages that share no code read each other's files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError
from pki_chain.identity.attestation import Attestations
from pki_chain.identity.batch_file import BatchPlan, batch_content, create_identities, store_batch
from pki_chain.identity.card_files import Addressee, RegistrationLine, load_registrations
from pki_chain.identity.possession import parse_possession, verify_possession
from pki_chain.ports import Address, Attestation, PossessionPurpose
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import MemoryStore
from sim_applet_tools.iot_safe.pin import ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.personalise.activation import activate_card
from sim_applet_tools.personalise.attestation import Attester
from sim_applet_tools.personalise.batch import load_batch
from sim_applet_tools.personalise.workplace import Workplace, personalise
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.loopback import LoopbackTransport

OPERATOR, REGISTER_BY, ACTIVATE_BY = 7, 4_000_000_000, 4_000_000_001
PIN = "98765432"


def _consortium() -> ConsortiumFile:
    addresses = [Address("0x" + digit * 40) for digit in "12345"]
    return ConsortiumFile(202611, b"\x05" * 32, *addresses, {}, (), 1, bytes(32))


def _batch(
    folder: Path, purpose: PossessionPurpose = PossessionPurpose.REGISTER, name: str = "Betreiber Ü 运营商"
) -> Path:
    plan = BatchPlan(OPERATOR, name, purpose, REGISTER_BY, ACTIVATE_BY)
    path = folder / "batch.json"
    store_batch(path, batch_content(_consortium(), plan, create_identities(2)))
    return path


def _verified(line: RegistrationLine, purpose: PossessionPurpose, deadline: int, proof: str | None = None) -> None:
    texts = TypedTexts(_consortium())
    digest = texts.possession(OPERATOR, line.identity, line.key.x, line.key.y, purpose, deadline).digest()
    possession = line.possession if proof is None else parse_possession(proof)
    verify_possession(possession, digest, line.key.x, line.key.y)


@pytest.mark.parametrize("purpose", [PossessionPurpose.REGISTER, PossessionPurpose.REPLACE])
def test_from_prepared_to_activated(tmp_path: Path, purpose: PossessionPurpose) -> None:
    batch = load_batch(_batch(tmp_path, purpose))
    attester = Attester(ec.generate_private_key(ec.SECP256R1()))
    cards = [EmulatedCard(MemoryStore(replace(new_image(), flags=flags))) for flags in (0, 1)]
    with Workplace(tmp_path / "cards", batch) as work:
        steps = work.steps([load_profile("tally")], attester=attester)
        assert len(list(personalise(steps, [LoopbackTransport(card) for card in cards]))) == 2
    file = tmp_path / "cards" / "registrations.jsonl"
    consortium = _consortium()
    lines = load_registrations(file, Addressee(OPERATOR, consortium.identity_registry))
    assert [line.identity for line in lines] == list(batch.identities)
    assert [line.key.attestation for line in lines] == [Attestation.PERSONALISER, Attestation.NONE]
    assert [line.key.emulator for line in lines] == [False, True]
    for line in lines:
        _verified(line, purpose, REGISTER_BY)
        with pytest.raises(InputError, match="something else"):
            _verified(line, PossessionPurpose.ACTIVATE, REGISTER_BY)
    with pytest.raises(InputError):
        load_registrations(file, Addressee(OPERATOR + 1, consortium.identity_registry))

    key_file = tmp_path / "personaliser.pem"
    key = attester.key.public_key()
    key_file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    believed = Attestations.load(file, key_file, consortium, OPERATOR)
    assert [believed.refusal(line) for line in lines] == ["", ""]
    assert Attestations.load(file, key_file, consortium, OPERATOR + 1).refusal(lines[0])

    letter = json.loads((tmp_path / "cards" / "pin-letters.jsonl").read_text().splitlines()[0])
    card = ApprovalCard(find_applet(LoopbackTransport(cards[0]), [load_profile("tally")]))
    card.change_pin(letter["transport_pin"], PIN)
    proof = activate_card(card, batch.activate, lines[0].identity, PIN, now=0, seen=SeenInMemory())
    _verified(lines[0], PossessionPurpose.ACTIVATE, ACTIVATE_BY, proof)
    with pytest.raises(InputError, match="something else"):
        _verified(lines[1], PossessionPurpose.ACTIVATE, ACTIVATE_BY, proof)
