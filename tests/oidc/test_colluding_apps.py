"""Two apps that show each other all that the provider gave them cannot tell who is one person (R-ID-4).

1,000 people log in at both, in one session of their browser each, at moments of the same eight hours that have nothing
to do with one another. An app sees: the code, the whole token response, the ID Token with its header, claims, times,
lengths and bytes, and the answer to a request that is refused.

The classifier is one of record linkage (Fellegi and Sunter 1969), and it learns. The apps know of half of the people
who is who, say by an address that these gave both. On them it measures in which respects the two records of one person
agree more often than those of two: the same value, length, number modulo a minute or an hour, difference of two
numbers, pair of characters at a place, or a four-character piece in any two fields. Each such respect weighs
log(P(agree | one person) / P(agree | two)). For each of the other half at one app it names the likeliest at the other;
then both halves change places.

By chance it is right about one person of 500: two of 1,000. Up to five right ones are what chance gives: from six on,
the 95 % interval (Clopper-Pearson) of its rate lies above 1/500. Chance itself does that once in sixty; so an outcome
beyond the bound is believed only if two fresh populations show it too (by chance: once in 200,000). That the
classifier does find links is shown with populations whose provider leaks: each leak alone is found.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import combinations
from operator import eq
from pathlib import Path
from random import SystemRandom
from shutil import copytree
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, insert, select, update

from identity_oidc import base64url
from identity_oidc.app import create_app
from identity_oidc.authentication import challenge as challenges
from identity_oidc.authentication.challenge import FetchingAgent, add_handle, begin_challenge, find_by_handle
from identity_oidc.authentication.completion import complete
from identity_oidc.authentication.session import BrowserSession, begin_session
from identity_oidc.authorization import pipeline
from identity_oidc.authorization.request import AuthorizationRequest, Surroundings
from identity_oidc.config import LimitSettings
from identity_oidc.provider import Provider
from identity_oidc.store.schema import CHALLENGES, REQUESTS
from identity_oidc.subject import subject_for
from tests.oidc.card_in_software import new_key
from tests.oidc.conftest import make_config
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import RelyingParty, add_client

pytestmark = pytest.mark.xdist_group("oidc-colluding")  # one population for all

PEOPLE = 1_000
MOST_BY_CHANCE = 5
POPULATIONS = 3
DAY_BEGINS = 1_800_000_000
LOGINS_WITHIN_S = 8 * 3_600 - 600
Observation = dict[str, Any]
Leak = Callable[[int, Observation], None]


# --- what the apps see


@dataclass
class Scene:
    """A provider whose clock a population moves, its token endpoint, and two apps of different sectors."""

    provider: Provider
    ledger: LedgerInMemory
    http: FlaskClient
    apps: tuple[RelyingParty, RelyingParty]
    moment: list[int]

    def log_in(self, number: int, app: RelyingParty, session: BrowserSession) -> tuple[BrowserSession, Observation]:
        """As the routes do it, but for the card: request, challenge, fetch, approval, completion; then `/token`."""
        code, session = self._code(number, app, session)
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": app.redirect_uri,
            "code_verifier": app.verifier,
        }
        basic = base64.b64encode(f"{app.client_id}:{app.secret}".encode()).decode()
        answers = [self.http.post("/token", data=fields, headers={"Authorization": f"Basic {basic}"}) for _ in "12"]
        assert [answer.status_code for answer in answers] == [200, 400]
        return session, observation(code, answers[0].get_json(), dict(answers[0].headers), answers[1].text)

    def _code(self, number: int, app: RelyingParty, session: BrowserSession) -> tuple[str, BrowserSession]:
        parts, now = self.provider, self.moment[0]
        parameters = {name: (value,) for name, value in app.parameters(nonce=secrets.token_urlsafe(16)).items()}
        parameters["scope"] = ("openid email offline_access",)
        asked = pipeline.run(pipeline.begin(parameters, Surroundings(parts.find_client, lambda *_: None)))
        client = parts.find_client(app.client_id)
        assert client is not None
        known = self.ledger.entries[identity_of(number)]
        with parts.database.writing() as connection:
            request_id = secrets.token_urlsafe(18)
            row = {"request_id": request_id, "session_id": session.session_id, "client_id": app.client_id}
            kept = {"parameters": asked.content(), "created_at": now, "expires_at": now + 600}
            connection.execute(insert(REQUESTS).values(row | kept))
            jti = begin_challenge(connection, request_id, app.client_id, session, now=now, login=parts.config.login)
            handle = add_handle(connection, jti, "local", now + 60)
            found, mode = find_by_handle(connection, handle.handle, handle.secret, now)
            sub = subject_for(connection, f"person-{number}", client.sector, now)
            agent = FetchingAgent(f"agent-{number}", {}, "", known, f"person-{number}", sub)
            challenges.fetch(connection, found, mode, asked, client, agent, "en", now, parts.config.login)
            mine = CHALLENGES.c.jti == jti
            approved = {"state": "approved", "approved_at": now, "granted": ["email"]}
            connection.execute(update(CHALLENGES).where(mine).values(approved))
            challenge = dict(connection.execute(select(CHALLENGES).where(mine)).mappings().one())
            kept_request = AuthorizationRequest.from_content(kept["parameters"])
            done = complete(connection, challenge, session, kept_request, client, now, parts.config.login)
        return done.code, done.session

    def population(self) -> tuple[list[Observation], list[Observation]]:
        """What each app saw of everybody; the same person has the same place in both."""
        random = SystemRandom()
        visits = [(random.randrange(LOGINS_WITHIN_S), number, which) for number in range(PEOPLE) for which in (0, 1)]
        sessions: dict[int, BrowserSession] = {}
        seen: tuple[dict[int, Observation], dict[int, Observation]] = ({}, {})
        for after_s, number, which in sorted(visits):
            now = self.moment[0] = DAY_BEGINS + after_s
            if number not in sessions:
                with self.provider.database.writing() as connection:
                    sessions[number] = begin_session(connection, "", now, 86_400)
            sessions[number], seen[which][number] = self.log_in(number, self.apps[which], sessions[number])
            seen[which][number]["_began"] = seen[1 - which].get(number, {}).get("_began", now)
        first, second = ([each[number] for number in range(PEOPLE)] for each in seen)
        return first, second


def not_durable(connection: Any, _: object) -> None:
    """Thousands of logins in a row, and nobody to lose one."""
    connection.execute("PRAGMA synchronous=OFF")


def identity_of(number: int) -> bytes:
    return sha256(f"identity-{number}".encode()).digest()


def observation(code: str, tokens: dict[str, Any], headers: dict[str, str], refusal: str) -> Observation:
    """All values under their names, but those that the app chose itself."""
    header, _, signature = tokens["id_token"].split(".")
    claims = json.loads(base64url.parse(tokens["id_token"].split(".")[1]))
    assert {"sub", "sid", "iat", "exp", "auth_time"} <= set(claims)
    for own in ("nonce", "aud", "at_hash"):
        claims.pop(own)
    values: Observation = {f"claim {name}": value for name, value in claims.items()}
    values |= {f"header {name}": value for name, value in json.loads(base64url.parse(header)).items()}
    values |= {f"answer {name}": value for name, value in tokens.items() if name != "id_token"}
    values |= {f"http {name}": value for name, value in headers.items()}
    return values | {"code": code, "signature": signature, "size": len(tokens["id_token"]), "refusal": refusal}


@pytest.fixture(scope="module")
def scene(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("colluding")
    copytree(template / "keys", directory / "keys")
    config = replace(make_config(directory, 1), limits=LimitSettings(rate=1e6, burst=1_000_000))
    ledger, moment, key = LedgerInMemory(), [DAY_BEGINS], new_key().public_key()
    for number in range(PEOPLE):
        ledger.register("0x" + identity_of(number).hex(), key)
    provider = Provider.open(config, lambda: float(moment[0]), ledger)
    provider.database.close()
    event.listen(provider.database.engine, "connect", not_durable)
    apps = [
        add_client(
            provider,
            name,
            record={"verified_domains": [f"{name}.example"], "sector": f"{name}.example", "exp": DAY_BEGINS + 86_400},
            redirect_uris=[f"https://{name}.example/callback"],
            may_refresh=True,
            grant_days=30,
        )
        for name in ("shop", "bank")
    ]
    yield Scene(provider, ledger, create_app(provider).test_client(), (apps[0], apps[1]), moment)
    provider.database.close()
    pieces_of.cache_clear()


@pytest.fixture(scope="module")
def seen(scene: Scene) -> tuple[list[Observation], list[Observation]]:
    return scene.population()


# --- the classifier


Column = list[Any]
"""One respect of everybody's record: equal values agree, and of sets those that meet."""


