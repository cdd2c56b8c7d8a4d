"""Proofs: how long they take to make and to verify, and their size at a million certificates.

No engine here holds a million certificates and seals its blocks, so size and verifying are measured on a state made by
hand: keys of a trie are hashes, so any million of them gives the same shape. What lies beside the walked paths is left
unmade. Making is measured on the embedded ledger.
"""

from __future__ import annotations

import secrets
import statistics
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

import rlp
from eth_hash.auto import keccak

from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.proofs import NodeStore, ProofMaker
from pki_chain.proof.directory_state import REGISTRY, TRUST_LIST, Contracts, directory_slots, mapping_slot
from pki_chain.proof.proof import Proof, parse_proof
from pki_chain.proof.registry_state import (
    Identity,
    batch_slots,
    certificate_slots,
    prove_facts,
)
from pki_chain.proof.verifier import Verifier, identify
from tests.bench.figures import Figure
from tests.ledger import OEM, OPERATOR, VENDOR, found_consortium, issue_certificates
from tests.proof import trie_builder
from tests.proof.synthetic import (
    CHAIN_ID,
    CODE,
    CONTRACT_MODE,
    DIRECTORY_ADDRESS,
    FIRST_SEALERS,
    NOW,
    REGISTRY_ADDRESS,
    TRUST_LIST_ADDRESS,
    Sealed,
    SyntheticLedger,
    batch_header,
    word,
)
from tests.proof.synthetic_authorities import CAS, authority, named_issuer, path

_MILLION = 1_000_000
_A_BATCH = 190
_ON_LEDGER = 570
_RUNS = 200
_CAS = 200
_WORDS_A_CA = 8
"""With a P-256 key."""


def measure() -> Iterator[Figure]:
    """Figures of making and verifying."""
    for count in (1_000, _MILLION):
        yield from _at(count)
    for issuer, cas in (("cells", 2), ("site", 4)):
        yield from _issued(issuer, cas)
    yield from _on_embedded_ledger()


def _at(count: int) -> Iterator[Figure]:
    certificate = Identity(secrets.token_bytes(32), secrets.token_bytes(32))
    root, nodes = _state(count, certificate)
    trust = SyntheticLedger().trust(CONTRACT_MODE)
    proof = _proof(root, nodes, certificate, trust.terms.contracts)
    content, verifier = proof.cbor(), Verifier(trust)

    def verify() -> None:
        assert verifier.verify(parse_proof(content), certificate, NOW).is_good

    at = f"{count:,} certificates"
    yield Figure("proof", f"size as CBOR, {at}", len(content), "bytes", "12 KB at 1 M" if count == _MILLION else "")
    yield Figure("proof", f"size as JSON, {at}", len(proof.json()), "bytes")
    yield Figure("proof", f"verified, {at}, 4 sealers", _median_ms(verify), "ms", "under 5")
    yield Figure("proof", f"trust file verified and read, {at}", _median_ms(lambda: Verifier(trust)), "ms")

    def make() -> None:
        _walk(root, nodes, certificate, trust.terms.contracts)

    yield Figure("proof", f"put together from a node's answer, {at}", _median_ms(make), "ms")


def _issued(issuer: str, cas: int) -> Iterator[Figure]:
    certificate = Identity(secrets.token_bytes(32), secrets.token_bytes(32), named_issuer(CAS[issuer].called))
    root, nodes = _state(_MILLION, certificate, issuer)
    trust = SyntheticLedger().trust(CONTRACT_MODE)
    content = _proof(root, nodes, certificate, trust.terms.contracts, path(issuer)).cbor()
    verifier = Verifier(trust)

    def verify() -> None:
        assert verifier.verify(parse_proof(content), certificate, NOW).is_good

    at = f"issued below {cas} CAs of {_CAS}, {_MILLION:,} certificates"
    yield Figure("proof", f"size as CBOR, {at}", len(content), "bytes")
    yield Figure("proof", f"verified, {at}, 4 sealers", _median_ms(verify), "ms", "under 5")


def _on_embedded_ledger() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory, EmbeddedEngine(Path(directory) / "ledger", port=0) as engine:
        consortium = found_consortium([engine.endpoint], Path(directory) / "consortium")
        lot = consortium.open_lot()
        issued = issue_certificates(consortium.members[VENDOR], _ON_LEDGER, now=consortium.now())
        for start in range(0, _ON_LEDGER, _A_BATCH):
            batch = consortium.submit(issued[start : start + _A_BATCH], lot)
            for member in (OPERATOR, OEM):
                consortium.endorse(batch, member)
        maker, identity = ProofMaker(consortium.file, consortium.ledger.connection), identify(issued[0])
        what = f"made at the head of the embedded ledger, {_ON_LEDGER} certificates, node's time included"
        yield Figure("proof", what, _median_ms(lambda: maker.make(identity), 30), "ms", "under 20")
        consortium.close()


