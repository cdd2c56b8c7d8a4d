"""Lists of CAs in parts: each for the certificates whose own distribution points name it, at any gateway."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.chain.signer import create_passphrase
from pki_chain.cli.ca import ca
from pki_chain.errors import NotFoundError
from pki_chain.gateway import authority_lists
from pki_chain.index.authority_projection import MOST_ADDRESSES
from pki_chain.ports import DelegationKind
from pki_chain.status import list_address
from pki_chain.status.crl import CrlEntry, encode_authority_crl
from pki_chain.status.list_address import EVERY_PART, FULL_PART, LAST_PART, part_named_by, part_named_by_all
from pki_chain.status.status_key import StatusKeys
from tests.gateway.conftest import Gateway, opened, problem_code
from tests.index.recorded_ledger import RecordedLedger
from tests.relying.conftest import served
from tests.relying.issuer import Issuer, publish_below, publish_root, store_pem

CRL = DelegationKind.CRL_SIGNING
HERE, THERE = "http://gateway.operator.example:8080", "https://vendor.example/tally"
STRANGER = Path(__file__).parent / "stranger"
ID = "0a" * 32


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Gateway]:
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        yield found


@pytest.fixture
def root(publishing: Gateway) -> Issuer:
    """Devices 0 and 1 are in part 0, 10 and 11 in part 1, 20 in none."""
    made = publish_root(publishing)
    for part in range(2):
        at = made.at(f"{HERE}/crl/{made.name}/{part}.crl")
        publishing.ledger.accept([at.device(10 * part + each) for each in range(2)])
    publishing.ledger.accept([made.device(20)])
    made.delegate(CRL)
    publishing.catch_up()
    return made


def fetch(issuer: Issuer, part: int | None, query: str = "") -> bytes:
    place = "" if part is None else f"/{part}"
    response = issuer.gateway.client.get(f"/crl/{issuer.name}{place}.crl{query}")
    assert (response.status_code, response.content_type) == (200, "application/pkix-crl"), response.data
    assert response.headers["Cache-Control"] == "no-store"
    return bytes(response.data)


def listed(content: bytes) -> set[int]:
    """Numbers of devices."""
    return {each.serial_number - 1_000 for each in x509.load_der_x509_crl(content)}


def addresses(content: bytes) -> list[str]:
    """Of the issuing distribution point, which nobody who does not know it may pass over."""
    found = x509.load_der_x509_crl(content).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert found.critical
    point = found.value
    assert not point.indirect_crl
    assert not point.only_contains_user_certs
    return [each.value for each in point.full_name or ()]


# Which part


@pytest.mark.parametrize(
    ("address", "part"),
    [
        (f"{HERE}/crl/{ID}/0.crl", 0),
        (f"{THERE}/crl/{ID}/{LAST_PART}.crl", LAST_PART),
        (f"{HERE}/crl/{ID}/{LAST_PART + 1}.crl", None),
        (f"{HERE}/crl/{ID}.crl", None),
        (f"{HERE}/crl/{ID}/01.crl", None),
        (f"{HERE}/crl/{ID}/-1.crl", None),
        (f"{HERE}/crl/{ID}/1.crl?base=2", None),
        (f"{HERE}/crl/{ID}/1.crl#1", None),
        (f"{HERE}/?/crl/{ID}/1.crl", None),
        (f"{HERE}/crl/{ID[1:]}/1.crl", None),
        (f"{HERE}/crl/2/0-of-1.crl", None),
        (f"ldap://operator.example/crl/{ID}/1.crl", None),
        (f"http:///crl/{ID}/1.crl", None),
    ],
)
def test_an_address_names_a_part_or_none(address: str, part: int | None) -> None:
    assert part_named_by(address.encode()) == part


@given(st.lists(st.sampled_from([0, 1, 7, None])))
def test_who_names_several_parts_is_in_every_one(parts: list[int | None]) -> None:
    """A list that a certificate's address names is never silent about it."""
    named = [f"{HERE}/crl/{ID}{'' if part is None else f'/{part}'}.crl".encode() for part in parts]
    found = part_named_by_all(named)
    wanted = {part for part in parts if part is not None}
    assert wanted <= {found} or found == EVERY_PART
    assert (found is None) == (not wanted)


# What is on them


