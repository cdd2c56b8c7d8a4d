"""A sealed ledger made by hand: state, headers and seals from fixed keys, with a certificate for every answer.

No engine here seals blocks, so this stands in where sealed proofs of our own contracts are wanted. It is made apart
from what it tests: tries by `trie_builder`, headers and seals below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import coincurve
import rlp
from eth_hash.auto import keccak

from pki_chain.chain.proofs import NodeStore
from pki_chain.proof.account import prove_account, prove_word
from pki_chain.proof.directory_state import (
    DIRECTORY,
    PINNED,
    REGISTRY,
    TRUST_LIST,
    Contracts,
    directory_slots,
    mapping_slot,
)
from pki_chain.proof.errors import ProofRefusedError
from pki_chain.proof.proof import Proof, Step
from pki_chain.proof.registry_state import (
    Identity,
    batch_slots,
    certificate_slots,
    prove_facts,
)
from pki_chain.proof.sealer_set import SealerState, Sealing, read_sealers
from pki_chain.proof.seals import MIX_HASH, SealerMode
from pki_chain.proof.trust import Trust, TrustTerms
from tests.proof import trie_builder
from tests.proof.synthetic_authorities import (
    CAS,
    ISSUERS,
    NOW,
    SUBMITTED_AT,
    WITHOUT_PATH,
    YEAR,
    ListedCa,
    authority,
    issued_identity,
    path,
)

CHAIN_ID = 20_261_121
DIRECTORY_ADDRESS, REGISTRY_ADDRESS, SEALERS_ADDRESS = b"\xd1" * 20, b"\xe2" * 20, b"\x77" * 20
TRUST_LIST_ADDRESS = b"\x55" * 20
CODE = {
    DIRECTORY: keccak(b"directory code"),
    REGISTRY: keccak(b"registry code"),
    TRUST_LIST: keccak(b"trust list code"),
    "Sealers": keccak(b"sealers code"),
}
BATCH, OPEN_BATCH, LAPSED_BATCH = 7, 8, 9

SEALER_KEYS = [coincurve.PrivateKey(keccak(b"proof-vector-sealer-%d" % number)) for number in range(1, 7)]
ADMINISTRATOR_KEYS = [coincurve.PrivateKey(keccak(b"proof-vector-administrator-%d" % number)) for number in range(1, 5)]


def address(key: coincurve.PrivateKey) -> bytes:
    return keccak(key.public_key.format(compressed=False)[1:])[12:]


BY_ADDRESS = {address(key): key for key in SEALER_KEYS}
FIRST_SEALERS = tuple(sorted(address(key) for key in SEALER_KEYS[:4]))
LATER_SEALERS = tuple(sorted(address(key) for key in SEALER_KEYS[:5]))


def word(
    *,
    state: int = 1,
    flags: int = 0,
    counter: int = 0,
    reason: int = 0,
    batch: int = BATCH,
    entry: int = 0,
    not_after: int = NOW + YEAR,
    changed_at: int = NOW - 5_000,
    emergency_until: int = 0,
) -> int:
    """A certificate's word. Source: docs/ledger.md, Slots."""
    fields = (
        (state, 4),
        (1, 4),
        (flags, 8),
        (counter, 16),
        (reason, 8),
        (2, 16),
        (batch, 40),
        (entry, 8),
        (3, 40),
        (not_after, 40),
        (changed_at, 40),
        (emergency_until, 24),
    )
    return pack(fields)


def batch_header(*, submitted_at: int, window_end: int, decided_at: int) -> int:
    """A batch's header."""
    return pack(
        (
            (2, 16),
            (2, 16),
            (1, 24),
            (2, 8),
            (3, 8),
            (9, 8),
            (submitted_at, 40),
            (window_end, 40),
            (decided_at, 40),
            (3, 40),
        )
    )


def pack(fields: Sequence[tuple[int, int]]) -> int:
    packed = shift = 0
    for value, bits in fields:
        packed |= value << shift
        shift += bits
    return packed