@dataclass(frozen=True)
class Respect:
    """What is compared of a record of one app with what of one of the other."""

    ours: str
    theirs: str
    weight: float = 0.0


def columns_of(seen: list[Observation]) -> dict[str, Column]:
    """By name. Names that begin with `_` are no part of a record."""
    found: dict[str, Column] = {}
    for name in [name for name in seen[0] if not name.startswith("_")]:
        found[name] = [record[name] for record in seen]
    numbers = [name for name, column in found.items() if isinstance(column[0], int)]
    texts = [name for name, column in found.items() if isinstance(column[0], str) and len(set(column)) > 1]
    for name in numbers:
        found |= {f"{name} % {unit}": [number % unit for number in found[name]] for unit in (60, 3_600)}
    for one, two in combinations(numbers, 2):
        found[f"{two} - {one}"] = [b - a for a, b in zip(found[one], found[two], strict=True)]
    for name in texts:
        found[f"len {name}"] = [len(text) for text in found[name]]
        for place in range(min(96, max(map(len, found[name])))):
            found[f"{name}[{place}]"] = [text[place : place + 2] or None for text in found[name]]
        found[f"{PIECES} {name}"] = [pieces_of(text) for text in found[name]]
    return found


@cache
def pieces_of(text: str) -> frozenset[str]:
    return frozenset(text[place : place + 4] for place in range(len(text) - 3))


