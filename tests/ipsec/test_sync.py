"""The order of things in a pass: the feed cuts first, a gateway that lags lets nobody in again, silence ends all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki_chain.demo.hosts import Host, write_settings
from pki_chain.errors import ConfigurationError, LedgerUnavailableError
from pki_chain.ipsec.charon import CharonError
from pki_chain.ipsec.peer import connection_name, parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import IpsecSync, Outcome
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.pem import encode_pem
from tests.ipsec.cells import issue_for

NOW = 1_795_000_000.0


@dataclass
class RecordedTable:
    """What a pass asks of the daemon, in order."""

    asked: list[Any] = field(default_factory=list)

    def reconcile(self, certificates: Iterable[bytes], _now: float, *, admit: bool = True) -> Outcome:
        found = list(certificates)
        self.asked.append(("reconcile", len(found), admit))
        return Outcome(len(found), 0, 0)

    def cut(self, sha256: bytes) -> bool:
        self.asked.append(("cut", sha256))
        return sha256 != (7).to_bytes(32)


@dataclass
class RecordedFeed:
    """Pages of the feed; an exception is raised."""

    pages: list[dict[str, Any] | Exception]
    cursors: list[object] = field(default_factory=list)

    def read_object(self, path: str, query: Mapping[str, object]) -> dict[str, Any]:
        assert path == "/v1/changes"
        self.cursors.append(query["after"])
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page


def page(cursor: str, *changes: tuple[str, int], more: bool = False) -> dict[str, Any]:
    listed = [{"kind": kind, "block": block, "sha256": f"{block:064x}"} for kind, block in changes]
    return {"changes": listed, "cursor": cursor, "more": more}


def make(
    tmp_path: Path, feed: RecordedFeed, look: Callable[[float], object] = lambda _: None, block: int = 10
) -> tuple[IpsecSync, RecordedTable]:
    table = RecordedTable()

    def looked(now: float) -> object:
        look(now)
        return SimpleNamespace(withdrawn=False)

    bundle: Any = SimpleNamespace(look=looked, block=block)
    loop: Any = IpsecSync(table, bundle, tmp_path, feed)  # type: ignore[arg-type]
    return loop, table


def test_who_ends_is_cut_off_before_the_bundle_is_read(tmp_path: Path) -> None:
    feed = RecordedFeed([page("7", ("published", 5), ("held", 6), more=True), page("9", ("expired", 7)), page("9")])
    loop, table = make(tmp_path, feed, lambda _: table.asked.append("bundle"))
    assert loop.look(NOW) == Outcome(0, 0, 1)  # of two that the feed names one was there
    assert loop.look(NOW) == Outcome(0, 0, 0)
    cut = [("cut", (6).to_bytes(32)), ("cut", (7).to_bytes(32))]
    passed = ["bundle", ("reconcile", 0, True)]
    assert table.asked == [*cut, *passed, *passed]
    assert feed.cursors == ["now", "7", "9"]


def test_a_gateway_behind_the_feed_lets_nobody_in_again(tmp_path: Path) -> None:
    loop, table = make(tmp_path, RecordedFeed([page("7", ("held", 11))]), block=10)
    loop.look(NOW)
    assert table.asked[-1] == ("reconcile", 0, False)


@pytest.mark.parametrize("answer", [{}, {"changes": 1, "cursor": "1"}, page("1", ("held", 1)) | {"changes": [{}]}])
def test_a_feed_that_makes_no_sense_changes_nothing(tmp_path: Path, answer: dict[str, Any]) -> None:
    loop, table = make(tmp_path, RecordedFeed([answer]))
    loop.look(NOW)
    assert table.asked == [("reconcile", 0, True)]


def test_gateways_that_do_not_answer_are_no_error_while_the_bundle_stands(tmp_path: Path) -> None:
    away = LedgerUnavailableError("away")

    def look(_: float) -> None:
        raise away

    loop, table = make(tmp_path, RecordedFeed([away]), look)
    loop.look(NOW)
    assert table.asked == [("reconcile", 0, True)]


class RecordedProofs:
    """A folder with proofs of two cells."""

    def __init__(self, blocks: Mapping[bytes, int]) -> None:
        self.blocks = blocks
        self.is_broken = False

    def certificates(self, _now: float) -> Mapping[bytes, int]:
        if self.is_broken:
            raise ConfigurationError("the trust file is none")
        return self.blocks


def test_proofs_let_in_whom_no_gateway_spoke_of_later(tmp_path: Path) -> None:
    """A proof that is newer than the last word, and an older one of whom the last word was good."""
    known, stranger = issue_for("cell1.cells.vendor.example")[0], issue_for("cell2.cells.vendor.example")[0]
    folder = tmp_path / "current" / "certificates"
    folder.mkdir(parents=True)
    file = folder / "known.pem"
    file.write_text(encode_pem("CERTIFICATE", known))
    away, table = LedgerUnavailableError("away"), RecordedTable()
    proofs = RecordedProofs({known: 5, stranger: 10})
    outcomes = [SimpleNamespace(withdrawn=False), *[SimpleNamespace(withdrawn=True)] * 4]
    bundle: Any = SimpleNamespace(look=lambda _: outcomes.pop(0), block=10)
    held = {"changes": [{"kind": "held", "block": 10, "sha256": hashlib.sha256(known).hexdigest()}], "cursor": "7"}
    feed: Any = RecordedFeed([away, away, away, held | {"more": False}, away])
    loop = IpsecSync(table, bundle, tmp_path, feed, carried=proofs)  # type: ignore[arg-type]
    loop.look(NOW)
    assert table.asked == [("reconcile", 2, True)]  # of the bundle, and by proof: the same one
    file.unlink()
    loop.look(NOW)
    assert table.asked[-1] == ("reconcile", 1, True)
    proofs.blocks = {known: 5, stranger: 11}
    loop.look(NOW)
    assert table.asked[-1] == ("reconcile", 2, True)
    loop.look(NOW)  # the last word was that it is held
    assert table.asked[-1] == ("reconcile", 1, True)
    proofs.is_broken = True
    loop.look(NOW)
    assert table.asked[-1] == ("reconcile", 0, True)


def test_a_daemon_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    loop, table = make(tmp_path, RecordedFeed([page("7", ("held", 6))]))

    def cut(_: bytes) -> bool:
        raise CharonError("away")

    table.cut = cut  # type: ignore[method-assign]
    with pytest.raises(CharonError):
        loop.look(NOW)


def test_a_peer_is_known_by_a_name_of_its_certificate() -> None:
    der, _ = issue_for("cell1.cells.vendor.example")
    peer = parse_peer(der)
    assert peer.identity == "cell1.cells.vendor.example"
    assert peer.name == connection_name(hashlib.sha256(der).digest())
    assert peer.is_current(peer.not_after)
    assert not peer.is_current(peer.not_after + 1)
    assert not peer.is_current(peer.not_before - 1)


def test_a_ca_s_certificate_is_no_peer() -> None:
    with pytest.raises(CertificateRefusedError):
        parse_peer(_ca())


def _ca() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Cells")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ca.vendor.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    host = Host("none", "192.0.2.1", "10.9.0.1", tmp_path)
    return write_settings(host, Host("none", "192.0.2.2", "10.9.1.1", tmp_path), *issue_for("segw.operator.example"))


def test_settings_pin_each_peer_to_its_certificate(settings_file: Path) -> None:
    settings = IpsecSettings.load(settings_file)
    der, _ = issue_for("cell1.cells.vendor.example")
    connection = settings.connection_to(parse_peer(der))
    assert connection["remote"] == {
        "auth": "pubkey",
        "certs": [encode_pem("CERTIFICATE", der)],
        "id": "cell1.cells.vendor.example",
    }
    assert connection["local"]["id"] == "segw.operator.example"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[child]", "[children]"),
        ('version = "2"', 'version = "2"\nremote = "x"'),
        ('version = "2"', "version = 2"),
        ('key = "own.key.pem"', 'key = "none"'),
        ('certificate = "own.cer"', 'certificate = "ipsec.toml"'),
        ("[local]", "[local"),
        ("[local]\n", '[local]\nmore = "1"\n'),
    ],
)
def test_settings_of_another_form_are_refused(settings_file: Path, old: str, new: str) -> None:
    settings_file.write_text(settings_file.read_text().replace(old, new))
    with pytest.raises(ConfigurationError):
        IpsecSettings.load(settings_file)


def test_a_key_that_others_can_read_is_refused(settings_file: Path) -> None:
    (settings_file.parent / "own.key.pem").chmod(0o644)
    with pytest.raises(ConfigurationError, match="0600"):
        IpsecSettings.load(settings_file)


def test_the_example_s_settings_are_of_the_right_form(settings_file: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "security-gateway" / "ipsec.toml"
    text = example.read_text().replace("segw.cer", "own.cer").replace("segw.key", "own.key.pem")
    settings_file.write_text(text)
    assert IpsecSettings.load(settings_file).child["local_ts"] == ["10.9.0.0/24"]
