"""Attempts at verifying: what is given, and the refusal that it must meet; both verifiers are tried on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_hash.auto import keccak

from pki_chain.ports import TrustScope
from pki_chain.proof.errors import Refusal
from pki_chain.proof.proof import MAX_PROOF_BYTES, Proof, Step, parse_proof
from pki_chain.proof.registry_state import Identity
from pki_chain.proof.sealer_set import Sealing
from pki_chain.proof.trust import Trust, parse_trust
from pki_chain.proof.verifier import ProvenStatus, Verifier
from tests.proof.synthetic import (
    ADMINISTRATOR_KEYS,
    CODE,
    CONTRACT_MODE,
    DIRECTORY_ADDRESS,
    FIRST_SEALERS,
    HEADER_MODE,
    LATER_SEALERS,
    NOW,
    REGISTRY_ADDRESS,
    SEALER_KEYS,
    SEALERS_ADDRESS,
    TRUST_LIST_ADDRESS,
    UNSEALED,
    State,
    SyntheticLedger,
    address,
    identity,
    make_state,
    signed,
)
from tests.proof.synthetic_authorities import CAS, TLS, ListedCa, authority, path, rescoped

LEDGER = SyntheticLedger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """All that a verifier is given; proof and trust file as bytes."""

    proof: bytes
    trust: bytes
    identity: Identity
    now: int
    max_age_s: int | None
    unsafe_unsealed: bool
    least_block: int = 0

    def carry_out(self) -> ProvenStatus:
        """Raises `ProofRefusedError`."""
        verifier = Verifier(parse_trust(self.trust), unsafe_unsealed=self.unsafe_unsealed)
        return verifier.verify(
            parse_proof(self.proof),
            self.identity,
            self.now,
            max_age_s=self.max_age_s,
            least_block=self.least_block,
        )


def attempt(
    proof: Proof | bytes,
    name: str = "valid",
    *,
    sealing: Sealing = CONTRACT_MODE,
    trust: Trust | bytes | None = None,
    now: int = NOW,
    max_age_s: int | None = None,
    unsafe_unsealed: bool = True,
    least_block: int = 0,
    certificate: Identity | None = None,
) -> Attempt:
    """An attempt at the certificate of this name, by default with the trust file that fits."""
    given = trust or LEDGER.trust(sealing)
    return Attempt(
        proof if isinstance(proof, bytes) else proof.cbor(),
        given if isinstance(given, bytes) else given.encoded(),
        certificate or identity(name),
        now,
        max_age_s,
        unsafe_unsealed,
        least_block,
    )


GOOD = LEDGER.proof(identity("valid"), CONTRACT_MODE)
LATER = replace(LEDGER.proof(identity("valid"), CONTRACT_MODE, later=True), steps=(LEDGER.contract_step(),))


def under(state: State, name: str = "valid") -> Proof:
    """A proof under another state, with all that the walks need while they can be walked."""
    ledger = SyntheticLedger()
    ledger.__dict__["state"] = state
    return ledger.proof(identity(name), CONTRACT_MODE)


def naming(name: str, authorities: Sequence[bytes]) -> Attempt:
    """At the certificate of this name, by a proof that names these CAs, with the nodes that their walks need."""
    return attempt(LEDGER.proof(identity(name), CONTRACT_MODE, authorities=authorities), name)


def listing(**changes: ListedCa) -> State:
    """A state with other entries on the trust list, by name."""
    return make_state(cas={**CAS, **changes})


def signed_trust(**changes: object) -> Trust:
    trust = LEDGER.trust(CONTRACT_MODE)
    return signed(replace(trust, **changes), ADMINISTRATOR_KEYS[:2])  # type: ignore[arg-type]


def checkpoint(**changes: object) -> Trust:
    return signed_trust(checkpoint=replace(LEDGER.trust(CONTRACT_MODE).checkpoint, **changes))  # type: ignore[arg-type]


HEAD_HASH = LEDGER.head(CONTRACT_MODE).block_hash()
STRANGER = (address(SEALER_KEYS[5]),)

REFUSED: dict[str, tuple[Refusal, Attempt]] = {
    "other chain": (Refusal.OTHER_CHAIN, attempt(replace(GOOD, chain_id=1))),
    "other certificate": (Refusal.OTHER_CERTIFICATE, attempt(GOOD, "revoked")),
    "proof of another under this name": (
        Refusal.WRONG_NODE,
        attempt(replace(GOOD, certificate=identity("revoked").certificate), "revoked"),
    ),
    "absence instead of revocation": (
        Refusal.INCOMPLETE_PROOF,
        attempt(
            replace(LEDGER.proof(identity("revoked"), CONTRACT_MODE), nodes=LEDGER.nodes(identity("revoked"))[:-1]),
            "revoked",
        ),
    ),
    "stale header": (Refusal.STALE_HEADER, attempt(GOOD, now=NOW + 26)),
    "stale header by a policy": (Refusal.STALE_HEADER, attempt(GOOD, max_age_s=4)),
    "older than what was seen": (Refusal.OLDER_THAN_SEEN, attempt(GOOD, least_block=2_001)),
    "header of the future": (Refusal.HEADER_FROM_FUTURE, attempt(GOOD, now=NOW - 5 - 16)),
    "old checkpoint": (
        Refusal.CHECKPOINT_TOO_OLD,
        attempt(GOOD, trust=checkpoint(time=NOW - 30 * 86_400 - 1)),
    ),
    "checkpoint of the future": (
        Refusal.CHECKPOINT_FROM_FUTURE,
        attempt(GOOD, trust=checkpoint(time=NOW + 16)),
    ),
    "header before the checkpoint": (
        Refusal.HEADER_BEFORE_CHECKPOINT,
        attempt(GOOD, trust=checkpoint(number=2_001)),
    ),
    "other block at the checkpoint": (
        Refusal.CHECKPOINT_CONFLICT,
        attempt(GOOD, trust=checkpoint(number=2_000)),
    ),
    "other sealers": (Refusal.FOREIGN_SEAL, attempt(GOOD, trust=checkpoint(sealers=LATER_SEALERS[1:]))),
    "two of four": (
        Refusal.NO_QUORUM,
        attempt(LEDGER.proof(identity("valid"), CONTRACT_MODE, head=LEDGER.head(CONTRACT_MODE, signers=2))),
    ),
    "quorum and a stranger": (
        Refusal.FOREIGN_SEAL,
        attempt(
            LEDGER.proof(
                identity("valid"),
                CONTRACT_MODE,
                head=replace(LEDGER.head(CONTRACT_MODE), signers=(*FIRST_SEALERS[:3], *STRANGER)),
            )
        ),
    ),
    "other block hash": (Refusal.BLOCK_HASH_MISMATCH, attempt(replace(GOOD, block_hash=bytes(32)))),
    "unsealed": (
        Refusal.UNSEALED,
        attempt(LEDGER.proof(identity("valid"), UNSEALED), sealing=UNSEALED, unsafe_unsealed=False),
    ),
    "unsealed where seals are due": (
        Refusal.SEALING_MISMATCH,
        attempt(LEDGER.proof(identity("valid"), UNSEALED)),
    ),
    "unsealed header called sealed": (
        Refusal.WRONG_MIX_HASH,
        attempt(replace(LEDGER.proof(identity("valid"), UNSEALED), sealed=True)),
    ),
    "sealed where none are due": (Refusal.SEALING_MISMATCH, attempt(GOOD, sealing=UNSEALED)),
    "steps where nothing is sealed": (
        Refusal.SEALING_MISMATCH,
        attempt(replace(LEDGER.proof(identity("valid"), UNSEALED), steps=LATER.steps), sealing=UNSEALED),
    ),
    "no Directory": (
        Refusal.NO_CONTRACT,
        attempt(under(make_state(accounts={DIRECTORY_ADDRESS: b""}))),
    ),
    "another contract as Directory": (
        Refusal.OTHER_CONTRACT,
        attempt(under(make_state(accounts={DIRECTORY_ADDRESS: keccak(b"other")}))),
    ),
    "hostile Directory, other code": (
        Refusal.HOSTILE_DIRECTORY,
        attempt(under(make_state(code_hash=keccak(b"other")))),
    ),
    "hostile Directory, other place": (
        Refusal.OTHER_CONTRACT,
        attempt(under(make_state(location=SEALERS_ADDRESS))),
    ),
    "hostile Directory, no place": (Refusal.HOSTILE_DIRECTORY, attempt(under(make_state(location=b"")))),
    "nothing at the registry's place": (
        Refusal.NO_CONTRACT,
        attempt(under(make_state(location=b"\x01" * 20))),
    ),
    "registry of other code": (
        Refusal.OTHER_CONTRACT,
        attempt(under(make_state(accounts={REGISTRY_ADDRESS: keccak(b"other")}))),
    ),
    "spare node": (Refusal.SPARE_NODE, attempt(replace(GOOD, nodes=(*GOOD.nodes, GOOD.nodes[0])))),
    "node left out": (Refusal.WRONG_NODE, attempt(replace(GOOD, nodes=GOOD.nodes[1:]))),
    "nodes swapped": (
        Refusal.WRONG_NODE,
        attempt(replace(GOOD, nodes=(GOOD.nodes[1], GOOD.nodes[0], *GOOD.nodes[2:]))),
    ),
    "no nodes": (Refusal.INCOMPLETE_PROOF, attempt(replace(GOOD, nodes=()))),
    "step left out": (Refusal.FOREIGN_SEAL, attempt(replace(LATER, steps=()))),
    "step twice": (Refusal.HEADER_NOT_NEXT, attempt(replace(LATER, steps=LATER.steps * 2))),
    "step without its proof": (
        Refusal.INCOMPLETE_PROOF,
        attempt(replace(LATER, steps=(Step(LATER.steps[0].header),))),
    ),
    "step with a spare node": (
        Refusal.SPARE_NODE,
        attempt(replace(LATER, steps=(replace(LATER.steps[0], nodes=(*LATER.steps[0].nodes, b"\x80")),))),
    ),
    "step of the sealers' other contract": (
        Refusal.OTHER_CONTRACT,
        attempt(
            LATER,
            trust=signed_trust(
                terms=replace(
                    LEDGER.trust(CONTRACT_MODE).terms, sealing=replace(CONTRACT_MODE, code_hash=CODE["Directory"])
                )
            ),
        ),
    ),
    **{
        f"step to a set that {what}": (
            Refusal.BAD_SEALER_SET,
            attempt(replace(LATER, steps=(LEDGER.contract_step(to),))),
        )
        for what, to in {
            "is empty": (),
            "has a sealer twice": (*FIRST_SEALERS, FIRST_SEALERS[1]),
            "has the zero address": (*FIRST_SEALERS, bytes(20)),
            "has what is no address": (*FIRST_SEALERS, b"\x01" * 21),
            "is too large": [number.to_bytes(20) for number in range(1, 257)],
        }.items()
    },
    "headers with a gap": (
        Refusal.HEADER_NOT_NEXT,
        attempt(
            replace(LEDGER.proof(identity("valid"), HEADER_MODE, later=True), steps=LEDGER.header_steps()[1:]),
            sealing=HEADER_MODE,
        ),
    ),
    "unsigned trust": (
        Refusal.TRUST_NOT_SIGNED,
        attempt(GOOD, trust=replace(LEDGER.trust(CONTRACT_MODE), signatures=())),
    ),
    "trust signed by one": (
        Refusal.TRUST_NOT_SIGNED,
        attempt(GOOD, trust=signed(LEDGER.trust(CONTRACT_MODE), ADMINISTRATOR_KEYS[:1])),
    ),
    "trust signed by one twice": (
        Refusal.TRUST_NOT_SIGNED,
        attempt(GOOD, trust=signed(LEDGER.trust(CONTRACT_MODE), ADMINISTRATOR_KEYS[:1] * 2)),
    ),
    "trust signed by a stranger": (
        Refusal.TRUST_NOT_SIGNED,
        attempt(GOOD, trust=signed(LEDGER.trust(CONTRACT_MODE), [*ADMINISTRATOR_KEYS[:1], SEALER_KEYS[0]])),
    ),
    "trust changed after signing": (
        Refusal.TRUST_NOT_SIGNED,
        attempt(
            GOOD,
            trust=replace(
                LEDGER.trust(CONTRACT_MODE), checkpoint=replace(LEDGER.trust(CONTRACT_MODE).checkpoint, number=5)
            ),
        ),
    ),
    "proof too large": (Refusal.PROOF_TOO_LARGE, attempt(b"{" + bytes(MAX_PROOF_BYTES))),
    "not a proof": (Refusal.MALFORMED_PROOF, attempt(b"\xff")),
    "nothing": (Refusal.MALFORMED_PROOF, attempt(b"")),
    "a list": (Refusal.MALFORMED_PROOF, attempt(b"\x80")),
    "JSON nested without end": (Refusal.MALFORMED_PROOF, attempt(b'{"a":' + b"[" * 100_000)),
    "CBOR nested without end": (Refusal.MALFORMED_PROOF, attempt(b"\x81" * 100_000)),
    "CBOR of endless length": (Refusal.MALFORMED_PROOF, attempt(b"\x5b" + b"\xff" * 8)),
    "CBOR not in its shortest form": (
        Refusal.MALFORMED_PROOF,
        attempt(b"\xb8\x09" + GOOD.cbor()[1:]),
    ),
    "a member too many": (
        Refusal.MALFORMED_PROOF,
        attempt(json.dumps({**json.loads(GOOD.json()), "more": 1}).encode()),
    ),
    "a member twice": (
        Refusal.MALFORMED_PROOF,
        attempt(GOOD.json().replace(b'{"format"', b'{"sealed":true,"format"')),
    ),
    "upper-case hexadecimal": (
        Refusal.MALFORMED_PROOF,
        attempt(GOOD.json().replace(b'"header":"0xf', b'"header":"0xF')),
    ),
    "a number instead of a truth": (
        Refusal.MALFORMED_PROOF,
        attempt(GOOD.json().replace(b'"sealed":true', b'"sealed":1')),
    ),
    "malformed trust": (Refusal.MALFORMED_TRUST, attempt(GOOD, trust=b"{}")),
    "malformed header": (Refusal.MALFORMED_HEADER, attempt(replace(GOOD, header=GOOD.header[:-1]))),
    "issued, and no CA named": (Refusal.BROKEN_PATH, naming("issued", ())),
    "issued, the root left out": (Refusal.BROKEN_PATH, naming("issued", path("cells")[:1])),
    "a level left out": (Refusal.BROKEN_PATH, naming("of four CAs", (path("site")[0], *path("site")[2:]))),
    "levels swapped": (
        Refusal.BROKEN_PATH,
        naming("of four CAs", (path("site")[0], path("site")[2], path("site")[1], path("site")[3])),
    ),
    "more than a root at the end": (Refusal.BROKEN_PATH, naming("issued", (*path("cells"), authority("policy")))),
    "another CA as root": (Refusal.BROKEN_PATH, naming("issued", (authority("cells"), authority("fallen root")))),
    "the issuer's parent as issuer": (Refusal.OTHER_ISSUER, naming("of four CAs", path("region"))),
    "a living CA instead of the withdrawn one": (Refusal.OTHER_ISSUER, naming("of a withdrawn CA", path("cells"))),
    "the renewed CA of that name": (Refusal.ISSUER_NOT_THEN, naming("issued", path("renewed"))),
    "an earlier CA of that name": (Refusal.ISSUER_NOT_THEN, naming("issued", path("before"))),
    "a CA that ended in that second": (
        Refusal.ISSUER_NOT_THEN,
        naming("issued in its CA's first second", path("past")),
    ),
    "a CA that began the second after": (
        Refusal.ISSUER_NOT_THEN,
        naming("issued in its CA's last second", path("to come")),
    ),
    "a CA that is not on the list": (Refusal.UNKNOWN_AUTHORITY, naming("issued", (bytes(32), *path("cells")[1:]))),
    "a root that is not on the list": (Refusal.UNKNOWN_AUTHORITY, naming("issued", (authority("cells"), bytes(32)))),
    "a CA named for a self-signed one": (Refusal.SPARE_AUTHORITY, naming("valid", path("cells"))),
    "a CA named for an absent one": (Refusal.SPARE_AUTHORITY, naming("unknown", path("cells"))),
    "a CA named for a revoked one": (Refusal.SPARE_AUTHORITY, naming("issued and revoked", path("withdrawn"))),
    "a CA named for a rejected one": (Refusal.SPARE_AUTHORITY, naming("issued and rejected", path("withdrawn"))),
    "five CAs": (Refusal.MALFORMED_PROOF, naming("of four CAs", (*path("site"), authority("root")))),
    "a CA's id cut short": (Refusal.MALFORMED_PROOF, naming("issued", (path("cells")[0][:31], path("cells")[1]))),
    "for a purpose that the CA is not trusted for": (
        Refusal.ISSUER_OUT_OF_SCOPE,
        attempt(LEDGER.proof(identity("issued"), CONTRACT_MODE), certificate=rescoped(identity("issued"), TLS)),
    ),
    "for a purpose that no CA is trusted for": (
        Refusal.ISSUER_OUT_OF_SCOPE,
        attempt(
            LEDGER.proof(identity("issued"), CONTRACT_MODE), certificate=rescoped(identity("issued"), TrustScope(0))
        ),
    ),
    "a scope wider than above": (Refusal.ISSUER_OUT_OF_SCOPE, naming("of a wider CA", path("wider"))),
    "a CA that outlives the one above": (Refusal.ISSUER_OUTLIVED, naming("of a longer CA", path("longer"))),
    "a certificate that outlives its CA": (Refusal.ISSUER_OUTLIVED, naming("of a brief CA", path("brief"))),
    "a certificate that names no issuer": (
        Refusal.OTHER_ISSUER,
        attempt(LEDGER.proof(identity("issued"), CONTRACT_MODE), certificate=replace(identity("issued"), issuer=None)),
    ),
    "a CA's entry of before its withdrawal": (
        Refusal.WRONG_NODE,
        attempt(
            replace(
                LEDGER.proof(identity("of a withdrawn CA"), CONTRACT_MODE),
                nodes=under(
                    listing(withdrawn=replace(CAS["withdrawn"], withdrawn_at=0, reason=0)), "of a withdrawn CA"
                ).nodes,
            ),
            "of a withdrawn CA",
        ),
    ),
    "the last node of the CAs left out": (
        Refusal.INCOMPLETE_PROOF,
        attempt(
            replace(
                LEDGER.proof(identity("issued"), CONTRACT_MODE),
                nodes=LEDGER.proof(identity("issued"), CONTRACT_MODE).nodes[:-1],
            ),
            "issued",
        ),
    ),
    "hostile Directory, another trust list": (
        Refusal.OTHER_CONTRACT,
        attempt(under(make_state(trust_list=REGISTRY_ADDRESS), "issued"), "issued"),
    ),
    "hostile Directory, a trust list of other code": (
        Refusal.HOSTILE_DIRECTORY,
        attempt(under(make_state(trust_list_code=keccak(b"other")), "issued"), "issued"),
    ),
    "hostile Directory, no trust list": (
        Refusal.HOSTILE_DIRECTORY,
        attempt(under(make_state(trust_list=b""), "issued"), "issued"),
    ),
    "nothing at the trust list's place": (
        Refusal.NO_CONTRACT,
        attempt(under(make_state(trust_list=b"\x01" * 20), "issued"), "issued"),
    ),
    "trust list of other code": (
        Refusal.OTHER_CONTRACT,
        attempt(under(make_state(accounts={TRUST_LIST_ADDRESS: keccak(b"other")}), "issued"), "issued"),
    ),
}
