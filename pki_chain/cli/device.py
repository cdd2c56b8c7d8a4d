"""`tally device`: keys and self-signed certificates, made where the device is or on its production line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import click

from pki_chain.cli.output import command_group, json_option, print_result, progress_bar
from pki_chain.errors import InputError, StorageError

_CHUNK = 50
_PROFILES = ("small-cell", "tls-device", "iot-device")


@dataclass(frozen=True, slots=True)
class _Order:
    """What a worker process makes: `count` devices whose numbers begin at `first`."""

    directory: Path
    profile: str
    organisation: str
    realm: str
    names: tuple[str, ...]
    first: int
    count: int
    eui_bits: int
    lifetime_days: int | None
    not_before: int
    passphrase: bytes | None


@command_group("device")
def device() -> None:
    """Make a device's key and certificate; no authority is asked."""


@device.command(short_help="Make keys and certificates of devices.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--organisation", required=True, help="Registered name of the member that owns the lot (O).")
@click.option("--profile", type=click.Choice(_PROFILES), default="small-cell", show_default=True)
@click.option("--realm", help="Suffix of the names <EUI>.<realm>; with --first-eui.")
@click.option("--first-eui", help="First EUI-48 or EUI-64: 12 or 16 hexadecimal digits; counted up for each device.")
@click.option("--name", "names", multiple=True, help="A name of one device: dns:<name>, uri:<urn> or ip:<address>.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000_000), help="How many devices.")
@click.option("--days", type=click.IntRange(1, 36_500), help="Lifetime. [default: the profile's longest]")
@click.option("--endless", is_flag=True, help="No end (99991231235959Z), for devices without a clock.")
@click.option("--processes", type=click.IntRange(1, 256), help="[default: one for each processor]")
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Encrypts keys.")
@json_option
def new(
    directory: Path,
    organisation: str,
    profile: str,
    realm: str | None,
    first_eui: str | None,
    names: tuple[str, ...],
    count: int,
    days: int | None,
    processes: int | None,
    passphrase_file: Path | None,
    *,
    endless: bool,
    as_json: bool,
) -> None:
    """Write <device>.key (PKCS#8 PEM, mode 0600) and <device>.cer (DER) for each device into DIRECTORY.

    Small cells are named by their EUI (TS 33.320): --realm cells.acme.example --first-eui 02a0f2000001 --count 1000.
    A single device may have names of its own instead: --name dns:gate.acme.example. Nothing is ever overwritten.
    """
    if days is not None and endless:
        raise InputError("--days and --endless exclude each other: give one")
    order = _order(
        directory, organisation, profile, realm, first_eui, names, count, passphrase_file, days=days, endless=endless
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {directory}: {error.strerror}") from error
    begun = time.monotonic()
    with progress_bar("keys and certificates", count, quiet=as_json) as progress:
        for done in _make_all(order, processes or os.cpu_count() or 1):
            progress(done)
    seconds = time.monotonic() - begun
    result = {
        "directory": str(directory),
        "count": count,
        "seconds": round(seconds, 3),
        "per_second": round(count / seconds, 1),
    }
    print_result(
        result,
        f"{count} keys and certificates in {directory}, {count / seconds:,.0f} a second",
        as_json=as_json,
    )


def _order(
    directory: Path,
    organisation: str,
    profile: str,
    realm: str | None,
    first_eui: str | None,
    names: tuple[str, ...],
    count: int,
    passphrase_file: Path | None,
    *,
    days: int | None,
    endless: bool,
) -> _Order:
    from pki_chain.x509.profile import BUILT_IN_PROFILES

    if bool(names) == bool(first_eui) or bool(first_eui) != bool(realm):
        raise InputError("give either --first-eui and --realm, or --name for a single device")
    if names and count != 1:
        raise InputError("--name is for one device: leave --count out, or number devices with --first-eui")
    eui_bits = 4 * len(first_eui or "")
    try:
        first = int(first_eui or "0", 16)
    except ValueError as error:
        raise InputError(f"--first-eui {first_eui!r} is not 12 or 16 hexadecimal digits") from error
    if first_eui and (eui_bits not in {48, 64} or first + count > 1 << eui_bits):
        raise InputError(f"--first-eui {first_eui!r} is not 12 or 16 hexadecimal digits with room for {count} devices")
    wanted = next(each for each in BUILT_IN_PROFILES if each.name == profile)
    return _Order(
        directory=directory,
        profile=profile,
        organisation=organisation,
        realm=realm or "",
        names=names,
        first=first,
        count=count,
        eui_bits=eui_bits,
        lifetime_days=None if endless else days or wanted.longest_life_days,
        not_before=int(time.time()),
        passphrase=passphrase_file.read_bytes().strip() if passphrase_file else None,
    )


def _make_all(order: _Order, processes: int) -> Iterator[int]:
    """Make all devices, in several processes where that pays; yields how many are done."""
    from dataclasses import replace

    chunks = [
        replace(order, first=order.first + start, count=min(_CHUNK, order.count - start))
        for start in range(0, order.count, _CHUNK)
    ]
    if processes == 1 or len(chunks) == 1:
        done = 0
        for chunk in chunks:
            done += make_devices(chunk)
            yield done
        return
    with ProcessPoolExecutor(min(processes, len(chunks))) as pool:
        done = 0
        for future in as_completed([pool.submit(make_devices, chunk) for chunk in chunks]):
            done += future.result()
            yield done


def make_devices(order: _Order) -> int:
    """Make keys and certificates and write them; returns how many. Raises `InputError`, `StorageError`."""
    from pki_chain.cli.names import parse_name
    from pki_chain.x509 import self_signed
    from pki_chain.x509.names import SubjectAltName
    from pki_chain.x509.profile import BUILT_IN_PROFILES, SanType

    profile = next(each for each in BUILT_IN_PROFILES if each.name == order.profile)
    for number in range(order.first, order.first + order.count):
        if order.names:
            names = [parse_name(text) for text in order.names]
            stem = order.names[0].partition(":")[2].replace("/", "_").replace(":", "_")
            serial = None
        else:
            eui = format(number, f"0{order.eui_bits // 4}x")
            names = [SubjectAltName(SanType.DNS, f"{eui}.{order.realm}".encode("ascii"))]
            stem, serial = eui, eui
        key = self_signed.create_key()
        der = self_signed.issue(
            key,
            profile=profile,
            organisation=order.organisation,
            serial_number=serial,
            names=names,
            not_before=order.not_before,
            lifetime_days=order.lifetime_days,
        )
        self_signed.store_key(order.directory / f"{stem}.key", key, order.passphrase)
        self_signed.store_certificate(order.directory / f"{stem}.cer", der)
    return order.count
