"""What the routes work with, put together once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from flask import current_app

from pki_chain.chain.calls import Call, Calls
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import load_passphrase
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import ConsortiumFile, MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.audit import AuditLog
from pki_chain.gateway.authority_bundles import AuthorityBundles
from pki_chain.gateway.authority_lists import AuthorityLists
from pki_chain.gateway.bundle_answers import BundleAnswers
from pki_chain.gateway.crl_answers import CrlAnswers
from pki_chain.gateway.freshness import Clock, Freshness
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.ocsp_answers import OcspAnswers
from pki_chain.gateway.places import Places
from pki_chain.gateway.rate_limit import RateLimit
from pki_chain.gateway.signers import Signers
from pki_chain.gateway.status_answers import StatusAnswers
from pki_chain.gateway.submission_answers import SubmissionAnswers
from pki_chain.gateway.submission_envelope import EnvelopeJudge, SubmissionEnvelope
from pki_chain.index.authorities import Authorities
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address
from pki_chain.status.delegated_key import DelegatedKeys
from pki_chain.status.status_key import StatusKeys
from tally_service.key_token import KeyToken

INDEX_FILE: Final = "index.sqlite"
INBOX_FILE: Final = "inbox.sqlite"
OUTBOX_FILE: Final = "outbox.sqlite"
AUDIT_FILE: Final = "audit.jsonl"
STATUS_KEYS: Final = "status-keys"
DELEGATED_KEYS: Final = "delegated-keys"
EXTENSION: Final = "tiger-tally"

LEDGER_PLACES: Final = 4
"""Requests of a worker that may wait for the ledger at once: half of its threads. The others answer without it, also
while an endpoint keeps everybody waiting until the timeout."""

_NO_CODE: Final = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""keccak256 of nothing: the code hash of an account that is no contract."""

_NOBODY: Final = Address("0x0000000000000000000000000000000000000000")


@dataclass(frozen=True, slots=True)
class Services:
    """One gateway process's parts. `member_token` opens lists; without one they are open."""

    config: MemberConfig
    consortium: ConsortiumFile
    read_model: ReadModel
    inbox: Inbox
    freshness: Freshness
    change_log: ChangeLog
    status_keys: StatusKeys
    status_answers: StatusAnswers
    ocsp_answers: OcspAnswers
    crl_answers: CrlAnswers
    authority_lists: AuthorityLists
    bundle_answers: BundleAnswers
    authority_bundles: AuthorityBundles
    submission_answers: SubmissionAnswers
    judge: EnvelopeJudge
    ledger: LedgerClient
    ledger_places: Places
    calls: Calls
    rate_limit: RateLimit
    audit: AuditLog
    counters: Counters
    member_token: bytes | None

    @classmethod
    def build(cls, config: MemberConfig, clock: Clock) -> Services:
        """Read the files that the configuration names and make every part. Raises `ConfigurationError`."""
        consortium = config.load_consortium()
        data = config.gateway.data
        read_model = ReadModel(data / INDEX_FILE)
        freshness = Freshness(read_model, clock)
        change_log, status_keys = ChangeLog(read_model), open_status_keys(config)
        delegated = open_delegated_keys(config)
        signers = Signers(Authorities(read_model), status_keys, delegated)
        inbox = Inbox(data / INBOX_FILE)
        ledger = LedgerClient(consortium, config.ledger.timeout_s)
        places = Places(LEDGER_PLACES)
        calls = Calls(consortium)

        def simulate(envelope: SubmissionEnvelope) -> None:
            call = calls.submit(envelope.submission, envelope.certificates, envelope.signature)
            with places.taken():
                ledger.simulate(call, _NOBODY)

        def has_code(account: Address) -> bool:
            with places.taken():
                return ledger.code_hash(account) != _NO_CODE

        return cls(
            config=config,
            consortium=consortium,
            read_model=read_model,
            inbox=inbox,
            freshness=freshness,
            change_log=change_log,
            status_keys=status_keys,
            status_answers=StatusAnswers(read_model, freshness),
            ocsp_answers=OcspAnswers(read_model, freshness, status_keys, delegated),
            crl_answers=CrlAnswers(read_model, change_log, freshness, status_keys),
            authority_lists=AuthorityLists(read_model, change_log, freshness, signers),
            bundle_answers=BundleAnswers(read_model, change_log, freshness, status_keys, consortium.founding_hash),
            authority_bundles=AuthorityBundles(read_model, freshness, status_keys, consortium.founding_hash),
            submission_answers=SubmissionAnswers(read_model, inbox),
            judge=EnvelopeJudge(
                read_model,
                TypedTexts(consortium),
                has_code,
                simulate,
            ),
            ledger=ledger,
            ledger_places=places,
            calls=calls,
            rate_limit=RateLimit(),
            audit=AuditLog(data / AUDIT_FILE, clock),
            counters=Counters(data / "counters"),
            member_token=load_token(config),
        )

    def simulate(self, call: Call) -> None:
        """Run a call on the ledger without a transaction.

        Raises `RefusedError`, `LedgerUnavailableError`; `RejectedError` (503) while too many wait for the ledger.
        """
        with self.ledger_places.taken():
            self.ledger.simulate(call, _NOBODY)


def services() -> Services:
    """Those of the application that answers now."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def open_status_keys(config: MemberConfig) -> StatusKeys:
    """The keys that sign answers about status, encrypted with the keystore's passphrase, or in the token that
    [gateway] names; read when they are needed."""
    passphrase = partial(load_passphrase, config.keystore.passphrase_file)
    return StatusKeys(config.gateway.data / STATUS_KEYS, passphrase, _token(config))


def open_delegated_keys(config: MemberConfig) -> DelegatedKeys:
    """The keys that CAs let sign for them, kept like those; read when they are needed."""
    passphrase = partial(load_passphrase, config.keystore.passphrase_file)
    return DelegatedKeys(config.gateway.data / DELEGATED_KEYS, passphrase, _token(config))


def _token(config: MemberConfig) -> KeyToken | None:
    gateway = config.gateway
    if gateway.pkcs11_module is None or gateway.pkcs11_pin_file is None:
        return None
    return KeyToken(gateway.pkcs11_module, gateway.pkcs11_token, gateway.pkcs11_pin_file)


def load_token(config: MemberConfig) -> bytes | None:
    """The member's token. Raises `ConfigurationError`."""
    path = config.gateway.token_file
    if path is None:
        return None
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read gateway.token_file {path}: {error.strerror}. Give the right path."
        ) from error
    if len(token) < 32:
        raise ConfigurationError(f"gateway.token_file {path} holds fewer than 32 characters. Write a longer token.")
    return token
