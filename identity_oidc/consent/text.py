"""The text that a person is shown, word for word as the agent makes it. Source: docs/approval.md, "Text shown"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import rfc8785

from identity_oidc.clients import LOOPBACK_HOSTS, Client

_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class ConsentItem:
    """One claim asked for, with its purpose in the language of the text."""

    name: str
    purpose: str
    is_essential: bool

    def content(self) -> dict[str, Any]:
        return {"name": self.name, "purpose": self.purpose, "essential": self.is_essential}


def consent_text(  # noqa: PLR0917  the values that the text is made of
    client: Client,
    redirect_uri: str,
    items: Sequence[ConsentItem],
    purpose: str,
    grant_expires_at: int,
    single_sign_on_s: int,
    language: str,
    details: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The lines, joined with U+000A. Items are in ascending order of name."""
    texts = _templates()[language]
    labels: Mapping[str, str] = texts["claims"]
    lines = [
        _filled(texts["asks"], app=client.name, domain=shown_domain(client, redirect_uri)),
        _filled(texts["admitted"], member=client.member_name),
    ]
    if purpose:
        lines.append(_filled(texts["purpose"], purpose=purpose))
    lines.append(texts["items"] if items else texts["no_items"])
    for item in items:
        label = labels.get(item.name, item.name)
        template = texts["item"] if item.purpose else texts["item_without_purpose"]
        lines.append(_filled(template, label=label, purpose=item.purpose))
    lines += [_filled(texts["detail"], detail=rfc8785.dumps(dict(each)).decode()) for each in details]
    if grant_expires_at:
        until = datetime.fromtimestamp(grant_expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines.append(_filled(texts["grant_until"], time=until))
    else:
        lines.append(texts["grant_once"])
    if single_sign_on_s:
        lines.append(_filled(texts["sso"], seconds=str(single_sign_on_s)))
    return "\n".join(lines)


def text_digest(text: str) -> bytes:
    return sha256(text.encode("utf-8")).digest()


def claim_label(name: str, language: str) -> str:
    """What a claim is called on a page."""
    return str(_templates()[language]["claims"].get(name, name))


def shown_domain(client: Client, redirect_uri: str) -> str:
    """The longest verified domain that the redirect URI is on; the first one for a native app's own addresses."""
    parts = urlsplit(redirect_uri)
    host = parts.hostname or ""
    fitting = [each for each in client.verified_domains if host == each or host.endswith(f".{each}")]
    if fitting:
        return max(fitting, key=len)
    is_own_scheme = "." in parts.scheme or (parts.scheme == "http" and (host in LOOPBACK_HOSTS or host == "::1"))
    if client.is_native and is_own_scheme:
        return client.verified_domains[0]
    raise ValueError("the redirect URI is on no verified domain")


def _filled(template: str, **values: str) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


@cache
def _templates() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("texts/consent.json").read_text("utf-8"))
    return content
