"""Deploying a consortium's contracts and founding it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from pki_chain.chain.abi import encode_values, load_artifact
from pki_chain.chain.calls import TRANSACTION_GAS
from pki_chain.chain.connection import Connection, Json, call_object, parse_bytes, parse_quantity
from pki_chain.chain.founding import DirectoryPlan, FoundingPlan, FullFounding
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData, TypedTexts, founding_hash
from pki_chain.config import ConsortiumFile
from pki_chain.errors import ConfigurationError, InputError, LedgerUnavailableError, RefusedError
from pki_chain.ports import Address, MemberState, Role

P256VERIFY = Address("0x0000000000000000000000000000000000000100")
"""Source: EIP-7951."""

CONTRACTS = ("Consortium", "Directory", "CertificateRegistry", "IdentityRegistry", "TrustList")
REGISTRIES = ("CertificateRegistry", "IdentityRegistry", "TrustList")
"""Contracts that the Directory names."""

_OWN_ADDRESS = bytes.fromhex("305f5260205ff3")
"""Creation code that answers where it is created: ADDRESS, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN."""

_RECEIPT_TIMEOUT_S = 120.0
_POLL_S = 0.1

# RFC 6979 A.2.5, P-256 with SHA-256, message "sample": digest, r, s (over half the order, as X.509 allows), x, y.
_KNOWN_SIGNATURE = bytes.fromhex(
    "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Contracts that stand and wait to be founded: what founders verify and sign.

    `file` is the consortium's file to be; `libraries` says where each library stands, by its name.
    """

    file: ConsortiumFile
    founding: FullFounding
    libraries: Mapping[str, Address]


def deploy(
    connection: Connection,
    signer: Signer,
    salt: bytes,
    founding: FoundingPlan,
    sign_founding: Callable[[TypedData], Sequence[bytes]],
) -> ConsortiumFile:
    """Deploy and found in one go, for founders whose keys are at hand.

    `sign_founding` gets the text `Found` and returns a signature of each founder, in the order of the plan. `signer`
    (use `Signer.ephemeral()`) pays nothing and keeps no right. Raises as `deploy_contracts` and `found`.
    """
    deployment = deploy_contracts(connection, signer, salt, founding)
    signatures = sign_founding(TypedTexts(deployment.file).found(deployment.file.founding_hash))
    return found(connection, signer, deployment, signatures)


def deploy_contracts(connection: Connection, signer: Signer, salt: bytes, founding: FoundingPlan) -> Deployment:
    """Deploy libraries, Consortium, Directory and the registries; nobody has a right there until it is founded.

    The plan's founders are bound into the Consortium: only with all their signatures can it be founded. Raises
    `ConfigurationError` when the chain has no P256VERIFY, `RefusedError`, `LedgerUnavailableError`.
    """
    verify_p256(connection)
    deployer = _Deployer(connection, signer)
    consortium = deployer.create("Consortium", _consortium_arguments(salt, founding))
    directory = deployer.create("Directory", encode(["address"], [consortium]))
    registry = deployer.create("CertificateRegistry", encode(["address"], [consortium]))
    identities = deployer.create("IdentityRegistry", _identity_arguments(consortium, founding))
    trust_list = deployer.create("TrustList", encode(["address"], [consortium]))
    located = {"CertificateRegistry": registry, "IdentityRegistry": identities, "TrustList": trust_list}
    full = FullFounding(founding, directory, _entries(located, deployer.code_hashes))
    file = ConsortiumFile(
        chain_id=deployer.chain_id,
        salt=salt,
        consortium=consortium,
        directory=directory,
        certificate_registry=registry,
        identity_registry=identities,
        trust_list=trust_list,
        code_hashes=MappingProxyType(deployer.code_hashes),
        endpoints=connection.endpoints,
        founding_block=deployer.first_block,
        founding_hash=founding_hash(full),
    )
    return Deployment(file, full, MappingProxyType(deployer.libraries))


def found(
    connection: Connection, signer: Signer, deployment: Deployment, signatures: Sequence[bytes]
) -> ConsortiumFile:
    """Found with a signature of each founder, in the order of the plan, and check what then stands on the ledger.

    Raises `RefusedError` when a contract refuses plan or signatures, `LedgerUnavailableError`.
    """
    file = deployment.file
    deployer = _Deployer(connection, signer)
    deployer.send(file.consortium, deployment.founding.call_data(tuple(signatures)))
    verify_founding(file, deployment.founding.plan, LedgerClient(file, connection=connection))
    return file


