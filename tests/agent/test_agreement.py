"""Agent and provider arrive at the same text, context and digests for any request; the Java Card applet signs too."""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.challenge import PLAIN_BYTES, parse_challenge
from sim_applet_tools.agent.consent_text import consent_text
from sim_applet_tools.agent.context import build_context, context_digest, leaf_digest
from tests.agent.conftest import IDENTITY, PIN, enrolled, new_person
from tests.agent.ledger import Ledger
from tests.agent.make_vectors import NOW, challenge
from tests.agent.provider import Provider
from tests.agent.provider_checks import context_of, ctx_of, leaf_of, text_shown, unb64
from tests.sim.card_targets import Applets

WORDS = st.text(st.sampled_from('ab {}"\\/<&é中文。{app}🙂'), max_size=20)
NAMES = st.sampled_from(["address", "birthdate", "email", "name", "phone_number", "https://claims.example/a#b", "x"])
NUMBERS = st.integers(0, 4_000_000_000)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    names = sorted(draw(st.sets(NAMES, max_size=5)))
    items = [{"name": name, "purpose": draw(WORDS), "essential": draw(st.booleans())} for name in names]
    detail = st.dictionaries(st.sampled_from(["place", "from"]), st.one_of(WORDS, NUMBERS, st.lists(WORDS, max_size=2)))
    return {
        "items": items,
        "purpose": draw(WORDS),
        "nonce": draw(WORDS),
        "scope": draw(WORDS),
        "sso_seconds": draw(st.integers(0, 86_400)),
        "grant_expires_at": draw(NUMBERS),
        "authorization_details": [{"type": "door", **each} for each in draw(st.lists(detail, max_size=2))],
        "redirect_uri": draw(
            st.sampled_from(
                ["https://shop.example/", "https://a.pay.shop.example:8443/x?y=1", "https://www.shop.example"]
            )
        ),
    }


@given(requests(), st.sampled_from(["local", "remote"]), st.sampled_from(["en", "zh"]), st.data())
def test_both_sides_arrive_at_the_same(request: dict[str, Any], mode: str, language: str, data: st.DataObject) -> None:
    made = challenge(9, mode, language, **request)
    names = [item["name"] for item in request["items"]]
    refused = sorted(data.draw(st.sets(st.sampled_from(names)))) if names else []
    granted = [name for name in names if name not in refused]
    code = "123456" if mode == "remote" else ""
    theirs = context_of(made, granted, refused, code)

    ours = parse_challenge(json.dumps(made).encode().ljust(PLAIN_BYTES), issuer=made["issuer"], now=NOW)
    text, _, _ = made["app"].rpartition(".")
    content = json.loads(unb64(text.partition(".")[2]))
    record = AppRecord(
        **{**content, "verified_domains": tuple(content["verified_domains"])}, digest=sha256(text.encode()).digest()
    )
    assert consent_text(ours, record) == text_shown(made["request"], content, made["kind"], language)
    context = build_context(ours, record, refused, code)
    assert context == theirs
    assert encode_base64url(context_digest(ours.ctx_salt, context)) == ctx_of(made, theirs)
    assert encode_base64url(leaf_digest(ours.leaf_salt, ours.client_id, ours.sub, ours.nonce)) == leaf_of(made)


def test_a_card_with_the_applet_logs_in(provider: Provider, ledger: Ledger, tmp_path: Path) -> None:
    """The Java Card applet in its simulator, as a card in this process."""
    with closing(Applets.card("T=0")) as card:
        person = new_person(ledger, IDENTITY, card)
        with enrolled(provider, person, tmp_path, ledger=ledger) as agent:
            login = provider.begin()
            agent.approve(agent.open(login.local_handle, login.local_secret, "zh"), PIN, {"email"})
            assert login.state == "approved"
