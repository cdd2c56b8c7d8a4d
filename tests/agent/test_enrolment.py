"""Enrolment: the card vouches for the agent's own key; what the provider and the agent refuse; what is kept on disk."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.agent_key import create_key, load_key, store_key
from sim_applet_tools.agent.approval import agent_text, compact
from sim_applet_tools.agent.card import sign_and_learn_key, sign_with_card
from sim_applet_tools.agent.dpop import dpop_proof
from sim_applet_tools.agent.enrolment import enrol, load_members, members_fingerprint
from sim_applet_tools.agent.home import AgentHome
from sim_applet_tools.agent.http_connection import HttpConnection
from sim_applet_tools.agent.jws import public_jwk, thumbprint
from sim_applet_tools.agent.provider_client import BASE, ProviderClient, fetch_configuration
from sim_applet_tools.errors import (
    InputError,
    NotEnrolledError,
    ProviderAnswerError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SimError,
    StorageError,
)
from sim_applet_tools.status_words import WrongPinError
from tests.agent.conftest import IDENTITY, PIN, Person, assembled, clock, enrolled, new_person
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider


def enrol_with(provider: Provider, person: Person, directory: Path, **changes: Any) -> None:
    with HttpConnection(provider.issuer) as connection:
        settings = {
            "home": AgentHome(directory),
            "connection": connection,
            "open_card": person.open_card,
            "pin": PIN,
            "passphrase": None,
            "clock": clock,
            "seen": person.seen,
        }
        identity, label = changes.pop("identity", person.identity), changes.pop("label", "PC")
        configuration = fetch_configuration(provider.issuer, connection)
        enrol(configuration, identity, label, **{**settings, **changes})


def test_what_is_kept_is_for_its_owner_only(agent: Agent, provider: Provider, tmp_path: Path) -> None:
    folder = AgentHome(tmp_path / "agent").provider(provider.issuer).directory
    assert folder.stat().st_mode & 0o777 == 0o700
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.name != "lock"}
    assert files == {"key.pem": 0o600, "enrolment.json": 0o600, "memory.json": 0o600}
    assert all(PIN not in path.read_text() for path in folder.iterdir())


def test_an_encrypted_key_needs_its_passphrase(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path
) -> None:
    with enrolled(provider, person, tmp_path, passphrase=b"correct horse") as agent:
        assert agent.inbox().handles == ()
    for wrong in (None, b"wrong"):
        with (
            pytest.raises(InputError, match="cannot be opened"),
            assembled(provider.issuer, person, tmp_path, passphrase=wrong),
        ):
            pass


def test_a_key_that_others_may_read_or_of_another_kind_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    store_key(path, create_key(), None)
    assert load_key(path, None).curve.name == "secp256r1"
    with pytest.raises(StorageError, match="File exists"):
        store_key(path, create_key(), None)
    path.chmod(0o640)
    with pytest.raises(StorageError, match="others may read"):
        load_key(path, None)
    other = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(InputError, match="no P-256 key"):
        load_key(path, None)


def test_each_provider_sees_another_key(provider: Provider, person: Person, tmp_path: Path) -> None:
    enrol_with(provider, person, tmp_path)
    enrol_with(provider, person, tmp_path)
    assert len({agent.jkt for agent in provider.agents.values()}) == 2
    assert len(AgentHome(tmp_path).enrolled()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "0x" + "5A" * 32},
        {"identity": "5a" * 32},
        {"label": ""},
        {"label": "x" * 65},
        {"label": "PC\u202e"},
    ],
)
def test_an_identity_or_label_of_another_form(
    provider: Provider, person: Person, tmp_path: Path, changes: dict[str, str]
) -> None:
    with pytest.raises(InputError):
        enrol_with(provider, person, tmp_path, **changes)
    assert AgentHome(tmp_path).enrolled() == []


def test_a_wrong_pin_enrols_nothing(provider: Provider, person: Person, tmp_path: Path) -> None:
    with pytest.raises(WrongPinError):
        enrol_with(provider, person, tmp_path, pin="000000")
    assert provider.agents == {}


def test_the_ledger_s_key_must_be_the_card_s(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path
) -> None:
    stranger = new_person(ledger, "0x" + "77" * 32)
    with pytest.raises(InputError, match="another key"):
        enrol_with(provider, stranger, tmp_path, identity=IDENTITY, watch=ledger)
    with pytest.raises(InputError, match="another key"):
        enrol_with(provider, stranger, tmp_path, identity="0x" + "99" * 32, watch=ledger)
    with pytest.raises(ProviderRefusedError) as caught:  # without a watch, the provider finds it
        enrol_with(provider, stranger, tmp_path, identity=IDENTITY)
    assert caught.value.reason == "signature-invalid"
    ledger.entries[IDENTITY].state = "held"
    with pytest.raises(ProviderRefusedError, match="not active"):
        enrol_with(provider, person, tmp_path)
    assert AgentHome(tmp_path).enrolled() == []


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"jkt": "A" * 43},
        {"iat": clock() - 1000},
        {"exp": clock() - 1},
        {"exp": clock() + 40_000_000},
    ],
)
def test_the_provider_refuses_an_enrolment_that_does_not_fit(
    provider: Provider, person: Person, change: dict[str, Any]
) -> None:
    key = create_key()
    values = {
        "issuer": provider.issuer,
        "jkt": thumbprint(key.public_key()),
        "iat": clock(),
        "exp": clock() + 1000,
        **change,
    }
    text = agent_text(
        IDENTITY, values["issuer"], secrets.token_urlsafe(16), values["jkt"], iat=values["iat"], exp=values["exp"]
    )
    signature, _ = sign_and_learn_key(person.open_card, text, PIN, person.seen)
    with HttpConnection(provider.issuer) as connection:
        client = ProviderClient(provider.issuer, connection, key, None, clock)
        with pytest.raises(ProviderRefusedError):
            client.enrol(compact(text, signature), "PC")


def test_an_enrolment_counts_once(provider: Provider, person: Person) -> None:
    key = create_key()
    text = agent_text(
        IDENTITY, provider.issuer, secrets.token_urlsafe(16), thumbprint(key.public_key()), iat=clock(), exp=clock() + 9
    )
    signed = compact(text, sign_with_card(person.open_card, text, PIN, person.key, person.seen))
    with HttpConnection(provider.issuer) as connection:
        client = ProviderClient(provider.issuer, connection, key, None, clock)
        client.enrol(signed, "PC")
        with pytest.raises(ProviderRefusedError):
            client.enrol(signed, "PC")


# --- who calls


@pytest.mark.parametrize(
    "bend",
    [
        lambda _: "",
        lambda _: "a.b.c",
        lambda proof: proof("POST"),
        lambda proof: proof(url="https://other.example" + BASE + "/inbox"),
        lambda proof: proof(now=clock() - 300),
        lambda proof: proof(now=clock() + 300),
        lambda proof: proof(token="another"),
        lambda proof: proof(token=None),
        lambda proof: proof(key=create_key()),
        lambda proof: proof(nonce="another"),
        lambda proof: proof(nonce=None),
    ],
)
def test_a_proof_that_does_not_fit_the_call(
    agent: Agent, provider: Provider, tmp_path: Path, bend: Callable[[Any], str]
) -> None:
    place = AgentHome(tmp_path / "agent").provider(provider.issuer)
    token, key = place.load_enrolment().access_token, load_key(place.key_path, None)

    def proof(method: str = "GET", url: str = provider.issuer + BASE + "/inbox", **changes: Any) -> str:
        values = {"key": key, "now": clock(), "token": token, "nonce": provider.nonce, **changes}
        return dpop_proof(values["key"], method, url, now=values["now"], token=values["token"], nonce=values["nonce"])

    with HttpConnection(provider.issuer) as connection:
        good = {"Authorization": f"DPoP {token}", "DPoP": proof()}
        assert connection.ask("GET", f"{BASE}/inbox", good, None).status == 200
        assert connection.ask("GET", f"{BASE}/inbox", good, None).status == 401, "the same proof again"
        for headers in (
            {"Authorization": f"DPoP {token}", "DPoP": bend(proof)},
            {"Authorization": f"Bearer {token}", "DPoP": proof()},
        ):
            assert connection.ask("GET", f"{BASE}/inbox", headers, None).status == 401


def test_a_clock_that_is_wrong_is_said(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent._client, "_clock", lambda: clock() - 1000)
    with pytest.raises(ProviderRefusedError, match="clock"):
        agent.inbox()


# --- what the provider says of itself


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"api_version": 2},
        {"challenge_bytes": 1024},
        {"members": [{"member": 1, "name": "x", "keys": []}]},
        {
            "members": [
                {"member": 1, "name": "x", "keys": [{"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}]}
            ]
        },
        {"more": True},
    ],
)
def test_a_configuration_of_another_form(provider: Provider, change: dict[str, Any]) -> None:
    provider.bend_answer = lambda answer: {**answer, **change}
    with HttpConnection(provider.issuer) as connection, pytest.raises(ProviderAnswerError):
        fetch_configuration(provider.issuer, connection)


def test_a_private_key_among_the_members_is_refused(provider: Provider) -> None:
    def bend(answer: Any) -> Any:
        answer["members"][0]["keys"][0]["d"] = "A" * 43
        return answer

    provider.bend_answer = bend
    with HttpConnection(provider.issuer) as connection, pytest.raises(ProviderAnswerError, match="unknown members d"):
        fetch_configuration(provider.issuer, connection)


def test_members_from_a_file_are_the_same_as_from_the_provider(provider: Provider, tmp_path: Path) -> None:
    import json  # noqa: PLC0415

    path = tmp_path / "members.json"
    path.write_text(json.dumps(provider.configuration()["members"]))
    with HttpConnection(provider.issuer) as connection:
        offered = fetch_configuration(provider.issuer, connection).members
    assert members_fingerprint(load_members(path)) == members_fingerprint(offered)
    for text in ("[]", "{}", "[1]", "no JSON"):
        path.write_text(text)
        with pytest.raises(InputError):
            load_members(path)


def test_a_provider_that_cannot_be_reached(tmp_path: Path) -> None:
    with HttpConnection("http://127.0.0.1:1") as connection, pytest.raises(ProviderUnavailableError, match="reached"):
        fetch_configuration("http://127.0.0.1:1", connection)


# --- files


@pytest.mark.parametrize("name", ["enrolment.json", "memory.json"])
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"issuer": 1}', "\x00"])
def test_a_damaged_file_is_named(agent: Agent, provider: Provider, tmp_path: Path, name: str, content: str) -> None:
    place = AgentHome(tmp_path / "agent").provider(provider.issuer)
    (place.directory / name).write_text(content)
    with pytest.raises(StorageError, match=name):
        _ = (place.load_enrolment(), place.memory())


def test_leaving_forgets_the_key(agent: Agent, provider: Provider, tmp_path: Path) -> None:
    place = AgentHome(tmp_path / "agent").provider(provider.issuer)
    place.remove()
    assert not place.directory.exists()
    with pytest.raises(NotEnrolledError):
        place.load_enrolment()


def test_the_thumbprint_is_rfc_7638_s() -> None:
    """Another library's answer for the same key."""
    from joserfc.jwk import ECKey  # noqa: PLC0415

    key = create_key().public_key()
    assert thumbprint(key) == ECKey.import_key(key).thumbprint()
    assert public_jwk(key)["kty"] == "EC"


def test_errors_of_the_agent_say_what_to_do() -> None:
    assert issubclass(NotEnrolledError, SimError)
    assert NotEnrolledError.exit_code == 78
