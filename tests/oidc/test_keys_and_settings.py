"""Keys that rotate while the provider runs, settings that are checked whole, registrations, and the rate limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from identity_oidc import base64url
from identity_oidc.authentication.session import browser_name
from identity_oidc.clients import Client, parse_record
from identity_oidc.command import oidc
from identity_oidc.config import KeySettings, LimitSettings, ProviderConfig
from identity_oidc.errors import ConfigurationError, InputError
from identity_oidc.provider import Provider
from identity_oidc.rate_limit import RateLimit, network_of
from identity_oidc.registration import register, sign_record
from identity_oidc.tokens.id_token import read_own_id_token, sign
from identity_oidc.tokens.key_ring import KeyRing, load_entries, rotate
from tests.oidc.card_in_software import new_key
from tests.oidc.parties import CALLBACK, ITEMS, MEMBER_KEY, ask, make_record, members, sign_compact


class At:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_new_key_is_published_before_it_signs_and_the_old_one_after(tmp_path: Path) -> None:
    clock, settings = At(), KeySettings(directory=tmp_path, look_every_s=0)
    rotate(settings, clock, "ES256")
    rotate(settings, clock, "RS256")
    ring = KeyRing.open(settings, clock)
    first = ring.signing_key("ES256").entry.kid
    token = sign(ring, "ES256", "JWT", {"iss": "me", "sub": "x"})
    second = rotate(settings, clock, "ES256").kid
    assert {key["kid"] for key in ring.jwks()["keys"]} >= {first, second}, "seen without a restart"
    assert ring.signing_key("ES256").entry.kid == first
    clock.now += settings.publish_before_s
    assert ring.signing_key("ES256").entry.kid == second
    assert read_own_id_token(ring, "me", token) is not None, "what the old key signed is still verified"
    clock.now += settings.keep_after_s
    assert first not in {key["kid"] for key in ring.jwks()["keys"]}
    assert read_own_id_token(ring, "me", token) is None
    assert all("d" not in key for key in ring.jwks()["keys"])


def test_a_key_that_is_not_trusted_any_more_goes_at_once(tmp_path: Path) -> None:
    clock, settings = At(), KeySettings(directory=tmp_path, look_every_s=0)
    old = rotate(settings, clock, "ES256").kid
    new = rotate(settings, clock, "ES256", at_once=True)
    assert [entry.kid for entry in load_entries(tmp_path)] == [new.kid] != [old]
    assert new.signs_from == int(clock())


def test_keys_are_encrypted_and_a_wrong_passphrase_is_named(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("right")
    settings = KeySettings(directory=tmp_path / "keys", passphrase_file=tmp_path / "pass")
    for algorithm in ("ES256", "RS256"):
        rotate(settings, At(), algorithm)
    KeyRing.open(settings, At())
    (pem, *_) = (tmp_path / "keys").glob("*.pem")
    assert b"ENCRYPTED" in pem.read_bytes()
    assert pem.stat().st_mode & 0o077 == 0
    (tmp_path / "pass").write_text("wrong")
    with pytest.raises(ConfigurationError, match="passphrase_file"):
        KeyRing.open(settings, At())
    with pytest.raises(ConfigurationError, match="tally oidc keys new"):
        KeyRing.open(KeySettings(directory=tmp_path / "none"), At())


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> ProviderConfig:
    path = tmp_path / "oidc.toml"
    path.write_text(text)
    return ProviderConfig.load(path, environment or {})


GOOD = '[provider]\nissuer = "https://login.example"\n'


def test_settings_have_defaults_and_an_environment(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD, {"TALLY_OIDC_LOGIN_CODE_S": "30", "TALLY_OIDC_KEYS_DIRECTORY": "k"})
    assert (config.login.code_s, config.keys.directory) == (30, tmp_path / "k")
    assert config.login.access_token_s == 300
    assert load(tmp_path, GOOD).keys.directory == tmp_path / "keys", "beside the file, wherever it is run"
    assert not config.ledger.accept_emulators


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "provider.issuer"),
        ('[provider]\nissuer = "http://login.example"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example/"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example?x"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example/op"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example:443"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example:"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://login.example:99999"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://Login.example"\n', "provider.issuer"),
        ('[provider]\nissuer = "https://l\u00f6gin.example"\n', "provider.issuer"),
        (GOOD + "prot = 1\n", "provider.prot"),
        (GOOD + "[prowider]\n", "prowider"),
        (GOOD + 'port = "80"\n', "provider.port"),
        (GOOD + "[login]\naccess_token_s = 301\n", "login.access_token_s"),
        (GOOD + "[login]\nchallenge_s = 121\n", "login.challenge_s"),
        (GOOD + "[login]\ncode_s = true\n", "login.code_s"),
        (GOOD + '[egress]\nprivate_networks = ["10.0.0.1/8"]\n', "10.0.0.1/8"),
        (GOOD + "[ledger]\ngateways = 1\n", "ledger.gateways"),
        ("[", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        load(tmp_path, text)


def registration(**changes: Any) -> dict[str, Any]:
    return {"redirect_uris": [CALLBACK], "items": ITEMS} | changes


def rsa_jwk(bits: int) -> dict[str, str]:
    """A public key of this size; nobody has its other half."""
    return {"kty": "RSA", "n": base64url.encode(((1 << bits - 1) + 1).to_bytes((bits + 7) // 8)), "e": "AQAB"}


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uris": []},
        {"redirect_uris": ["http://shop.example/callback"]},
        {"redirect_uris": ["https://evil.example/callback"]},
        {"redirect_uris": ["https://shop.example.evil.example/"]},
        {"redirect_uris": ["https://u@shop.example/"]},
        {"redirect_uris": [f"{CALLBACK}#x"]},
        {"redirect_uris": ["https://notshop.example/"]},
        {"redirect_uris": ["https://evil.example\\.shop.example/"]},
        {"redirect_uris": ["https://evil.example;.shop.example/"]},
        {"redirect_uris": ["https://evil.example%2f.shop.example/"]},
        {"redirect_uris": ["https://shop.example:evil/"]},
        {"redirect_uris": ["https://shop.example/\\evil.example"]},
        {"post_logout_redirect_uris": ["https://evil.example\\.shop.example/"]},
        {"redirect_uris": ["com.example.shop:/cb"]},
        {"redirect_uris": ["http://127.0.0.1/cb"]},
        {"redirect_uris": "x"},
        {"policy": "lax"},
        {"token_endpoint_auth_method": "none"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"id_token_signed_response_alg": "none"},
        {"userinfo_signed_response_alg": "HS256"},
        {"jwks": {"keys": [{"kty": "oct", "k": "x"}]}},
        {"jwks": {"keys": [{"kty": "EC", "d": "x"}]}},
        {"jwks": {"keys": [{"kty": "EC", "crv": "P-256"}]}},
        {"jwks": {"keys": [{"kty": "EC", "crv": "P-384", "x": "A" * 43, "y": "A" * 43}]}},
        {"jwks": {"keys": [rsa_jwk(1_024)]}},
        {"jwks": {"keys": [rsa_jwk(2_047)]}},
        {"jwks": {"keys": [rsa_jwk(16_384)]}},
        {"jwks": {"keys": [rsa_jwk(2_048) | {"e": "Aw"}]}},
        {"jwks": {"keys": [{"kty": "RSA", "n": 1, "e": "AQAB"}]}},
        {"items": {"shoe_size": {}}},
        {"items": {"email": {"fr": "x"}}},
        {"purpose": {"en": "a\u0007b"}},
        {"backchannel_logout_uri": "http://shop.example/"},
        {"backchannel_logout_uri": "https://10.0.0.1/"},
        {"single_sign_on_s": 86_401},
        {"may_refresh": "yes"},
        {"sector": "self-declared"},
        {"client_id": "self-declared"},
    ],
)
def test_a_registration_is_checked_whole(changes: dict[str, Any]) -> None:
    assert Client.parse(registration(), make_record()).client_id == "shop"
    assert Client.parse(registration(jwks={"keys": [rsa_jwk(2_048)]}), make_record()).jwks
    with pytest.raises(InputError):
        Client.parse(registration(**changes), make_record())


def test_a_record_is_the_member_s_own_and_has_not_run_out(provider: Provider) -> None:
    assert register(provider, registration(), make_record()).secret is not None
    assert register(provider, registration(), make_record()).secret is None, "a new version keeps the secret"
    content = {
        "client_id": "shop",
        "name": "Corner Shop",
        "verified_domains": ["shop.example"],
        "sector": "shop.example",
        "logo_digest": "",
        "is_native": False,
        "member": 1,
        "member_name": "Example Telecom",
        "iat": 1,
        "exp": 253_402_300_799,
    }
    assert register(provider, registration(), sign_record(MEMBER_KEY, content)).client.name == "Corner Shop"
    for record in (
        sign_record(new_key(), content),
        sign_record(MEMBER_KEY, content | {"member": 2}),
        sign_record(MEMBER_KEY, content | {"exp": 1}),
        sign_record(MEMBER_KEY, content)[:-4] + "AAAA",
        "x",
        sign_record(MEMBER_KEY, {"client_id": "x"}),
    ):
        with pytest.raises(InputError):
            register(provider, registration(), record)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "x" * 129},
        {"client_id": "caf\u00e9"},
        {"client_id": "a\u0000b"},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "Corner\u202eShop"},
        {"member_name": "Another Telecom"},
        {"sector": 1},
        {"verified_domains": []},
        {"verified_domains": [f"shop{number}.example" for number in range(17)]},
        {"verified_domains": ["192.0.2.1"]},
        {"logo_digest": "no digest"},
        {"iat": "now"},
        {"iat": 253_402_300_799},
        {"member": True},
        {"is_native": 0},
    ],
)
def test_a_record_that_agents_would_not_show_is_not_registered(provider: Provider, changes: dict[str, Any]) -> None:
    """Else an app would be registered whose every login is refused."""
    good = dict(parse_record(make_record()))
    assert register(provider, registration(), sign_record(MEMBER_KEY, good)).client.client_id == "shop"
    with pytest.raises(InputError, match="record"):
        register(provider, registration(), sign_record(MEMBER_KEY, good | changes))


def test_a_record_is_signed_in_canonical_form(provider: Provider) -> None:
    header, payload, _ = make_record().split(".")
    for bent in (
        sign_compact(MEMBER_KEY, base64url.parse(header), json.dumps(json.loads(base64url.parse(payload))).encode()),
        sign_compact(MEMBER_KEY, base64url.parse(header)[:-1] + b',"jku":"x"}', base64url.parse(payload)),
    ):
        with pytest.raises(InputError, match="record"):
            register(provider, registration(), bent)


def test_an_app_that_may_refresh_needs_a_permission_that_lasts(provider: Provider) -> None:
    with pytest.raises(InputError, match="grant_days"):
        register(provider, registration(may_refresh=True), make_record())
    assert register(provider, registration(may_refresh=True, grant_days=1), make_record()).client.may_refresh


def test_discovery_says_what_is_offered(provider: Provider) -> None:
    content = ask("GET", f"{provider.issuer}/.well-known/openid-configuration").json
    assert content["issuer"] == provider.issuer
    assert content["code_challenge_methods_supported"] == ["S256"]
    assert content["authorization_response_iss_parameter_supported"] is True
    assert content["subject_types_supported"] == ["pairwise"]
    for endpoint in ("token", "introspection", "revocation"):  # RFC 8414 §2: both, where a method signs
        methods = content[f"{endpoint}_endpoint_auth_methods_supported"]
        assert "private_key_jwt" in methods
        assert "none" not in content[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert ("none" in methods) == (endpoint != "introspection")
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "end_session_endpoint"):
        assert ask("GET", content[name]).status != 404
    assert ask("GET", f"{provider.issuer}/nothing").status == 404
    assert ask("GET", f"{provider.issuer}/healthz").status == 200
    assert ask("GET", f"{provider.issuer}/metrics").status == 401


def test_floods_of_one_network_are_bounded() -> None:
    now = [0.0]
    limit = RateLimit(LimitSettings(rate=1.0, burst=2), lambda: now[0])
    assert [limit.take("2001:db8::1"), limit.take("2001:db8::2"), limit.take("2001:db8::3")] == [True, True, False]
    assert limit.take("2001:db8:0:1::1")
    now[0] = 1.0
    assert limit.take("2001:db8::9")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")


def test_a_flood_over_http_is_told_when_to_come_back(provider: Provider) -> None:
    object.__setattr__(provider.config.limits, "burst", 3)
    object.__setattr__(provider.config.limits, "rate", 0.001)
    answers = [ask("GET", f"{provider.issuer}/jwks", headers={"X-Real-IP": f"192.0.2.{n}"}) for n in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429], "a header names nobody"
    assert answers[-1].headers["retry-after"]


def test_readiness_tells_what_fails(provider: Provider, ledger: Any) -> None:
    assert ask("GET", f"{provider.issuer}/readyz").status == 200
    ledger.is_away = True
    answer = ask("GET", f"{provider.issuer}/readyz")
    assert (answer.status, answer.json["failing"]) == (503, ["ledger"])


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8", "unknown browser"),
    ],
)
def test_browsers_are_named_no_more_exactly_than_a_person_needs(agent: str, name: str) -> None:
    assert browser_name(agent) == name


def test_the_commands_of_the_sample_app_s_readme_admit_an_app(tmp_path: Path) -> None:
    run = CliRunner()
    no = serialization.NoEncryption()
    pem = MEMBER_KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no)
    (tmp_path / "member.pem").write_bytes(pem)
    record = dict(parse_record(make_record()))

    def sign(content: dict[str, Any]) -> Any:
        (tmp_path / "record.json").write_text(json.dumps(content))
        return run.invoke(oidc, ["app", "sign", str(tmp_path / "record.json"), "--key", str(tmp_path / "member.pem")])

    signed = sign(record)
    assert signed.exit_code == 0, signed.output
    refused = sign(record | {"name": "x" * 65})
    assert (refused.exit_code, refused.stdout) == (65, "")
    assert "record: name" in refused.stderr
    no_key = run.invoke(oidc, ["app", "sign", str(tmp_path / "record.json"), "--key", str(tmp_path / "record.json")])
    assert no_key.exit_code == 65

    (tmp_path / "oidc.toml").write_text(
        GOOD + f'database = "sqlite:///{tmp_path}/x.sqlite"\nmembers = "members.json"\n'
        '[ledger]\ngateways = ["http://127.0.0.1:1"]\n'
    )
    (tmp_path / "members.json").write_text(json.dumps(members()))
    config = ["--config", str(tmp_path / "oidc.toml"), "--json"]
    assert run.invoke(oidc, ["keys", "new", *config]).exit_code == 0
    (tmp_path / "app.json").write_text(json.dumps(registration(record=signed.stdout.strip())))
    made = run.invoke(oidc, ["app", "add", str(tmp_path / "app.json"), *config])
    assert made.exit_code == 0, made.output
    assert len(json.loads(made.stdout)["client_secret"]) == 43
    again = run.invoke(oidc, ["app", "add", str(tmp_path / "app.json"), *config])
    assert json.loads(again.stdout)["client_secret"] is None, "shown once"
    other = run.invoke(oidc, ["app", "add", "--rotate", str(tmp_path / "app.json"), *config])
    assert json.loads(other.stdout)["client_secret"] not in {None, json.loads(made.stdout)["client_secret"]}
    assert run.invoke(oidc, ["app", "add", str(tmp_path / "record.json"), *config]).exit_code == 65
    listed = run.invoke(oidc, ["app", "list", *config])
    assert json.loads(listed.stdout)["apps"] == [{"client_id": "shop", "policy": "strict", "active": True}]
    assert run.invoke(oidc, ["app", "withdraw", "shop", *config]).exit_code == 0
    assert json.loads(run.invoke(oidc, ["app", "list", *config]).stdout)["apps"][0]["active"] is False
    assert (tmp_path / "x.sqlite").stat().st_mode & 0o077 == 0, "nobody else on this machine reads who logs in where"


def test_the_command_registers_rotates_and_counts(tmp_path: Path) -> None:
    (tmp_path / "oidc.toml").write_text(
        GOOD + f'database = "sqlite:///{tmp_path}/x.sqlite"\nmembers = "members.json"\n'
        '[ledger]\ngateways = ["http://127.0.0.1:1"]\n'
    )
    (tmp_path / "members.json").write_text("[]")
    run = CliRunner()
    config = ["--config", str(tmp_path / "oidc.toml"), "--json"]
    missing = run.invoke(oidc, ["keys", "list", *config])
    assert missing.exit_code == 66
    made = run.invoke(oidc, ["keys", "new", *config])
    assert made.exit_code == 0, made.output
    assert {key["algorithm"] for key in json.loads(made.output)["keys"]} == {"ES256", "RS256"}
    assert (tmp_path / "keys" / "keys.json").exists()
    assert json.loads(run.invoke(oidc, ["sessions", *config]).output) == {"sessions": 0}
    assert json.loads(run.invoke(oidc, ["grants", *config]).output) == {"apps": []}
    assert json.loads(run.invoke(oidc, ["app", "list", *config]).output) == {"apps": []}
    assert run.invoke(oidc, ["app", "withdraw", "none", *config]).exit_code == 66
    assert run.invoke(oidc, ["holds", "--lift", "0x12", *config]).exit_code == 65