def test_a_part_is_about_its_certificates_and_the_whole_list_about_all(publishing: Gateway, root: Issuer) -> None:
    for each in (0, 10, 20):
        publishing.ledger.hold(root.device(each))
    publishing.catch_up()
    assert [listed(fetch(root, part)) for part in (0, 1, None)] == [{0}, {10}, {0, 10, 20}]
    assert addresses(fetch(root, 1)) == [f"{HERE}/crl/{root.name}/1.crl"]
    whole = x509.load_der_x509_crl(fetch(root, None))
    with pytest.raises(x509.ExtensionNotFound):
        whole.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    for part in (0, 1):
        read = x509.load_der_x509_crl(fetch(root, part))
        number = read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert number == publishing.ledger.head().number
        assert read.issuer == whole.issuer


def test_deltas_come_in_the_same_parts(publishing: Gateway, root: Issuer) -> None:
    publishing.ledger.hold(root.device(0))
    publishing.catch_up()
    base = publishing.ledger.head().number
    publishing.ledger.release(root.device(0))
    publishing.ledger.revoke(root.device(11))
    publishing.ledger.revoke(root.device(20))
    publishing.catch_up()
    deltas = [fetch(root, part, f"?base={base}") for part in (0, 1, None)]
    assert [listed(each) for each in deltas] == [{0}, {11}, {0, 11, 20}]
    (released,) = x509.load_der_x509_crl(deltas[0])
    assert released.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.remove_from_crl
    freshest = x509.load_der_x509_crl(fetch(root, 0)).extensions.get_extension_for_class(x509.FreshestCRL)
    (name,) = freshest.value[0].full_name or ()
    assert (name.value, freshest.critical) == (
        f"{HERE}/crl/{root.name}/0.crl?base={publishing.ledger.head().number}",
        False,
    )
    for part in (0, 1):
        indicator = x509.load_der_x509_crl(deltas[part]).extensions.get_extension_for_class(x509.DeltaCRLIndicator)
        assert (indicator.critical, indicator.value.crl_number) == (True, base)
        assert addresses(deltas[part]) == addresses(fetch(root, part))


def test_addresses_at_several_gateways_are_one_part(publishing: Gateway, root: Issuer) -> None:
    """Each gateway names all of them, so that the list serves a certificate that names another gateway."""
    here, there = (f"{host}/crl/{root.name}/0.crl" for host in (HERE, THERE))
    publishing.ledger.accept([root.at(there).device(2), root.at(there, here).device(3)])
    for each in (0, 2, 3):
        publishing.ledger.revoke(root.device(each))
    publishing.catch_up()
    assert listed(fetch(root, 0)) == {0, 2, 3}
    assert addresses(fetch(root, 0)) == [here, there]


def test_a_certificate_that_names_two_parts_is_in_both(publishing: Gateway, root: Issuer) -> None:
    both = root.at(*(f"{HERE}/crl/{root.name}/{part}.crl" for part in (0, 1)))
    publishing.ledger.accept([both.device(5)])
    base = publishing.ledger.head().number
    publishing.ledger.revoke(both.device(5))
    publishing.catch_up()
    for query in ("", f"?base={base}"):
        assert [listed(fetch(root, part, query)) for part in (0, 1, None)] == [{5}, {5}, {5}]


def test_a_part_names_a_bounded_number_of_addresses(publishing: Gateway, root: Issuer) -> None:
    """For the certificates with others it is no list: nobody takes it for theirs."""
    hosts = [f"http://{number:02}.example/crl/{root.name}/9.crl" for number in range(MOST_ADDRESSES + 1)]
    publishing.ledger.accept([root.at(host).device(100 + number) for number, host in enumerate(hosts)])
    publishing.ledger.revoke(root.device(100 + MOST_ADDRESSES))
    publishing.catch_up()
    assert addresses(fetch(root, 9)) == hosts[:-1]
    assert listed(fetch(root, 9)) == listed(fetch(root, None)) == {100 + MOST_ADDRESSES}


def test_a_renewed_ca_goes_on_with_its_parts(publishing: Gateway, root: Issuer) -> None:
    publishing.ledger.mine(after_s=5)
    renewed = publish_root(publishing)
    assert renewed.name != root.name
    address = f"{HERE}/crl/{renewed.name}/0.crl"
    publishing.ledger.accept([renewed.at(address).device(7)])
    publishing.ledger.hold(renewed.device(7))
    publishing.ledger.hold(root.device(1))
    publishing.catch_up()
    for each in (root, renewed):
        assert listed(fetch(each, 0)) == {1, 7}
        assert set(addresses(fetch(each, 0))) == {f"{HERE}/crl/{root.name}/0.crl", address}
    other = publish_root(publishing, "Other")
    other.delegate(CRL)
    publishing.catch_up()
    assert problem_code(publishing.client.get(f"/crl/{other.name}/0.crl"), 404) == "unknown-part"


