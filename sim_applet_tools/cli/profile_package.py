"""`tally sim profile-package`: the applet in an eSIM's profile package."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from sim_applet_tools.cli.output import json_option, print_result, write_file
from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.profiles import load_profile, parse_application_id
from sim_applet_tools.saip.cap_file import load_cap
from sim_applet_tools.saip.profile_package import add_applet, applications

MAX_PACKAGE_BYTES = 16 << 20
TOOL_TIMEOUT_S = 120


@click.command(name="profile-package")
@click.argument("base", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--cap", "cap_path", type=click.Path(path_type=Path), help="CAP file of the applet (docs/applet.md).")
@click.option("--aid", help="AID of the applet's instance; ours without it.")
@click.option("--output", type=click.Path(path_type=Path), help="The package with the applet.")
@click.option(
    "--saip-tool",
    metavar="FILE",
    envvar="TALLY_SAIP_TOOL",
    help="pySim's saip-tool.py, to read the outcome once more, as a program of its own.",
)
@json_option
def profile_package(
    base: Path, cap_path: Path | None, aid: str | None, output: Path | None, saip_tool: str | None, as_json: bool
) -> None:
    """Put the applet into the profile package BASE.

    BASE is an unprotected package (DER). Without --cap, list the applets in it. What is written was read back and
    compared.
    """
    package = _read(base)
    if (cap_path is None) != (output is None):
        raise InputError("give --cap and --output together, or none of them to list what BASE has")
    if cap_path is not None and output is not None:
        instance = parse_application_id(aid) if aid else load_profile("tally").application_ids[0]
        package = add_applet(package, load_cap(cap_path), instance)
        write_file(output, package)
    found = [
        {
            "identification": item.identification,
            "package": item.package_id.hex().upper(),
            "instance": item.instance_id.hex().upper(),
            "load_block_bytes": len(item.load_block),
        }
        for item in applications(package)
    ]
    lines = [f"{item['instance']} of package {item['package']}, {item['load_block_bytes']} bytes" for item in found]
    checked = _check(saip_tool, output or base) if saip_tool else None
    document = {"bytes": len(package), "applications": found, "saip_tool": checked}
    print_result(document, "\n".join([*lines, *([checked] if checked else [])]) or "no applets", as_json=as_json)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MAX_PACKAGE_BYTES + 1)
    if len(raw) > MAX_PACKAGE_BYTES:
        raise InputError(f"{path} is longer than {MAX_PACKAGE_BYTES} bytes: is it a profile package?")
    return raw


def _check(tool: str, package: Path) -> str:
    """What pySim says of the package; it runs apart, under its own licence."""
    try:
        done = subprocess.run(  # noqa: S603  the user's own program
            [tool, str(package), "info", "--apps"], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"cannot run {tool}: {error}: check --saip-tool") from error
    if done.returncode:
        raise InputError(f"{tool} does not accept the package: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()
