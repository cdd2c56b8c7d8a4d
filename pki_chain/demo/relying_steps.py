"""The steps about relying parties: a proof that needs no trust in a gateway, and a tunnel that follows the ledger."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

from pki_chain.demo.processes import wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, require

Say = Callable[[str], None]


def prove_status(stage: Stage, say: Say) -> None:
    """A trust file that two members signed; a proof that is verified by it; and what is refused."""
    trust, proof = str(stage.root / "TRUST.json"), stage.root / "cell.proof"
    stage.tally(OPERATOR, "trust", "export", "--trust", trust)
    for member in (OPERATOR, VENDOR):
        signed = stage.tally(member, "trust", "checkpoint", "--trust", trust).content
    say(f"operator and vendor signed the trust file of block {signed['checkpoint']}, digest {signed['digest'][:18]}...")
    certificate = str(stage.devices()[-1])
    verify = ("verify", certificate, "--trust", trust)
    unsafe = "--unsafe-unsealed"
    with stage.timed("a proof fetched and verified"):
        fetch = ("--gateway", stage.gateways[OPERATOR], "--save", str(proof))
        proven = stage.tally(VENDOR, *verify, *fetch, unsafe).content
    require(proven["good"] is True, f"a valid certificate is proven {proven['state']}")
    block = proven["block"]["number"]
    say(f"{Path(certificate).name}: valid, proven at block {block} in {proof.stat().st_size:,} bytes")
    refused = stage.tally(VENDOR, *verify, "--proof", str(proof), expected=(76,))
    require('"unsealed:' in refused.error, f"an unsealed block was refused otherwise: {refused.error}")
    say("refused without --unsafe-unsealed, since this demonstration's engine does not seal its blocks")
    content = bytearray(proof.read_bytes())
    content[len(content) // 2] ^= 1
    proof.write_bytes(content)
    refused = stage.tally(VENDOR, *verify, "--proof", str(proof), unsafe, expected=(76,))
    said = json.loads(refused.error.splitlines()[-1])
    require(said["error"] == "proof-refused", f"a changed proof was refused otherwise: {refused.error}")
    say(f"refused with one bit changed: {said['message'].partition(':')[0]}")


def follow_with_tunnels(stage: Stage, say: Say) -> None:
    """A cell and a security gateway with strongSwan in two name spaces: published in, held out."""
    if importlib.util.find_spec("vici") is None:
        say("left out: the Python package vici is not installed (pip install 'tiger-tally[ipsec]')")
        return
    from pki_chain.demo.hosts import IS_POSSIBLE  # noqa: PLC0415 - wants vici

    if not IS_POSSIBLE:
        say("left out: it needs root, strongSwan (charon-systemd), ip, ping and /dev/net/tun")
        return
    from pki_chain.demo.site import open_site  # noqa: PLC0415 - wants vici

    with open_site(stage, stage.devices()[-2:]) as site:
        require(site.cell_connects(), "the published cell does not get its tunnel")
        require(site.cell.reaches(site.gateway), "the tunnel carries no ping")
        say(f"{site.cell_peer.identity} and its security gateway authenticated each other; the tunnel carries a ping")
        with stage.timed("a held cell's tunnel gone, from the command on"):
            site.act("hold")
            wait_until("the cell is cut off", lambda: not site.is_let_in())
        require(not site.cell.reaches(site.gateway), "the tunnel of a held cell still carries a ping")
        require(not site.cell_connects(), "a held cell gets a tunnel")
        say("held: its tunnel is gone, and it gets no other")
        site.act("release")
        wait_until("the cell is let in again", site.is_let_in)
        require(site.cell_connects(), "a released cell does not get its tunnel")
        say("released: it connects again")
