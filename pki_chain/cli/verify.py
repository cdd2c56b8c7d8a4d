"""`tally verify`: what the ledger says of a certificate, shown by a proof and believed by a trust file alone."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.failure import EXIT_CODES
from pki_chain.cli.member import gateway_client
from pki_chain.cli.output import json_option, print_result
from pki_chain.errors import InputError, NotFoundError, RefusedError, StorageError

if TYPE_CHECKING:
    from pki_chain.proof.registry_state import Identity
    from pki_chain.proof.trust import Trust
    from pki_chain.proof.verifier import ProvenStatus

trust_option = click.option(
    "--trust",
    "trust_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("TRUST.json"),
    show_default=True,
    help="The trust file.",
)


@click.command(epilog=EXIT_CODES, short_help="Verify a certificate's status by a proof.")
@click.argument("certificate", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--proof", "proof_path", type=click.Path(dir_okay=False, path_type=Path), help="Its proof, JSON or CBOR.")
@click.option("--gateway", "gateways", multiple=True, metavar="URL", help="Fetch the proof from here instead.")
@click.option(
    "--save", "saved", type=click.Path(dir_okay=False, path_type=Path), help="Keep the fetched proof, as CBOR."
)
@trust_option
@click.option(
    "--max-age",
    "max_age_s",
    type=click.IntRange(1, 365 * 86_400),
    help="Oldest block taken, in seconds.  [default: the consortium's bound]",
)
@click.option("--least-block", type=click.IntRange(0), default=0, help="Refuse a proof of an older block.")
@click.option("--unsafe-unsealed", is_flag=True, help="Believe a ledger whose engine seals nothing: for trials only.")
@json_option
def verify(
    certificate: Path,
    proof_path: Path | None,
    gateways: tuple[str, ...],
    saved: Path | None,
    trust_path: Path,
    max_age_s: int | None,
    least_block: int,
    *,
    unsafe_unsealed: bool,
    as_json: bool,
) -> None:
    """Verify the status of CERTIFICATE (DER or PEM) by a proof, trusting neither gateway nor ledger node.

    Exit code 0: valid; 66: proven not to be on the ledger; 76: nothing is proven; 77: proven and not valid.
    """
    from pki_chain.cli.station import read_certificates
    from pki_chain.proof.proof import parse_proof
    from pki_chain.proof.verifier import Verifier, identify

    if (proof_path is None) == (not gateways):
        raise InputError("give either --proof with a file, or --gateway to fetch the proof from")
    verifier = Verifier(load_trust(trust_path), unsafe_unsealed=unsafe_unsealed)
    der = read_certificates((certificate,))[0][1]
    identity = identify(der)
    content = _fetch(gateways, der, identity) if proof_path is None else read_bounded(proof_path)
    proof = parse_proof(content)
    if saved is not None:
        store(saved, proof.cbor())
    proven = verifier.verify(proof, identity, int(time.time()), max_age_s=max_age_s, least_block=least_block)
    print_result(_content(proven), _text(proven), as_json=as_json)
    if proven.status.state.name == "UNKNOWN":
        raise NotFoundError("the ledger does not know this certificate: that is proven, and says nothing good about it")
    if not proven.is_good:
        raise RefusedError("the certificate is not valid: that is proven")


def load_trust(path: Path) -> Trust:
    """Raises `ProofRefusedError`, `InputError`."""
    from pki_chain.proof.trust import parse_trust

    return parse_trust(read_bounded(path))


def read_bounded(path: Path) -> bytes:
    """A file of at most 1 MiB and a byte, so that what is longer is seen to be. Raises `InputError`."""
    try:
        with path.open("rb") as stream:
            return stream.read((1 << 20) + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def store(path: Path, content: bytes) -> None:
    """Write a file in one step. Raises `StorageError`."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _fetch(gateways: tuple[str, ...], der: bytes, identity: Identity) -> bytes:
    path = f"/v1/certificates/{hashlib.sha256(der).hexdigest()}/proof"
    asked = f"{path}?spki={identity.spki_hash.hex()}&tbs={identity.tbs_hash.hex()}"
    return json.dumps(gateway_client(None, gateways).get(asked)).encode()


def _content(proven: ProvenStatus) -> dict[str, Any]:
    from pki_chain.founding.authority_terms import format_scope

    status = proven.status
    return {
        "state": status.state.name.lower(),
        "good": proven.is_good,
        "reason": status.reason,
        "since": status.since or None,
        "not_after": status.not_after or None,
        "holds": list(status.holds),
        "block": {"number": proven.block_number, "time": proven.block_time, "hash": "0x" + proven.block_hash.hex()},
        "age_s": proven.age_s,
        "sealed": proven.sealed,
        "scope": format_scope(proven.scope).split(","),
        "authorities": ["0x" + each.hex() for each in proven.authorities],
    }


def _text(proven: ProvenStatus) -> str:
    status = proven.status
    lines = [f"{status.state.name.lower()}, proven at block {proven.block_number} ({proven.age_s} s old)"]
    if status.since:
        lines.append(f"  since      {_time(status.since)}, reason {status.reason}")
    if proven.not_after_passed:
        lines.append(f"  expired    {_time(status.not_after)}, by this machine's clock")
    if proven.authorities:
        lines.append(f"  counts for {', '.join(_content(proven)['scope'])}")
    lines += [f"  issued by  CA 0x{each.hex()}" for each in proven.authorities[:1]]
    lines += [f"  below      CA 0x{each.hex()}" for each in proven.authorities[1:]]
    if not proven.sealed:
        lines.append("  UNSEALED   nobody sealed this block: whoever gave the proof is believed")
    return "\n".join(lines)


def _time(seconds: int) -> str:
    return "never" if seconds >= 253_402_300_799 else datetime.fromtimestamp(seconds, UTC).isoformat()
