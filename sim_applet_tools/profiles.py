"""Where IoT SAFE stacks differ, as one small data file a stack (`card_profiles/*.json`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, Literal

from sim_applet_tools.errors import ConfigurationError, InputError

OWN_PROFILE = "tally"
MAX_AID_BYTES = 16


@dataclass(frozen=True, slots=True)
class CardProfile:
    """How one stack speaks; every field of the data file, and no other."""

    name: str
    description: str
    application_ids: tuple[bytes, ...]
    class_byte: int
    """Class of IoT SAFE commands on the basic channel: 0x80, or 0 for stacks that send the bare channel number."""
    signature_length: Literal["ber", "2"]
    signature_form: Literal["raw", "der"]
    file_size_order: Literal["big", "little"]
    close_sessions_first: bool
    session: int
    """Session number that the client uses for every operation."""
    has_pin: bool


def load_profile(name: str) -> CardProfile:
    """The profile shipped under `name`, or a `ConfigurationError` that lists the names there are."""
    if name not in profile_names():
        raise ConfigurationError(f"no card profile {name!r}: choose one of {', '.join(profile_names())}")
    text = (files("sim_applet_tools") / "card_profiles" / f"{name}.json").read_text(encoding="utf-8")
    return parse_profile(name, json.loads(text))


def profile_names() -> tuple[str, ...]:
    """Names of the profiles shipped; our own first, and the client tries them in this order."""
    folder = files("sim_applet_tools") / "card_profiles"
    names = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
    return (OWN_PROFILE, *(name for name in names if name != OWN_PROFILE))


def parse_profile(name: str, document: dict[str, Any]) -> CardProfile:
    """Check a profile document; unknown or missing keys and values out of range are `ConfigurationError`s."""
    wanted = {field.name for field in fields(CardProfile)} - {"name"}
    if set(document) != wanted:
        different = ", ".join(sorted(wanted ^ set(document)))
        raise ConfigurationError(f"card profile {name!r}: keys missing or unknown: {different}")
    choices = {"signature_length": {"ber", "2"}, "signature_form": {"raw", "der"}, "file_size_order": {"big", "little"}}
    for key, allowed in choices.items():
        if document[key] not in allowed:
            raise ConfigurationError(f"card profile {name!r}: {key} must be one of {sorted(allowed)}")
    if document["class_byte"] not in {"00", "80"} or document["session"] not in range(4):
        raise ConfigurationError(f"card profile {name!r}: class_byte must be 00 or 80, session 0 to 3")
    return CardProfile(
        name=name,
        **{
            **document,
            "application_ids": tuple(parse_application_id(text) for text in document["application_ids"]),
            "class_byte": int(document["class_byte"], 16),
        },
    )


def parse_application_id(text: str) -> bytes:
    """An AID in hexadecimal, 5 to 16 bytes. Source: ISO/IEC 7816-5."""
    try:
        value = bytes.fromhex(text)
    except ValueError as error:
        raise InputError(f"the AID {text!r} is not hexadecimal") from error
    if not 5 <= len(value) <= MAX_AID_BYTES:
        raise InputError(f"the AID {text!r} has {len(value)} bytes; 5 to {MAX_AID_BYTES} are allowed")
    return value