def learned_respects(ours: dict[str, Column], theirs: dict[str, Column]) -> list[Respect]:
    """From people who are known: in which respects records of one person agree oftener than those of two."""
    names = [(name, name) for name in ours if name in theirs and not name.startswith(PIECES)]
    names += [(a, b) for a in ours for b in theirs if a.startswith(PIECES) and b.startswith(PIECES)]
    found = []
    for a, b in names:
        one = agreements(ours[a], theirs[b])
        if one <= LEAST_AGREEMENTS:
            continue
        two = sum(agreements(ours[a], theirs[b][shift:] + theirs[b][:shift]) for shift in SHIFTS) / len(SHIFTS)
        if one > two + 4 * math.sqrt(two) + LEAST_AGREEMENTS:
            found.append(Respect(a, b, math.log((one + 0.5) / (two + 0.5))))
    return found


def agreements(ours: Column, theirs: Column) -> int:
    """How many records agree with the one at their place."""
    if isinstance(ours[0], frozenset):
        return sum(not a.isdisjoint(b) for a, b in zip(ours, theirs, strict=True))
    return sum(map(eq, ours, theirs))


PIECES = "pieces"
SHIFTS = (1, 7, 50, 211)
"""Which strangers a record is compared with."""
LEAST_AGREEMENTS = 3
"""What hundreds of respects give here and there by chance."""