def verify_deployment(connection: Connection, deployment: Deployment) -> None:
    """Check that what a founder is asked to sign is what this package would have deployed, and is not founded yet.

    1. The chain is the one that the file names and verifies P-256 signatures.
    2. Each contract's and library's code is what this package's own artifacts give with the plan's arguments.
    3. The Directory's entries and the hash to be signed follow from plan and code.
    4. Nobody has founded the Consortium.

    All is asked of `connection`: give a founder's own. Raises `RefusedError` naming what differs, `InputError`,
    `ConfigurationError`, `LedgerUnavailableError`.
    """
    file, full = deployment.file, deployment.founding
    if connection.chain_id() != file.chain_id:
        raise RefusedError(
            f"This ledger has chain id {connection.chain_id()}, the plan {file.chain_id}. Use the right endpoint."
        )
    verify_p256(connection)
    if set(deployment.libraries) != _needed_libraries(CONTRACTS):
        raise InputError("The plan does not name exactly the libraries of this version. Compare versions.")
    consortium = encode(["address"], [file.consortium])
    located = [(name, address, b"") for name, address in deployment.libraries.items()]
    located += [
        ("Consortium", file.consortium, _consortium_arguments(file.salt, full.plan)),
        ("Directory", file.directory, consortium),
        ("CertificateRegistry", file.certificate_registry, consortium),
        ("IdentityRegistry", file.identity_registry, _identity_arguments(file.consortium, full.plan)),
        ("TrustList", file.trust_list, consortium),
    ]
    hashes = {
        name: _verify_built(connection, name, address, _creation_code(name, deployment.libraries) + arguments)
        for name, address, arguments in located
    }
    entries = _entries(_registries(file), hashes)
    if dict(file.code_hashes) != hashes or full.entries != entries or full.directory != file.directory:
        raise RefusedError(
            "The plan's code hashes or Directory entries are not those of the contracts on the ledger. Do not sign: "
            "ask who made the plan."
        )
    if file.founding_hash != founding_hash(full):
        raise RefusedError("The plan's founding hash is not that of its content. Do not sign: ask who made the plan.")
    if LedgerClient(file, connection=connection).member_count() != 0:
        raise RefusedError(f"The consortium at {file.consortium} is founded already. Nothing is left to sign.")


def _verify_built(connection: Connection, name: str, address: Address, creation: bytes) -> bytes:
    """keccak256 of the code at an address, which must be what this creation code gives."""
    sender = Signer.ephemeral().address
    expected, simulated = (
        parse_bytes(
            connection.request("eth_call", [call_object(None, code, sender=sender, gas=TRANSACTION_GAS), "latest"])
        )
        for code in (creation, _OWN_ADDRESS)
    )
    # A library keeps its own address in its code, to refuse calls that are not delegated.
    expected = expected.replace(simulated[-20:], bytes.fromhex(address[2:]))
    stands = parse_bytes(connection.request("eth_getCode", [address, "latest"]))
    if not stands or stands != expected:
        raise RefusedError(
            f"The code of {name} at {address} is not what this version of the package makes. Do not sign: compare "
            "versions with the other founders."
        )
    return keccak(stands)


def _consortium_arguments(salt: bytes, plan: FoundingPlan) -> bytes:
    founders_hash = keccak(encode(["address[]"], [list(plan.founders)]))
    return encode(["bytes32", "bytes32"], [salt, founders_hash])


def _identity_arguments(consortium: Address, plan: FoundingPlan) -> bytes:
    return encode_values(["address", "uint32"], [consortium, plan.replacement_delay_s], what="replacement_delay_s")


def _registries(file: ConsortiumFile) -> dict[str, Address]:
    return {
        "CertificateRegistry": file.certificate_registry,
        "IdentityRegistry": file.identity_registry,
        "TrustList": file.trust_list,
    }


def _entries(located: Mapping[str, Address], hashes: Mapping[str, bytes]) -> tuple[DirectoryPlan, ...]:
    return tuple(DirectoryPlan(keccak(name.encode()), located[name], hashes[name]) for name in REGISTRIES)


def _needed_libraries(contracts: Iterable[str]) -> set[str]:
    """Libraries of these contracts, and the libraries of those."""
    linked = {library for contract in contracts for library in load_artifact(contract).links}
    return linked | _needed_libraries(linked) if linked else set()


def _creation_code(contract: str, libraries: Mapping[str, Address]) -> bytes:
    """A contract's creation code with the libraries' addresses in its blanks. Raises `InputError`."""
    artifact = load_artifact(contract)
    code = list(artifact.bytecode)
    for library, places in artifact.links.items():
        if library not in libraries:
            raise InputError(f"{contract} needs library {library}, and its address is not given. Name all libraries.")
        for place in places:
            code[2 * place : 2 * place + 40] = libraries[library][2:].lower()
    return bytes.fromhex("".join(code))


def verify_p256(connection: Connection) -> None:
    """Check that the chain verifies P-256 signatures at 0x100: a good one and not a bad one.

    Raises `ConfigurationError` otherwise. Source: EIP-7951.
    """
    good, bad = _KNOWN_SIGNATURE, _KNOWN_SIGNATURE[:-1] + b"\x00"
    if connection.call(P256VERIFY, good) != (1).to_bytes(32) or connection.call(P256VERIFY, bad) != b"":
        raise ConfigurationError(
            "This chain does not verify P-256 signatures at address 0x100 (EIP-7951). Use one with Osaka active; "
            "for Besu, an Osaka time in the genesis."
        )