def test_a_withdrawn_ca_is_in_every_part_of_its_parents_list(publishing: Gateway, root: Issuer) -> None:
    below = publish_below(publishing, root)
    below.withdraw()
    publishing.catch_up()
    assert [listed(fetch(root, part)) for part in (0, 1, None)] == [{77 - 1_000}] * 3


def test_unknown_parts_are_refused(publishing: Gateway, root: Issuer) -> None:
    client, number = publishing.client, publishing.ledger.head().number
    assert problem_code(client.get(f"/crl/{root.name}/2.crl"), 404) == "unknown-part"
    assert problem_code(client.get(f"/crl/{root.name}/{LAST_PART + 1}.crl"), 404) == "no-such-route"
    assert problem_code(client.get(f"/crl/{root.name}/x.crl"), 404) == "no-such-route"
    assert problem_code(client.get(f"/crl/{ID}/0.crl"), 404) == "not-found"
    assert problem_code(client.get(f"/crl/{root.name.upper()}/0.crl"), 404) == "not-found"
    assert problem_code(client.get(f"/crl/{root.name}/0.crl?base={number + 9}"), 400) == "base-from-the-future"
    assert problem_code(client.get(f"/crl/{root.name}/0.crl?other=1"), 400) == "bad-query"
    other = publish_root(publishing, "Other")
    publishing.ledger.accept([other.at(f"{HERE}/crl/{other.name}/0.crl").device(30)])
    publishing.catch_up()
    assert problem_code(client.get(f"/crl/{other.name}/0.crl"), 404) == "not-delegated"


def test_it_tells_which_parts_there_are(publishing: Gateway, root: Issuer) -> None:
    lapsed = root.at(f"{HERE}/crl/{root.name}/1.crl", f"{HERE}/crl/{root.name}/8.crl").device(12)
    for _ in range(2):  # the same again, after it lapsed
        publishing.ledger.submit([lapsed])
    publishing.catch_up()
    found = publishing.client.get(f"/crl/{root.name}").get_json()
    assert found["parts"] == [
        {"part": part, "certificates": count, "path": f"/crl/{root.name}/{part}.crl"}
        for part, count in ((0, 2), (1, 3), (8, 1))
    ]
    assert found["block"]["number"] == publishing.ledger.head().number
    for each in found["parts"]:
        assert publishing.client.get(each["path"]).status_code == 200
    assert problem_code(publishing.client.get(f"/crl/{ID}"), 404) == "not-found"
    assert problem_code(publishing.client.get(f"/crl/{root.name}?x=1"), 400) == "bad-query"


