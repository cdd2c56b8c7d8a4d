"""A provider's address, its origin, and the links that lead to a challenge."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from sim_applet_tools.agent.fields import RANDOM_ID
from sim_applet_tools.errors import InputError

LINK_SCHEME = "tally-agent"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_LINK_CHARS = 1024
DEFAULT_PORTS = {"https": 443, "http": 80}


def verify_issuer(issuer: str) -> None:
    """Return for an https address without query, fragment and user (http on this machine only); `InputError` else."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(f"the provider {issuer!r} is no address") from error
    is_plain = (
        parts.query == parts.fragment == "" and parts.username is None and "?" not in issuer and "#" not in issuer
    )
    if not host or not is_plain or not issuer.isascii() or any(character <= " " for character in issuer):
        raise InputError(f"the provider {issuer!r} must be an address without user, query and fragment")
    if issuer.endswith("/") or parts.netloc != parts.netloc.lower():
        raise InputError(
            f"write the provider {issuer!r} as its own configuration does: lower case, no slash at the end"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK_HOSTS):
        raise InputError(f"the provider {issuer!r} must use https (http only on this machine)")


def origin_of(url: str) -> str:
    """Scheme, host and port, as browsers write them in `Origin`. Source: RFC 6454 §6.2."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = parts.port
    return f"{parts.scheme}://{host}" + ("" if port in {None, DEFAULT_PORTS.get(parts.scheme)} else f":{port}")


@dataclass(frozen=True, slots=True)
class HandOver:
    """What the login page gives to the agent; a local secret makes it a login on this machine."""

    issuer: str
    handle: str
    local_secret: str | None


def parse_link(text: str) -> HandOver:
    """`tally-agent://login?issuer=...&handle=...[&local_secret=...]`; an `InputError` for anything else."""
    if len(text) > MAX_LINK_CHARS:
        raise InputError("the link is too long to be one of a login page")
    try:
        parts = urlsplit(text.strip())
        pairs = parse_qsl(parts.query, strict_parsing=True, keep_blank_values=True, max_num_fields=3)
    except ValueError as error:
        raise InputError("the link is malformed: copy the whole link from the login page") from error
    if parts.scheme != LINK_SCHEME or parts.netloc != "login" or parts.path not in {"", "/"} or parts.fragment:
        raise InputError(f"this is no link of a login page: those begin with {LINK_SCHEME}://login?")
    values = dict(pairs)
    if len(values) != len(pairs):
        raise InputError("the link repeats a value: copy the whole link from the login page")
    return parse_hand_over(values)


def parse_hand_over(values: dict[str, str]) -> HandOver:
    """The same from the fields of a form; an `InputError` for missing, unknown or malformed ones."""
    if not {"issuer", "handle"} <= values.keys() <= {"issuer", "handle", "local_secret"}:
        raise InputError("the login page must give issuer, handle and perhaps local_secret, and nothing else")
    verify_issuer(values["issuer"])
    for name in values.keys() - {"issuer"}:
        if not RANDOM_ID.fullmatch(values[name]):
            raise InputError(f"{name} of the login page is malformed: begin the login again")
    return HandOver(values["issuer"], values["handle"], values.get("local_secret"))
