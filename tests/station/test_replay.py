"""What was signed for one consortium means nothing on another's, on the same chain and with the same members."""

from __future__ import annotations

import dataclasses
import secrets

import pytest

from pki_chain.chain.calls import Calls
from pki_chain.chain.connection import Connection
from pki_chain.chain.deployment import deploy
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts, batch_digest
from pki_chain.errors import RefusedError
from tests.ledger import OPERATOR, VENDOR, Consortium, issue_certificates

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("limits of the ledger")]


@pytest.fixture(scope="module")
def twin(consortium: Consortium) -> Consortium:
    """A second consortium of the same members, accounts and lots on the same chain; only the salt is another."""
    file = deploy(
        Connection(consortium.file.endpoints, timeout_s=30),
        Signer.ephemeral(),
        secrets.token_bytes(32),
        consortium.plan,
        lambda typed: [member.keys["administrator"].sign(typed) for member in consortium.members.values()],
    )
    assert file.chain_id == consortium.file.chain_id
    assert file.salt != consortium.file.salt
    made = dataclasses.replace(
        consortium, file=file, ledger=LedgerClient(file, timeout_s=30), texts=TypedTexts(file), calls=Calls(file)
    )
    while made.ledger.lot_count() < 1:
        made.open_lot()
    return made


def test_a_submission_for_one_consortium_is_refused_by_its_twin(consortium: Consortium, twin: Consortium) -> None:
    certificates = issue_certificates(consortium.members[VENDOR], 2, now=consortium.now())
    relayer = consortium.members[OPERATOR].keys["relayer"].address
    lot = twin.ledger.lot_count()
    submission, signature = twin.submission(certificates, lot)
    twin.ledger.simulate(twin.calls.submit(submission, certificates, signature), relayer)
    station = consortium.members[VENDOR].keys["station"]
    replayed = station.sign(consortium.texts.submission(submission, batch_digest(certificates)))
    with pytest.raises(RefusedError, match="RegistryBadSignature"):
        twin.ledger.simulate(twin.calls.submit(submission, certificates, replayed), relayer)
    # Even with the other's salt: the contract that is named in the text is another.
    forged = TypedTexts(dataclasses.replace(twin.file, salt=consortium.file.salt))
    resigned = station.sign(forged.submission(submission, batch_digest(certificates)))
    with pytest.raises(RefusedError, match="RegistryBadSignature"):
        twin.ledger.simulate(twin.calls.submit(submission, certificates, resigned), relayer)


def test_an_administrator_s_order_for_one_consortium_is_refused_by_its_twin(
    consortium: Consortium, twin: Consortium
) -> None:
    administrator, deadline, lot = consortium.members[VENDOR].keys["administrator"], twin.deadline(), 1
    relayer = consortium.members[OPERATOR].keys["relayer"].address

    def close(texts: TypedTexts) -> bytes:
        signature = administrator.sign(texts.close_lot(lot, deadline))
        call = twin.calls.close_lot(lot, administrator=administrator.address, deadline=deadline, signature=signature)
        return twin.ledger.simulate(call, relayer)

    close(twin.texts)
    with pytest.raises(RefusedError, match="RegistryBadSignature"):
        close(consortium.texts)