def _median_ms(act: Callable[[], object], runs: int = _RUNS) -> float:
    act()
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1_000


def _walk(
    root: bytes,
    nodes: dict[bytes, bytes],
    certificate: Identity,
    contracts: Contracts,
    authorities: tuple[bytes, ...] = (),
) -> tuple[bytes, ...]:
    """What a gateway does with a node's answer."""
    store = NodeStore()
    store.add(list(nodes.values()))
    prove_facts(root, contracts, certificate, authorities, store.take)
    return store.taken()


def _proof(
    root: bytes,
    nodes: dict[bytes, bytes],
    certificate: Identity,
    contracts: Contracts,
    authorities: tuple[bytes, ...] = (),
) -> Proof:
    sealed = Sealed(2_000, NOW - 5, root, (), FIRST_SEALERS[:3])
    return Proof(
        chain_id=CHAIN_ID,
        certificate=certificate.certificate,
        sealed=True,
        block_hash=sealed.block_hash(),
        header=sealed.encoded(),
        steps=(),
        nodes=_walk(root, nodes, certificate, contracts, authorities),
        authorities=authorities,
    )


def _state(count: int, certificate: Identity, issuer: str = "") -> tuple[bytes, dict[bytes, bytes]]:
    """Root and the nodes of the paths: a registry with `count` certificates in full batches, and a few accounts."""
    nodes: dict[bytes, bytes] = {}
    slot, key_slot = certificate_slots(certificate)
    header, accepted, rejected = batch_slots(1)
    words = {
        slot: word(batch=1, entry=5, counter=3, flags=16 if issuer else 0),
        header: batch_header(submitted_at=NOW - 5_990, window_end=NOW + 90, decided_at=NOW - 60),
        accepted: (1 << _A_BATCH) - 1,
    }
    others = count + 4 * (count // _A_BATCH)
    storage = _sparse(words, {key_slot, rejected}, others, nodes)
    entries = {3: 1}
    for contract, address in ((REGISTRY, REGISTRY_ADDRESS), (TRUST_LIST, TRUST_LIST_ADDRESS)):
        location, code = directory_slots(contract)
        entries |= {location: int.from_bytes(address), code: int.from_bytes(CODE[contract])}
    accounts = {
        DIRECTORY_ADDRESS: trie_builder.account(1, trie_builder.storage(entries, nodes), CODE["Directory"]),
        REGISTRY_ADDRESS: trie_builder.account(1, storage, CODE[REGISTRY]),
        TRUST_LIST_ADDRESS: trie_builder.account(1, _trust_list(nodes), CODE[TRUST_LIST]),
    }
    accounts |= {
        secrets.token_bytes(20): trie_builder.account(9, trie_builder.EMPTY_ROOT, keccak(b"")) for _ in range(60)
    }
    return trie_builder.build(accounts, nodes), nodes


def _trust_list(nodes: dict[bytes, bytes]) -> bytes:
    """Root of a trust list of `_CAS`, the synthetic ledger's among them."""
    words = {
        mapping_slot(authority(name), 0) + number: stored
        for name, listed in CAS.items()
        for number, stored in enumerate(listed.words())
    }
    words |= {secrets.randbits(256): secrets.randbits(256) for _ in range(_CAS * _WORDS_A_CA - len(words))}
    return trie_builder.storage(words, nodes)


def _sparse(words: dict[int, int], absent: set[int], others: int, nodes: dict[bytes, bytes]) -> bytes:
    """Root of a storage trie in which only the paths to these slots are made; the rest is hashes of nothing."""
    values = {
        keccak(slot.to_bytes(32)): rlp.encode(value.to_bytes((value.bit_length() + 7) // 8))
        for slot, value in words.items()
    }
    paths = sorted([*(key.hex() for key in values), *(keccak(slot.to_bytes(32)).hex() for slot in absent)])
    keys = sorted([*(key.hex() for key in values), *(secrets.token_hex(32) for _ in range(others))])

    def reference(prefix: str) -> bytes:
        first, last = bisect_left(keys, prefix), bisect_right(keys, prefix + "g")
        if first == last:
            return b""
        at = bisect_left(paths, prefix)
        if at == len(paths) or not paths[at].startswith(prefix):
            return secrets.token_bytes(32)
        if last - first == 1:
            key = keys[first]
            value = values.get(bytes.fromhex(key), secrets.token_bytes(31))
            node = [trie_builder.compact(key[len(prefix) :], leaf=True), value]
        else:
            node = [*(reference(prefix + digit) for digit in "0123456789abcdef"), b""]
        encoded = rlp.encode(node)
        digest = keccak(encoded)
        nodes[digest] = encoded
        return digest

    return reference("")
