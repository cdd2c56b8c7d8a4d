"""`tally sim access-rule`: which phone app may reach the applet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sim_applet_tools.access_rules import AccessRule, AccessRuleApplet, agent_rule, store_command
from sim_applet_tools.cli.card_choice import CardChoice, card_options
from sim_applet_tools.cli.output import json_option, print_result
from sim_applet_tools.errors import InputError
from sim_applet_tools.profiles import load_profile


@click.command(name="access-rule")
@card_options
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The phone app's signing certificate, PEM or DER.",
)
@click.option("--store", "is_stored", is_flag=True, help="Put the rule for --certificate on the card.")
@click.option("--print-only", is_flag=True, help="Print the command for the issuer's own tool; needs no card.")
@json_option
def access_rule(card: CardChoice, certificate: Path | None, is_stored: bool, print_only: bool, as_json: bool) -> None:
    """List or store the access rules of phone apps.

    Real cards take a rule through their issuer's secure channel only: --print-only gives the STORE DATA command for the
    issuer's tool.
    """
    rule = None if certificate is None else rule_for(certificate, card.profile, card.application_ids)
    if (is_stored or print_only) and rule is None:
        raise InputError("say whose rule it is with --certificate")
    if print_only and rule is not None:
        command = store_command(rule).encode().hex().upper()
        print_result({"command": command}, command, as_json=as_json)
        return
    with card.transport() as transport:
        applet = AccessRuleApplet(transport)
        is_new = applet.store(rule) if is_stored and rule is not None else None
        rules = [_described(item) for item in applet.rules()]
    lines = [f"{item['aid'] or 'all applets'}: app {item['app_hash'] or 'any'}, APDUs {item['apdu']}" for item in rules]
    print_result({"stored": is_new, "rules": rules}, "\n".join(lines) or "no access rules", as_json=as_json)


def rule_for(certificate: Path, profile: str | None, application_ids: tuple[bytes, ...]) -> AccessRule:
    """The rule that lets the app signed with `certificate` reach the applet."""
    application_id = application_ids[0] if application_ids else load_profile(profile or "tally").application_ids[0]
    raw = certificate.read_bytes()
    is_pem = raw.lstrip().startswith(b"-----BEGIN")
    try:
        found = x509.load_pem_x509_certificate(raw) if is_pem else x509.load_der_x509_certificate(raw)
    except ValueError as error:
        raise InputError(f"{certificate} is no X.509 certificate in PEM or DER: {error}") from error
    return agent_rule(application_id, found.public_bytes(Encoding.DER))


def _described(rule: AccessRule) -> dict[str, Any]:
    words = {True: "always", False: "never", None: "unsaid"}
    filters = [item.hex().upper() for item in rule.apdu] if isinstance(rule.apdu, tuple) else None
    return {
        "aid": None if rule.application_id is None else rule.application_id.hex().upper(),
        "app_hash": rule.app_hash.hex(),
        "apdu": filters or words[rule.apdu if isinstance(rule.apdu, bool) else None],
        "nfc": words[rule.nfc],
        "package": rule.package,
        "permissions": None if rule.permissions is None else rule.permissions.hex(),
    }
