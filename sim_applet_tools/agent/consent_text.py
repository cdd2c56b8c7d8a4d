"""The text that a person is shown and that the approval commits to. Source: docs/approval.md, "Text shown"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import rfc8785

from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.challenge import Challenge, Language

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


@cache
def _templates() -> dict[str, Any]:
    text = (files("sim_applet_tools.agent") / "texts" / "consent.json").read_text(encoding="utf-8")
    templates: dict[str, Any] = json.loads(text)
    return templates


def item_label(name: str, language: Language) -> str:
    """What a claim is called; its own name where it is not a common one."""
    label: str = _templates()[language]["claims"].get(name, name)
    return label


def consent_text(challenge: Challenge, record: AppRecord) -> str:
    """Lines joined with U+000A. Raises `ChallengeRefusedError` where the redirect address is on no verified domain."""
    templates = _templates()[challenge.language]
    values = {"app": record.name, "member": record.member_name, "domain": record.domain_of(challenge.redirect_uri)}

    def line(name: str, **more: str) -> str:
        return fill(templates[name], {**values, **more})

    lines = [line("asks" if challenge.kind == "login" else "asks_grant"), line("admitted")]
    if challenge.purpose:
        lines.append(line("purpose", purpose=challenge.purpose))
    lines.append(line("items" if challenge.items else "no_items"))
    for item in challenge.items:
        label = item_label(item.name, challenge.language)
        lines.append(line("item" if item.purpose else "item_without_purpose", label=label, purpose=item.purpose))
    lines += [line("detail", detail=rfc8785.dumps(detail).decode()) for detail in challenge.authorization_details]
    if challenge.grant_expires_at:
        until = datetime.fromtimestamp(challenge.grant_expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines.append(line("grant_until", time=until))
    else:
        lines.append(line("grant_once"))
    if challenge.sso_seconds:
        lines.append(line("sso", seconds=str(challenge.sso_seconds)))
    return "\n".join(lines)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Each `{name}` replaced, in one pass, so that no value can hold a placeholder of its own."""
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
