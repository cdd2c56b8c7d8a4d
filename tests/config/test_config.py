"""Settings are taken whole or refused with their key and place."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import pytest

from pki_chain.config import ConsortiumFile, MemberConfig
from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.ports import Address

LEAST = '[member]\nid = 3\nname = "Acme Cells"\n'
CONSORTIUM = ConsortiumFile(
    chain_id=123456789,
    salt=b"\x01" * 32,
    consortium=Address("0x" + "11" * 20),
    directory=Address("0x" + "22" * 20),
    certificate_registry=Address("0x" + "33" * 20),
    identity_registry=Address("0x" + "44" * 20),
    trust_list=Address("0x" + "7e" * 20),
    code_hashes=MappingProxyType({"Consortium": b"\x02" * 32}),
    endpoints=("http://127.0.0.1:8545", "https://ledger.member.example/rpc"),
    founding_block=7,
    founding_hash=b"\x03" * 32,
)


def write(directory: Path, text: str) -> Path:
    path = directory / "tally.toml"
    path.write_text(text)
    return path


def test_defaults_and_paths_beside_the_file(tmp_path: Path) -> None:
    config = MemberConfig.load(write(tmp_path, LEAST), {})
    assert (config.member.id, config.member.name) == (3, "Acme Cells")
    assert config.keystore.directory == tmp_path / "keystore"
    assert config.gateway.token_file is None
    assert config.gateway.host == "127.0.0.1"
    assert config.ledger.endpoints == ()


def test_file_and_environment(tmp_path: Path) -> None:
    text = LEAST + '[gateway]\nport = 9000\ndata = "/var/lib/tally"\n[ledger]\nendpoints = ["http://127.0.0.1:1"]\n'
    environment = {
        "TALLY_GATEWAY_PORT": "9001",
        "TALLY_STATION_GATEWAYS": "http://127.0.0.1:2, http://127.0.0.1:3",
        "TALLY_LEDGER_TIMEOUT_S": "2.5",
        "TALLY_GATEWAY_TRUSTED_PROXIES": "127.0.0.1, 2001:db8::/64",
        "TALLY_ANVIL": "/somewhere/anvil",
        "HOME": "/root",
    }
    config = MemberConfig.load(write(tmp_path, text), environment)
    assert config.gateway.port == 9001
    assert config.gateway.data == Path("/var/lib/tally")
    assert config.ledger.timeout_s == 2.5
    assert config.ledger.endpoints == ("http://127.0.0.1:1",)
    assert config.station.gateways == ("http://127.0.0.1:2", "http://127.0.0.1:3")
    assert [str(each) for each in config.gateway.trusted_proxies] == ["127.0.0.1/32", "2001:db8::/64"]


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ("", {}, "member.id"),
        ("[member\n", {}, "tally.toml"),
        ('[member]\nid = 0\nname = "A"\n', {}, "member.id"),
        ('[member]\nid = true\nname = "A"\n', {}, "member.id"),
        ('[member]\nid = 1\nname = ""\n', {}, "member.name"),
        ('[member]\nid = 1\nname = "A\\u0000"\n', {}, "member.name"),
        (LEAST + '[gateway]\nport = "9000"\n', {}, "gateway.port"),
        (LEAST + "[gateway]\nport = 65536\n", {}, "gateway.port"),
        (LEAST + '[gateway]\ntrusted_proxies = "127.0.0.1"\n', {}, "gateway.trusted_proxies"),
        (LEAST + '[gateway]\ntrusted_proxies = ["127.0.0.1/8"]\n', {}, "gateway.trusted_proxies"),
        (LEAST + '[gateway]\ntrusted_proxies = ["0.0.0.0/0"]\n', {}, "gateway.trusted_proxies"),
        (LEAST + "[gateway]\ntrusted_proxies = [1]\n", {}, "gateway.trusted_proxies"),
        (LEAST, {"TALLY_GATEWAY_TRUSTED_PROXIES": "nginx"}, "TALLY_GATEWAY_TRUSTED_PROXIES"),
        (LEAST + "[gateway]\nprot = 1\n", {}, "gateway.prot"),
        (LEAST + "[gatway]\nport = 1\n", {}, "gatway"),
        (LEAST + "[ledger]\ntimeout_s = 0\n", {}, "ledger.timeout_s"),
        (LEAST + '[ledger]\nendpoints = ["ftp://x"]\n', {}, "ledger.endpoints"),
        (LEAST + '[ledger]\nendpoints = ["http://user:secret@x"]\n', {}, "ledger.endpoints"),
        (LEAST + '[ledger]\nendpoints = "http://x"\n', {}, "ledger.endpoints"),
        ("gateway = 3\n" + LEAST, {}, "gateway"),
        (LEAST, {"TALLY_GATEWAY_PORT": "many"}, "TALLY_GATEWAY_PORT"),
        (LEAST, {"TALLY_GATEWAY_PROT": "1"}, "TALLY_GATEWAY_PROT"),
        (LEAST, {"TALLY_CHAIN_HEARTBEAT_S": "0"}, "TALLY_CHAIN_HEARTBEAT_S"),
        (LEAST, {"TALLY_CHAIN_HEARTBEAT_S": "nan"}, "TALLY_CHAIN_HEARTBEAT_S"),
        (LEAST, {"TALLY_CHAIN_HEARTBEAT_S": "1_0"}, "TALLY_CHAIN_HEARTBEAT_S"),
        (LEAST, {"TALLY_GATEWAY_PORT": "\u0663\u0663"}, "TALLY_GATEWAY_PORT"),
        (LEAST, {"TALLY_GATEWAY_PORT": " 80"}, "TALLY_GATEWAY_PORT"),
        (LEAST, {"TALLY_GATEWAY_PORT": "8_0"}, "TALLY_GATEWAY_PORT"),
        (LEAST, {"TALLY_GATEWAY_PORT": "9" * 5_000}, "TALLY_GATEWAY_PORT"),
        (LEAST, {"TALLY_GATEWAY_DATA": ""}, "TALLY_GATEWAY_DATA"),
        (LEAST, {"TALLY_LEDGER_ENDPOINTS": "http://a,ftp://b"}, "TALLY_LEDGER_ENDPOINTS"),
        (LEAST + "x = " + "[" * 3_000, {}, "not TOML"),
        (LEAST + "x = " + "9" * 5_000, {}, "not TOML"),
        (LEAST + "[gateway]\nport = 8080.0\n", {}, "gateway.port"),
        (LEAST + "[gateway]\nhost = 1979-05-27\n", {}, "gateway.host"),
        (LEAST + "[[gateway]]\nport = 1\n", {}, "gateway"),
        (LEAST + "[ledger]\ntimeout_s = nan\n", {}, "ledger.timeout_s"),
        (LEAST + "[ledger]\ntimeout_s = inf\n", {}, "ledger.timeout_s"),
    ],
)
def test_refusals_name_the_key(tmp_path: Path, text: str, environment: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        MemberConfig.load(write(tmp_path, text), environment)


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [
        ("http://127.0.0.1:8545", True),
        ("https://node.example/rpc/0123", True),
        ("http://[::1]:8545/", True),
        ("http://node_1:80", True),
        ("http://a:65536", False),
        ("http://a:0", False),
        ("http://a:", False),
        ("http://[::1", False),
        ("http://[::zz]", False),
        ("http://", False),
        ("http:///path", False),
        ("http://a b", False),
        ("http://a\\b", False),
        ("http://\u0430.example", False),
        ("http://a?key=1", False),
        ("http://a#b", False),
        ("http://user@a", False),
        ("http://user:pw@a", False),
        ("HTTP://a", False),
    ],
)
def test_endpoints_are_such_that_can_be_asked(tmp_path: Path, endpoint: str, taken: bool) -> None:
    text = LEAST + f"[ledger]\nendpoints = ['{endpoint}']\n"
    if taken:
        assert MemberConfig.load(write(tmp_path, text), {}).ledger.endpoints == (endpoint,)
    else:
        with pytest.raises(ConfigurationError, match=r"ledger\.endpoints"):
            MemberConfig.load(write(tmp_path, text), {})


def test_missing_and_oversized_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tally\.toml"):
        MemberConfig.load(tmp_path / "tally.toml", {})
    with pytest.raises(ConfigurationError, match="longer than"):
        MemberConfig.load(write(tmp_path, "#" * (1 << 20) + "\n"), {})


def test_consortium_file_round_trip(tmp_path: Path) -> None:
    CONSORTIUM.store(tmp_path / "consortium.json")
    assert ConsortiumFile.load(tmp_path / "consortium.json") == CONSORTIUM
    assert not (tmp_path / "consortium.json.new").exists()
    with pytest.raises(StorageError, match="missing"):
        CONSORTIUM.store(tmp_path / "missing" / "consortium.json")


def test_own_endpoints_go_before_those_of_the_consortium(tmp_path: Path) -> None:
    CONSORTIUM.store(tmp_path / "consortium.json")
    theirs = MemberConfig.load(write(tmp_path, LEAST), {}).load_consortium()
    assert theirs.endpoints == CONSORTIUM.endpoints
    own = MemberConfig.load(tmp_path / "tally.toml", {"TALLY_LEDGER_ENDPOINTS": "http://127.0.0.1:9"})
    assert own.load_consortium().endpoints == ("http://127.0.0.1:9",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("chain_id", 0),
        ("chain_id", "1"),
        ("salt", "0x" + "0A" * 32),
        ("salt", "00" * 32),
        ("consortium", "0x11"),
        ("code_hashes", {"Consortium": "0x00"}),
        ("code_hashes", []),
        ("endpoints", ["file:///etc/passwd"]),
        ("founding_block", -1),
        ("more", 1),
        ("salt", None),
    ],
)
def test_consortium_file_refusals_name_the_key(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "consortium.json"
    CONSORTIUM.store(path)
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="Consortium" if isinstance(value, dict) else key):
        ConsortiumFile.load(path)
    for text in ("{", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="not JSON"):
            ConsortiumFile.load(path)