def test_the_command_says_how_full_they_are_and_which_comes_next(
    publishing: Gateway, root: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = publish_below(publishing, root)
    publishing.catch_up()
    file = store_pem(tmp_path / "ca.pem", root.authority.der)
    with served(publishing.client.application.wsgi_app) as address:

        def ask(which: str | Path) -> Result:
            settings = ("--config", str(tmp_path / "none.toml"))
            return CliRunner().invoke(ca, ["parts", str(which), "--gateway", address, "--json", *settings])

        told = json.loads(ask(file).stdout)
        assert [(each["part"], each["certificates"]) for each in told["parts"]] == [(0, 2), (1, 2)]
        assert told["next"] == f"/crl/{root.name}/1.crl"
        monkeypatch.setattr(list_address, "FULL_PART", 2)
        assert json.loads(ask(f"0x{root.name}").stdout)["next"] == f"/crl/{root.name}/2.crl"
        assert json.loads(ask(f"0x{below.name}").stdout) == {"parts": [], "next": f"/crl/{below.name}/0.crl"}
        plain = CliRunner().invoke(ca, ["parts", str(file), "--gateway", address, "--config", str(tmp_path / "none")])
        assert f"next certificates: /crl/{root.name}/2.crl" in plain.stdout
        assert isinstance(ask("0x" + ID).exception, NotFoundError)


# How large


def test_a_full_part_stays_below_a_megabyte(tmp_path: Path) -> None:
    """All revoked, by serial numbers as long as they may be."""
    keys = StatusKeys(tmp_path, lambda: b"passphrase")
    keys.create("Example CA", 0)
    content = encode_authority_crl(
        keys.signer(1),
        number=1 << 40,
        base=None,
        this_update=1,
        next_update=2,
        entries=[CrlEntry(b"0\0", (1 << 158) + each, 4, 1) for each in range(FULL_PART)],
        addresses=["http://" + "x" * 248] * 2 * MOST_ADDRESSES,
    )
    assert len(content) < authority_lists.LARGEST_PART_BYTES
    assert len(list(x509.load_der_x509_crl(content))) == FULL_PART


def test_a_part_that_is_too_full_is_whole_all_the_same_and_logged(
    publishing: Gateway, root: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publishing.ledger.revoke(root.device(0))
    publishing.ledger.revoke(root.device(1))
    publishing.catch_up()
    with caplog.at_level(logging.WARNING):
        assert listed(fetch(root, 1)) == set()
        assert "too full" not in caplog.text
        monkeypatch.setattr(authority_lists, "LARGEST_PART_BYTES", 100)
        assert listed(fetch(root, 0)) == {0, 1}
        assert f"part 0 of CA {root.name}" in caplog.text


# Strangers' software


def run(*command: str | Path, status: int = 0) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.openssl
def test_openssl_takes_the_part_of_the_certificate_and_no_other(
    publishing: Gateway, root: Issuer, tmp_path: Path
) -> None:
    signer = store_pem(tmp_path / "signer.pem", root.delegate(CRL))
    publishing.ledger.hold(root.device(1))
    publishing.ledger.revoke(root.device(10))
    publishing.catch_up()
    authority = store_pem(tmp_path / "ca.pem", root.authority.der)
    devices = {each: store_pem(tmp_path / f"{each}.pem", root.device(each)) for each in (0, 1, 10, 11, 20)}
    lists = {part: tmp_path / f"list-{part}.pem" for part in (0, 1, None)}
    for part, path in lists.items():
        read = x509.load_der_x509_crl(fetch(root, part))
        path.write_bytes(read.public_bytes(serialization.Encoding.PEM))

    def check(device: int, part: int | None, status: int) -> str:
        verify = ("openssl", "verify", "-crl_check", "-extended_crl", "-CAfile", authority, "-untrusted", signer)
        return run(*verify, "-CRLfile", lists[part], devices[device], status=status)

    for device, part in ((0, 0), (11, 1), (0, None), (20, None)):
        assert check(device, part, 0).endswith("OK\n")
    for device, part in ((1, 0), (10, 1), (1, None), (10, None)):
        assert "certificate revoked" in check(device, part, 2)
    for device, part in ((0, 1), (1, 1), (10, 0), (11, 0), (20, 0)):
        assert "CRL scope" in check(device, part, 2)


@pytest.mark.openssl
def test_openssl_takes_the_delta_of_a_part(publishing: Gateway, root: Issuer, tmp_path: Path) -> None:
    signer = store_pem(tmp_path / "signer.pem", root.delegate(CRL))
    publishing.catch_up()
    authority, base = store_pem(tmp_path / "ca.pem", root.authority.der), publishing.ledger.head().number
    pem, full = serialization.Encoding.PEM, fetch(root, 0)
    publishing.ledger.revoke(root.device(1))
    publishing.ledger.revoke(root.device(10))
    publishing.catch_up()
    devices = {each: store_pem(tmp_path / f"{each}.pem", root.device(each)) for each in (0, 1)}
    verify = ("openssl", "verify", "-crl_check", "-extended_crl", "-CAfile", authority, "-untrusted", signer)
    for part, status in ((0, 2), (1, 0)):  # that of the other part is none to this list
        lists = tmp_path / f"lists-{part}.pem"
        both = (full, fetch(root, part, f"?base={base}"))
        lists.write_bytes(b"".join(x509.load_der_x509_crl(each).public_bytes(pem) for each in both))
        said = run(*verify, "-use_deltas", "-CRLfile", lists, devices[1], status=status)
        assert ("certificate revoked" in said) == (status != 0)
        assert run(*verify, "-use_deltas", "-CRLfile", lists, devices[0]).endswith("OK\n")


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_go_takes_the_part_of_the_certificate_and_no_other(publishing: Gateway, root: Issuer, tmp_path: Path) -> None:
    program = tmp_path / "stranger"
    done = subprocess.run(
        ["go", "build", "-o", program, "."], cwd=STRANGER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    signer = store_pem(tmp_path / "signer.pem", root.delegate(CRL))
    publishing.ledger.hold(root.device(1))
    publishing.catch_up()
    for part in (0, 1):
        (tmp_path / f"{part}.crl").write_bytes(fetch(root, part))
    devices = [store_pem(tmp_path / f"{each}.pem", root.device(each)) for each in range(2)]
    ask = (program, "part", signer)
    assert run(*ask, devices[0], tmp_path / "0.crl") == "not listed\n"
    assert run(*ask, devices[1], tmp_path / "0.crl") == "listed\n"
    for each in devices:
        assert "other certificates" in run(*ask, each, tmp_path / "1.crl", status=1)