def verify_founding(file: ConsortiumFile, plan: FoundingPlan, ledger: LedgerClient) -> None:
    """Check that what stands on the ledger is what the plan says. Raises `RefusedError` naming the difference."""
    verify_code(file, ledger)
    found: dict[str, Any] = {
        "members": ledger.member_count(),
        "electorate": ledger.electorate(ledger.current_electorate()).members,
        "quorum": ledger.electorate(ledger.current_electorate()).quorum,
        "parameters": ledger.parameters(),
    }
    wanted: dict[str, Any] = {
        "members": len(plan.members),
        "electorate": plan.electorate,
        "quorum": plan.quorum,
        "parameters": plan.parameters,
    }
    for profile in plan.profiles:
        found[f"profile {profile.id}"], wanted[f"profile {profile.id}"] = ledger.profile(profile.id), profile.content
    for number, member in enumerate(plan.members, start=1):
        stands = ledger.member(number)
        found[f"member {number}"] = (stands.kind, stands.state, stands.name) if stands else None
        wanted[f"member {number}"] = (member.kind, MemberState.ACTIVE, member.name)
        found[f"name spaces of member {number}"] = frozenset(ledger.name_spaces(number))
        wanted[f"name spaces of member {number}"] = frozenset(member.spaces)
        for role, accounts in (
            (Role.ADMINISTRATOR, member.administrators),
            (Role.DUTY, member.duty_accounts),
            (Role.ENDORSER, member.endorsers),
            (Role.STATION, member.stations),
        ):
            for account in accounts:
                found[f"account {account}"], wanted[f"account {account}"] = ledger.acting_member(account, role), number
    for name, value in wanted.items():
        if found[name] != value:
            raise RefusedError(f"The ledger does not hold what was founded: {name} is {found[name]}, not {value}.")


def verify_code(file: ConsortiumFile, ledger: LedgerClient) -> None:
    """Check that the contracts' code is the code that the consortium's file names. Raises `RefusedError`."""
    located = {"Consortium": file.consortium, "Directory": file.directory} | _registries(file)
    for name, address in located.items():
        if ledger.code_hash(address) != file.code_hashes.get(name):
            raise RefusedError(
                f"The code of {name} at {address} is not the one in the consortium's file. Ask another member for the "
                "file, and another endpoint for the code."
            )


class _Deployer:
    """Sends the transactions of a deployment one after the other, each after the receipt of the one before."""

    def __init__(self, connection: Connection, signer: Signer) -> None:
        self._connection = connection
        self._signer = signer
        self.libraries: dict[str, Address] = {}
        self.chain_id = connection.chain_id()
        self.code_hashes: dict[str, bytes] = {}
        self.first_block = parse_quantity(connection.request("eth_blockNumber", [])) + 1

    def create(self, contract: str, arguments: bytes = b"") -> Address:
        """Deploy a contract, its libraries first, and check its code on the ledger against what its creation gives."""
        for library in load_artifact(contract).links:
            if library not in self.libraries:
                self.libraries[library] = self.create(library)
        creation = _creation_code(contract, self.libraries) + arguments
        expected = self._connection.request(
            "eth_call", [call_object(None, creation, sender=self._signer.address, gas=TRANSACTION_GAS), "latest"]
        )
        receipt = self.send(None, creation)
        address = Address(to_checksum_address(receipt["contractAddress"]))
        runtime = parse_bytes(self._connection.request("eth_getCode", [address, "latest"]))
        if not runtime or runtime != parse_bytes(expected):
            raise RefusedError(f"The ledger holds other code for {contract} than was deployed. Use another endpoint.")
        self.code_hashes[contract] = keccak(runtime)
        return address

    def send(self, to: Address | None, data: bytes) -> dict[str, Json]:
        """Send a transaction and wait for its receipt. Raises `RefusedError` with the contract's reason."""
        self._connection.request(
            "eth_call", [call_object(to, data, sender=self._signer.address, gas=TRANSACTION_GAS), "latest"]
        )
        nonce = parse_quantity(self._connection.request("eth_getTransactionCount", [self._signer.address, "latest"]))
        raw, digest = self._signer.sign_transaction(to, data, nonce=nonce, gas=TRANSACTION_GAS, chain_id=self.chain_id)
        self._connection.request("eth_sendRawTransaction", ["0x" + raw.hex()])
        receipt = self._await(digest)
        if parse_quantity(receipt.get("status")) != 1:
            raise RefusedError("A transaction of the deployment failed although its trial had passed. Start again.")
        return receipt

    def _await(self, digest: bytes) -> dict[str, Json]:
        deadline = time.monotonic() + _RECEIPT_TIMEOUT_S
        while time.monotonic() < deadline:
            receipt = self._connection.request("eth_getTransactionReceipt", ["0x" + digest.hex()])
            if isinstance(receipt, dict) and receipt.get("blockNumber") is not None:
                return receipt
            time.sleep(_POLL_S)
        raise LedgerUnavailableError(
            f"Transaction 0x{digest.hex()} got into no block within {_RECEIPT_TIMEOUT_S:g} s. Check that the ledger "
            "makes blocks, then start again."
        )