WORDS = {
    "valid": word(entry=0),
    "held by its owner": word(entry=1, flags=1, counter=1, reason=6, changed_at=NOW - 3_000),
    "held by the consortium": word(entry=1, flags=2, counter=1, reason=6, changed_at=NOW - 3_000),
    "held in an emergency": word(entry=1, flags=4, counter=1, reason=6, emergency_until=(NOW + 86_400) // 3_600),
    "after an emergency": word(entry=1, flags=4, counter=1, reason=6, emergency_until=(NOW - 3_600) // 3_600),
    "revoked": word(entry=2, state=5, reason=1, changed_at=NOW - 2_000),
    "revoked while held": word(entry=2, state=5, reason=4, flags=3, counter=9, changed_at=NOW - 2_000),
    "with a blocked key": word(entry=3),
    "rejected": word(entry=4),
    "rejected and expired": word(entry=4, not_after=NOW - 10_000),
    "submitted": word(batch=OPEN_BATCH, entry=0),
    "lapsed": word(batch=LAPSED_BATCH, entry=0),
    "expired": word(entry=5, not_after=NOW - 100),
    "superseded": word(entry=6, state=4, reason=4, changed_at=NOW - 900),
    "expired by the reader's clock": word(entry=0, not_after=NOW),
    "with a renewal's flag": word(entry=0, flags=8),
    "in a state of the future": word(entry=0, state=9),
    "in a batch that is not there": word(entry=0, batch=99),
}
WORDS |= {name: word(entry=0, flags=16) for name in ISSUERS} | {
    "issued and held": word(entry=1, flags=17, counter=1, reason=6, changed_at=NOW - 3_000),
    "issued and revoked": word(entry=2, state=5, flags=16, reason=4, changed_at=NOW - 2_000),
    "issued, with a blocked key": word(entry=3, flags=16),
    "issued and rejected": word(entry=4, flags=16),
    "issued and submitted": word(batch=OPEN_BATCH, entry=0, flags=16),
    "issued and superseded": word(entry=6, state=4, flags=16, reason=4, changed_at=NOW - 900),
    "issued and expired": word(entry=5, flags=16, not_after=NOW - 100),
    "held, of a withdrawn CA": word(entry=1, flags=17, counter=1, reason=6, changed_at=NOW - 3_000),
    "expired after its CA fell": word(entry=5, flags=16, not_after=NOW - 100),
    "expired before its CA fell": word(entry=5, flags=16, not_after=NOW - 100),
}
"""Certificates by name, as the registry stores them; "unknown" is nowhere."""


def identity(name: str) -> Identity:
    """Any two hashes: what they are of is the certificate's matter."""
    if name in ISSUERS:
        return issued_identity(name)
    return Identity(keccak(b"spki of " + name.encode()), keccak(b"tbs of " + name.encode()))


PATHS = {identity(name).certificate: path(ca) for name, ca in ISSUERS.items() if name not in WITHOUT_PATH}
"""By a certificate's id, the CAs on which its answer depends."""


@dataclass(frozen=True, slots=True)
class State:
    """A state: its root and all its nodes."""

    root: bytes
    nodes: Mapping[bytes, bytes]

    def store(self) -> NodeStore:
        found = NodeStore()
        found.add(list(self.nodes.values()))
        return found


def registry_words() -> dict[int, int]:
    words = {certificate_slots(identity(name))[0]: stored for name, stored in WORDS.items()}
    for blocked in ("with a blocked key", "issued, with a blocked key"):
        words[certificate_slots(identity(blocked))[1]] = pack(((1, 8), (NOW - 1_500, 40), (1, 1)))
    for batch, window_end, decided_at in (
        (BATCH, NOW + 80_000, NOW - 4_000),
        (OPEN_BATCH, NOW + 80_000, 0),
        (LAPSED_BATCH, NOW - 50, 0),
    ):
        header, accepted, rejected = batch_slots(batch)
        words[header] = batch_header(submitted_at=SUBMITTED_AT, window_end=window_end, decided_at=decided_at)
        words[accepted] = 0b1101111 if batch == BATCH else 0b10
        words[rejected] = 0b10000 if batch == BATCH else 0
    # Company, so that walks pass through branches.
    words |= {int.from_bytes(keccak(b"filler %d" % number)): number + 1 for number in range(400)}
    return words


def trust_list_words(cas: Mapping[str, ListedCa]) -> dict[int, int]:
    words = {}
    for name, listed in cas.items():
        first = mapping_slot(authority(name), 0)
        words |= {first + number: stored for number, stored in enumerate(listed.words())}
    return words


def make_state(
    *,
    sealers: Sequence[bytes] = FIRST_SEALERS,
    location: bytes = REGISTRY_ADDRESS,
    code_hash: bytes = CODE[REGISTRY],
    trust_list: bytes = TRUST_LIST_ADDRESS,
    trust_list_code: bytes = CODE[TRUST_LIST],
    cas: Mapping[str, ListedCa] = CAS,
    accounts: Mapping[bytes, bytes] = MappingProxyType({}),
) -> State:
    """A state with Directory, registry, trust list and the sealers' contract; `accounts` replaces code hashes by
    address."""
    nodes: dict[bytes, bytes] = {}
    entries = {
        directory_slots(REGISTRY): (location, code_hash),
        directory_slots(TRUST_LIST): (trust_list, trust_list_code),
    }
    first = int.from_bytes(keccak(bytes(32)))
    storages = {
        DIRECTORY_ADDRESS: {5: 6}
        | {
            slot: int.from_bytes(stored)
            for slots, entry in entries.items()
            for slot, stored in zip(slots, entry, strict=True)
        },
        REGISTRY_ADDRESS: registry_words(),
        TRUST_LIST_ADDRESS: trust_list_words(cas),
        SEALERS_ADDRESS: {0: len(sealers)}
        | {first + index: int.from_bytes(each) for index, each in enumerate(reversed(sealers))},
    }
    codes = {
        DIRECTORY_ADDRESS: CODE[DIRECTORY],
        REGISTRY_ADDRESS: CODE[REGISTRY],
        TRUST_LIST_ADDRESS: CODE[TRUST_LIST],
        SEALERS_ADDRESS: CODE["Sealers"],
        **accounts,
    }
    leaves = {
        each: trie_builder.account(1, trie_builder.storage(storages.get(each, {}), nodes), code)
        for each, code in codes.items()
        if code
    }
    leaves |= {
        keccak(b"account %d" % number)[12:]: trie_builder.account(number, trie_builder.EMPTY_ROOT, keccak(b""))
        for number in range(40)
    }
    return State(trie_builder.build(leaves, nodes), nodes)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What makes a header: who is listed and who seals, and the fields that differ."""

    number: int
    time: int
    state_root: bytes
    listed: Sequence[bytes]
    signers: Sequence[bytes]
    parent_hash: bytes = bytes(32)
    vote: tuple[bytes, bytes] | tuple[()] = ()
    round: int = 0

    def _fields(self, round_: int, seals: Sequence[bytes]) -> list[Any]:
        extra = rlp.encode([bytes(32), list(self.listed), list(self.vote), _number(round_), list(seals)])
        return [
            self.parent_hash,
            bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
            self.signers[0] if self.signers else bytes(20),
            self.state_root,
            trie_builder.EMPTY_ROOT,
            trie_builder.EMPTY_ROOT,
            bytes(256),
            b"\x01",
            _number(self.number),
            _number(30_000_000),
            b"",
            _number(self.time),
            extra,
            MIX_HASH,
            bytes(8),
            b"",
            trie_builder.EMPTY_ROOT,
            b"",
            b"",
            bytes(32),
        ]

    def block_hash(self) -> bytes:
        return keccak(rlp.encode(self._fields(0, ())))

    def encoded(self) -> bytes:
        digest = keccak(rlp.encode(self._fields(self.round, ())))
        seals = [BY_ADDRESS[each].sign_recoverable(digest, hasher=None) for each in self.signers]
        return bytes(rlp.encode(self._fields(self.round, seals)))


def unsealed_header(number: int, time: int, state_root: bytes) -> bytes:
    """A header as the embedded engine writes it."""
    fields = Sealed(number, time, state_root, (), ())._fields(0, ())
    fields[2], fields[7], fields[12], fields[13] = bytes(20), b"", b"", bytes(32)
    return bytes(rlp.encode(fields))


def make_trust(sealing: Sealing, checkpoint: SealerState, *, threshold: int = 2) -> Trust:
    """Signed by the first two administrators."""
    terms = TrustTerms(
        chain_id=CHAIN_ID,
        salt=keccak(b"salt"),
        contracts=Contracts(DIRECTORY_ADDRESS, MappingProxyType({name: CODE[name] for name in PINNED})),
        sealing=sealing,
        age_bound_s=30,
        governance_window_s=30 * 86_400,
        administrators=tuple((number, address(key)) for number, key in enumerate(ADMINISTRATOR_KEYS, 1)),
        threshold=threshold,
    )
    return signed(Trust(terms, checkpoint, ()), ADMINISTRATOR_KEYS[:2])


def signed(trust: Trust, keys: Sequence[coincurve.PrivateKey]) -> Trust:
    digest = trust.digest()
    made = [key.sign_recoverable(digest, hasher=None) for key in keys]
    return replace(trust, signatures=tuple(each[:64] + bytes([each[64] + 27]) for each in made))


HEADER_MODE = Sealing(SealerMode.HEADER, epoch_length=30_000, boundary_vote_counts=False)
CONTRACT_MODE = Sealing(SealerMode.CONTRACT, contract=SEALERS_ADDRESS, code_hash=CODE["Sealers"], slot=0)
UNSEALED = Sealing(SealerMode.NONE)


class SyntheticLedger:
    """One state under sealed headers in each mode: a checkpoint at block 1,000 a day ago, the head at 2,000."""

    checkpoint_number, head_number = 1_000, 2_000

    @cached_property
    def state(self) -> State:
        return make_state()

    @cached_property
    def later_state(self) -> State:
        """With five sealers."""
        return make_state(sealers=LATER_SEALERS)

    def trust(self, sealing: Sealing) -> Trust:
        sealers = () if sealing.mode is SealerMode.NONE else FIRST_SEALERS
        return make_trust(sealing, SealerState(self.checkpoint_number, keccak(b"checkpoint"), NOW - 86_400, sealers))

    def head(self, sealing: Sealing, *, later: bool = False, time: int = NOW - 5, signers: int = 4) -> Sealed:
        sealers = LATER_SEALERS if later else FIRST_SEALERS
        listed = sealers if sealing.mode is SealerMode.HEADER else ()
        root = (self.later_state if later else self.state).root
        return Sealed(self.head_number, time, root, listed, sealers[:signers])

    def nodes(
        self, certificate: Identity, authorities: Sequence[bytes] = (), *, later: bool = False
    ) -> tuple[bytes, ...]:
        state = self.later_state if later else self.state
        store = state.store()
        contracts = self.trust(UNSEALED).terms.contracts
        with suppress(ProofRefusedError):  # what is refused has a proof too, as far as it goes
            prove_facts(state.root, contracts, certificate, authorities, store.take)
        return store.taken()

    def proof(
        self,
        certificate: Identity,
        sealing: Sealing,
        *,
        later: bool = False,
        head: Sealed | None = None,
        authorities: Sequence[bytes] | None = None,
    ) -> Proof:
        """By default with the CAs that the answer depends on."""
        named = PATHS.get(certificate.certificate, ()) if authorities is None else tuple(authorities)
        made = head or self.head(sealing, later=later)
        header, block_hash = made.encoded(), made.block_hash()
        if sealing.mode is SealerMode.NONE:
            header = unsealed_header(made.number, made.time, made.state_root)
            block_hash = keccak(header)
        return Proof(
            chain_id=CHAIN_ID,
            certificate=certificate.certificate,
            sealed=sealing.mode is not SealerMode.NONE,
            block_hash=block_hash,
            header=header,
            steps=(),
            nodes=self.nodes(certificate, named, later=later),
            authorities=named,
        )

    def contract_step(self, sealers: Sequence[bytes] = LATER_SEALERS) -> Step:
        """The block that changes the contract's set from four to five, or to others, sealed by the four."""
        state = self.later_state if sealers is LATER_SEALERS else make_state(sealers=sealers)
        header = Sealed(1_500, NOW - 40_000, state.root, (), FIRST_SEALERS[:3])
        store = state.store()
        account = prove_account(header.state_root, SEALERS_ADDRESS, store.take)
        assert account is not None
        with suppress(ProofRefusedError):  # what is refused has a proof too, as far as it goes
            read_sealers(lambda slot: prove_word(account.storage_root, slot, store.take), 0)
        return Step(header.encoded(), store.taken())

    def header_steps(self) -> tuple[Step, ...]:
        """Three blocks after the checkpoint, each with a vote for the fifth sealer."""
        steps, parent = [], keccak(b"checkpoint")
        candidate = next(each for each in LATER_SEALERS if each not in FIRST_SEALERS)
        for index in range(3):
            proposer_first = (*FIRST_SEALERS[index:], *FIRST_SEALERS[:index])
            block = Sealed(
                self.checkpoint_number + 1 + index,
                NOW - 80_000 + index,
                self.state.root,
                FIRST_SEALERS,
                proposer_first,
                parent,
                (candidate, b"\xff"),
            )
            steps.append(Step(block.encoded()))
            parent = block.block_hash()
        return tuple(steps)


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)