def right_of_half(respects: list[Respect], ours: dict[str, Column], theirs: dict[str, Column], count: int) -> int:
    """For how many people the classifier names the right one."""
    holders: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for name in {respect.theirs for respect in respects}:
        for number, value in enumerate(theirs[name]):
            for each in value if isinstance(value, frozenset) else (value,):
                holders[name, each].append(number)
    right = 0
    for number in range(count):
        scores: dict[int, float] = defaultdict(float)
        for respect in respects:
            value = ours[respect.ours][number]
            known = value if isinstance(value, frozenset) else (value,)
            for agreeing in {other for each in known for other in holders.get((respect.theirs, each), ())}:
                scores[agreeing] += respect.weight
        best = max(scores.values(), default=0)
        fitting = [other for other, score in scores.items() if score == best] or list(range(count))
        right += secrets.choice(fitting) == number
    return right


def right_guesses(ours: list[Observation], theirs: list[Observation]) -> int:
    """Of all people, each half linked by what was learned of the other."""
    one, other = [(columns_of(ours[start::2]), columns_of(theirs[start::2])) for start in (0, 1)]
    return sum(
        right_of_half(learned_respects(*known), *linked, PEOPLE // 2) for known, linked in ((one, other), (other, one))
    )


# --- what it finds


def test_two_apps_link_their_people_no_better_than_by_chance(
    scene: Scene, seen: tuple[list[Observation], list[Observation]]
) -> None:
    right = [right_guesses(*seen)]
    while right[-1] > MOST_BY_CHANCE and len(right) < POPULATIONS:
        right.append(right_guesses(*scene.population()))
    assert right[-1] <= MOST_BY_CHANCE, right


def leak_sub(number: int, seen: Observation) -> None:
    seen["claim sub"] = base64url.encode(sha256(b"sub %d" % number).digest()[:16])


def leak_sid(number: int, seen: Observation) -> None:
    seen["claim sid"] = base64url.encode(sha256(b"sid %d" % number).digest()[:18])


def leak_login_time(_: int, seen: Observation) -> None:
    """The moment of the browser's first login, to the second, at both apps."""
    seen["claim auth_time"] = seen["_began"]


def leak_lifetime(number: int, seen: Observation) -> None:
    seen["claim exp"] = seen["claim iat"] + 300 + number


def leak_token_bytes(number: int, seen: Observation) -> None:
    token = seen["answer access_token"]
    seen["answer access_token"] = base64url.encode(sha256(b"%d" % number).digest()[:3]) + token[4:]


def leak_across_fields(number: int, seen: Observation) -> None:
    """Two bytes of the refresh token here are two bytes of the code there, somewhere."""
    piece, name = base64url.encode(sha256(b"piece %d" % number).digest()[:3]), secrets.choice(("code", "claim sid"))
    place = secrets.randbelow(16)
    seen[name] = seen[name][:place] + piece + seen[name][place + 4 :]


def leak_length(number: int, seen: Observation) -> None:
    seen["answer refresh_token"] += "x" * (number % 100)


def leak_refusal(number: int, seen: Observation) -> None:
    seen["refusal"] = seen["refusal"].replace("Invalid", f"Family {number + 4_096:x}: invalid")


def leak_jti(number: int, seen: Observation) -> None:
    seen["claim jti"] = f"{number}-{secrets.token_hex(8)}"


def leak_key(number: int, seen: Observation) -> None:
    """Another signing key for each 25 people."""
    seen["header kid"] = f"key-{number // 25}"


@pytest.mark.parametrize(
    ("leak", "least"),
    [
        (leak_sub, 990),
        (leak_sid, 990),
        (leak_login_time, 900),
        (leak_lifetime, 990),
        (leak_token_bytes, 990),
        (leak_across_fields, 900),
        (leak_length, 50),
        (leak_refusal, 990),
        (leak_jti, 300),
        (leak_key, 20),
    ],
)
def test_the_classifier_finds_each_leak(
    seen: tuple[list[Observation], list[Observation]], leak: Leak, least: int
) -> None:
    leaking: list[list[Observation]] = []
    for app in seen:
        bent = [dict(each) for each in app]
        for number, each in enumerate(bent):
            leak(number, each)
        leaking.append(bent)
    right = right_guesses(*leaking)
    assert right >= least > MOST_BY_CHANCE
