"""`tally sim readers|info|doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from sim_applet_tools.cli.card_choice import CardChoice, card_options
from sim_applet_tools.cli.output import json_option, print_result
from sim_applet_tools.errors import SimError
from sim_applet_tools.iot_safe.pin import ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.profiles import load_profile, profile_names
from sim_applet_tools.status_words import NotFoundError
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.uicc import read_applications, read_eid, read_iccid

FAILED = 1


@click.command()
@json_option
def readers(as_json: bool) -> None:
    """List readers and whether a card is in them."""
    from sim_applet_tools.transport.pcsc import list_readers

    found = list_readers()
    rows = [{**asdict(state), "atr": state.atr.hex().upper()} for state in found]
    lines = [f"{row['name']}: {row['atr'] if row['has_card'] else 'no card'}" for row in rows]
    print_result({"readers": rows}, "\n".join(lines) or "no readers: plug one in", as_json=as_json)


@click.command(short_help="ATR, ICCID, EID, applications, objects.")
@card_options
@json_option
def info(card: CardChoice, as_json: bool) -> None:
    """Show ATR, ICCID, EID, applications and the IoT SAFE applet's objects."""
    with card.transport() as transport:
        document: dict[str, Any] = {
            "reader": transport.name,
            "atr": transport.atr.hex().upper(),
            "protocol": "T=1" if transport.is_t1 else "T=0",
            "iccid": read_iccid(transport),
            "applications": [
                {"aid": entry.application_id.hex().upper(), "label": entry.label}
                for entry in read_applications(transport)
            ],
            "eid": read_eid(transport),
        }
        names = (card.profile,) if card.profile else profile_names()
        try:
            applet = find_applet(transport, [load_profile(name) for name in names], card.application_ids)
            document["applet"] = _describe(applet)
        except NotFoundError:
            document["applet"] = None
    print_result(document, _text(document), as_json=as_json)


def _describe(applet: IotSafeApplet) -> dict[str, Any]:
    data = applet.application_data()
    described: dict[str, Any] = {
        "aid": applet.application_id.hex().upper(),
        "profile": applet.profile.name,
        "is_emulator": data.is_emulator if data.flags is not None else None,
        "objects": [
            {
                "kind": item.kind.name.lower(),
                "id": item.object_id.hex().upper(),
                "label": item.label.decode("utf-8", errors="replace"),
                "filled": item.is_filled,
                "size": item.size,
            }
            for item in applet.objects()
        ],
    }
    if applet.profile.has_pin:
        status = ApprovalCard(applet).status()
        described["status"] = {
            "state": status.state_name,
            "pin_tries": status.pin_tries,
            "puk_tries": status.puk_tries,
            "signatures": status.signature_counter,
        }
    return described


def _text(document: dict[str, Any]) -> str:
    lines = [f"{name:<9} {document[name] or '-'}" for name in ("reader", "atr", "protocol", "iccid", "eid")]
    lines += [f"AID       {entry['aid']} {entry['label']}" for entry in document["applications"]]
    applet = document["applet"]
    if applet is None:
        return "\n".join([*lines, "applet    no IoT SAFE applet found (other AIDs can be given with --aid)"])
    kind = " - AN EMULATOR, its keys are not protected" if applet["is_emulator"] else ""
    lines.append(f"applet    {applet['aid']} ({applet['profile']}){kind}")
    for name, value in applet.get("status", {}).items():
        lines.append(f"  {name}: {value}")
    for item in applet["objects"]:
        size = f", {item['size']} bytes" if item["size"] is not None else ""
        lines.append(f"  {item['kind']} {item['id']} {item['label']}: {'filled' if item['filled'] else 'empty'}{size}")
    return "\n".join(lines)


@click.command(short_help="Look for each known trouble, say what to do.")
@card_options
@json_option
@click.pass_context
def doctor(ctx: click.Context, card: CardChoice, as_json: bool) -> None:
    """Look for each known trouble between here and a signature, and say what to do. Exits 1 where one was found."""
    findings: list[dict[str, Any]] = []
    if card.card_file is None:
        _check(findings, "pyscard is installed", _import_pyscard)
        _check(findings, "the PC/SC service runs and has a reader", _require_reader)
    if all(finding["ok"] for finding in findings):
        _check(findings, "a card answers and nobody holds its reader", lambda: _card_answers(card))
    if all(finding["ok"] for finding in findings):
        _check(findings, "an IoT SAFE applet is there and can be used", lambda: _applet_answers(card))
    lines = [f"{'ok  ' if finding['ok'] else 'FAIL'} {finding['check']}: {finding['detail']}" for finding in findings]
    healthy = all(finding["ok"] for finding in findings)
    print_result({"healthy": healthy, "findings": findings}, "\n".join(lines), as_json=as_json)
    if not healthy:
        ctx.exit(FAILED)


def _check(findings: list[dict[str, Any]], what: str, check: Callable[[], str]) -> None:
    try:
        findings.append({"check": what, "ok": True, "code": None, "detail": check()})
    except SimError as error:
        findings.append({"check": what, "ok": False, "code": error.code, "detail": error.message})


def _import_pyscard() -> str:
    import sim_applet_tools.transport.pcsc  # noqa: F401

    return "yes"


def _require_reader() -> str:
    from sim_applet_tools.errors import NoReaderError
    from sim_applet_tools.transport.pcsc import list_readers

    names = [state.name for state in list_readers()]
    if not names:
        raise NoReaderError("no reader is connected: plug one in; for a card without hardware: tally sim emulate")
    return ", ".join(names)


def _card_answers(card: CardChoice) -> str:
    with card.transport() as transport:
        return _protocol(transport)


def _protocol(transport: Transport) -> str:
    iccid = read_iccid(transport)
    return f"ATR {transport.atr.hex().upper()}, {'T=1' if transport.is_t1 else 'T=0'}, ICCID {iccid or 'none'}"


def _applet_answers(card: CardChoice) -> str:
    with card.applet() as applet:
        text = f"{applet.application_id.hex().upper()} (profile {applet.profile.name})"
        if not applet.profile.has_pin:
            return f"{text}; it has no PIN commands, so keys are not card-enforced"
        status = ApprovalCard(applet).status()
        if status.puk_tries == 0 and status.pin_tries == 0:
            raise SimError(f"{text}: PIN and PUK are blocked for good: have the card replaced by its operator")
        if status.pin_tries == 0:
            raise SimError(f"{text}: the PIN is blocked: `tally sim pin unblock`")
        if status.state_name == "personalised":
            return f"{text}; the transport PIN must be changed before the first signature: `tally sim pin change`"
        return f"{text}; {status.state_name}, {status.pin_tries} PIN tries"
