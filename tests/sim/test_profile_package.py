"""The applet in an eSIM's profile package.

A converter for CAP files may not be shipped, so the load block is made up of components of the right form whose code
means nothing; where somebody built the applet's own with the vendor's kit, that is tried too. The package around it is
made up. What is written is read by this program and by a second reader, from the specification's ASN.1 by way of
pyasn1.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder
from pyasn1.type import char, namedtype, tag, univ

from sim_applet_tools.cli import sim
from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.saip.cap_file import LOADED, TAGS, load_cap, parse_cap
from sim_applet_tools.saip.der import Element, element, parse_elements
from sim_applet_tools.saip.profile_package import add_applet, applications

PACKAGE_ID, APPLET_ID = bytes.fromhex("F054414C4C5901"), bytes.fromhex("F054414C4C590101")


def _component(name: str, content: bytes) -> bytes:
    return bytes((TAGS[name],)) + len(content).to_bytes(2, "big") + content


def _components() -> dict[str, bytes]:
    header = bytes.fromhex("DECAFFED 01 02 04 00 01") + bytes((len(PACKAGE_ID),)) + PACKAGE_ID
    applet = b"\x01" + bytes((len(APPLET_ID),)) + APPLET_ID + b"\x00\x01"
    contents = {name: _component(name, name.encode() * 30) for name in LOADED if name != "Export"}
    return {**contents, "Header": _component("Header", header), "Applet": _component("Applet", applet)}


def _cap(change: Callable[[dict[str, bytes]], object] = lambda _: None) -> bytes:
    components = _components()
    change(components)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        archive.writestr("tigertally/card/javacard/Descriptor.cap", b"\x0b\x00\x01\x00")
        for name, content in components.items():
            archive.writestr(f"tigertally/card/javacard/{name}.cap", content)
    return target.getvalue()


def _numbered(tag_: int, number: int, rest: bytes = b"") -> bytes:
    return element(tag_, element(0xA0, element(0x81, bytes((number,)))) + rest)


def _package(services: bytes = b"\x81\x00\x84\x00") -> bytes:
    """Header, MF, security domain, an element of a long tag, end."""
    header = element(0x80, b"\x03") + element(0x81, b"\x03") + element(0x82, b"Tally test")
    header += element(0x83, bytes.fromhex("98990901000000000001")) + element(0xA5, services) + element(0xA6, b"")
    long_tag = Element(b"\xbf\x1f", element(0xA0, element(0x81, b"\x07")) + element(0x81, bytes(300))).encode()
    domain = _numbered(0xA6, 4, element(0xA1, bytes(40)))
    return element(0xA0, header) + _numbered(0xB0, 1) + domain + long_tag + _numbered(0xAA, 9)


# -- a second reader, from the ASN.1 of the specification


def _tagged(kind: type, class_: int, number: int, form: int = tag.tagFormatSimple) -> Any:
    return kind().subtype(implicitTag=tag.Tag(class_, form, number))


CONTEXT, APPLICATION, PRIVATE = tag.tagClassContext, tag.tagClassApplication, tag.tagClassPrivate
Named, Optional, Default = namedtype.NamedType, namedtype.OptionalNamedType, namedtype.DefaultedNamedType


class PEHeader(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815  pyasn1's name
        Optional("mandated", _tagged(univ.Null, CONTEXT, 0)), Named("identification", _tagged(univ.Integer, CONTEXT, 1))
    )


class LoadPackage(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815
        Named("loadPackageAID", _tagged(univ.OctetString, APPLICATION, 15)),
        Optional("hashValue", _tagged(univ.OctetString, PRIVATE, 1)),
        Named("loadBlockObject", _tagged(univ.OctetString, PRIVATE, 4)),
    )


class Instance(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815
        Named("applicationLoadPackageAID", _tagged(univ.OctetString, APPLICATION, 15)),
        Named("classAID", _tagged(univ.OctetString, APPLICATION, 15)),
        Named("instanceAID", _tagged(univ.OctetString, APPLICATION, 15)),
        Named("applicationPrivileges", _tagged(univ.OctetString, CONTEXT, 2)),
        Default(
            "lifeCycleState",
            univ.OctetString(hexValue="07").subtype(implicitTag=tag.Tag(CONTEXT, tag.tagFormatSimple, 3)),
        ),
        Named("applicationSpecificParametersC9", _tagged(univ.OctetString, PRIVATE, 9)),
    )


class Instances(univ.SequenceOf):
    componentType = Instance()  # noqa: N815


class PEApplication(univ.Sequence):
    tagSet = univ.Sequence.tagSet.tagImplicitly(tag.Tag(CONTEXT, tag.tagFormatConstructed, 8))  # noqa: N815
    componentType = namedtype.NamedTypes(  # noqa: N815
        Named("app-Header", _tagged(PEHeader, CONTEXT, 0, tag.tagFormatConstructed)),
        Optional("loadBlock", _tagged(LoadPackage, CONTEXT, 1, tag.tagFormatConstructed)),
        Optional("instanceList", _tagged(Instances, CONTEXT, 2, tag.tagFormatConstructed)),
    )


class ServicesList(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815
        Optional("usim", _tagged(univ.Null, CONTEXT, 1)),
        Optional("milenage", _tagged(univ.Null, CONTEXT, 4)),
        Optional("javacard", _tagged(univ.Null, CONTEXT, 11)),
        Optional("multos", _tagged(univ.Null, CONTEXT, 12)),
    )


class ProfileHeader(univ.Sequence):
    tagSet = univ.Sequence.tagSet.tagImplicitly(tag.Tag(CONTEXT, tag.tagFormatConstructed, 0))  # noqa: N815
    componentType = namedtype.NamedTypes(  # noqa: N815
        Named("major-version", _tagged(univ.Integer, CONTEXT, 0)),
        Named("minor-version", _tagged(univ.Integer, CONTEXT, 1)),
        Optional("profileType", _tagged(char.UTF8String, CONTEXT, 2)),
        Named("iccid", _tagged(univ.OctetString, CONTEXT, 3)),
        Named("eUICC-Mandatory-services", _tagged(ServicesList, CONTEXT, 5, tag.tagFormatConstructed)),
        Named("eUICC-Mandatory-GFSTEList", _tagged(univ.SequenceOf, CONTEXT, 6, tag.tagFormatConstructed)),
    )


BUILT = Path(__file__).parents[2] / "sim_applet_tools/applet/target/approval.cap"
CAPS = [_cap(), *([BUILT.read_bytes()] if BUILT.exists() else [])]


@pytest.mark.parametrize("raw", CAPS, ids=["made-up", "built"][: len(CAPS)])
def test_a_package_gets_the_applet_and_keeps_everything_else(raw: bytes) -> None:
    before, cap = _package(), parse_cap(raw, "cap")
    after = add_applet(before, cap, APPLET_ID)
    (found,) = applications(after)
    assert (found.identification, found.package_id, found.instance_id) == (10, PACKAGE_ID, APPLET_ID)
    assert found.load_block == cap.load_block
    assert found.parameters == b""
    elements = parse_elements(after, "package")
    assert [item.tag.hex() for item in elements] == ["a0", "b0", "a6", "a8", "bf1f", "aa"]
    assert [item for item in elements if item.tag not in {b"\xa0", b"\xa8"}] == parse_elements(before, "package")[1:]


def test_a_second_reader_finds_the_same() -> None:
    cap = parse_cap(_cap(), "cap")
    header, _, _, application, *_ = parse_elements(add_applet(_package(), cap, APPLET_ID), "package")
    read, rest = decoder.decode(application.encode(), asn1Spec=PEApplication())
    assert rest == b""
    assert int(read["app-Header"]["identification"]) == 10
    assert read["app-Header"]["mandated"].isValue
    assert bytes(read["loadBlock"]["loadPackageAID"]) == PACKAGE_ID
    assert bytes(read["loadBlock"]["loadBlockObject"]) == cap.load_block
    (instance,) = read["instanceList"]
    assert bytes(instance["classAID"]) == bytes(instance["instanceAID"]) == APPLET_ID
    assert bytes(instance["lifeCycleState"]) == b"\x07"
    profile, rest = decoder.decode(header.encode(), asn1Spec=ProfileHeader())
    assert rest == b""
    services = profile["eUICC-Mandatory-services"]
    assert [name for name in services if services[name].isValue] == ["usim", "milenage", "javacard"]


def test_the_load_block_is_the_components_in_their_order() -> None:
    components = _components()
    cap = parse_cap(_cap(), "cap")
    assert cap.load_block == b"".join(components[name] for name in LOADED if name in components)
    assert cap.applet_ids == (APPLET_ID,)
    assert b"\x0b\x00\x01\x00" not in cap.load_block  # Descriptor stays off the card


@pytest.mark.parametrize("services", [b"\x81\x00\x8b\x00", b"\x8c\x00", b""])
def test_java_card_is_asked_for_once(services: bytes) -> None:
    after = add_applet(_package(services), parse_cap(_cap(), "cap"), APPLET_ID)
    header = parse_elements(parse_elements(after, "package")[0].value, "header")
    listed = next(item.value for item in header if item.tag == b"\xa5")
    assert listed.count(b"\x8b\x00") == 1
    assert listed == b"".join(sorted(listed[index : index + 2] for index in range(0, len(listed), 2)))


def _drop(name: str) -> Callable[[dict[str, bytes]], object]:
    return lambda components: components.pop(name)


def _put(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda components: components.update({name: content})


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "does not open"),
        (b"PK\x03\x04" + bytes(60), "does not open"),
        (_cap(_drop("Method")), "lacks Method"),
        (_cap(_put("Method", b"\x07\x00\x02\x00")), "malformed Method"),
        (_cap(_put("Header", _component("Header", bytes(12)))), "malformed Header"),
        (_cap(_put("Applet", _component("Applet", b"\x00"))), "no applet"),
        (_cap(_put("Applet", _component("Applet", b"\x01\x02\x00\x00"))), "malformed Applet"),
        (_cap(_put("Applet", _component("Applet", b"\x01\x05" + bytes(20)))), "malformed Applet"),
    ],
)
def test_what_is_no_cap_file(raw: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        parse_cap(raw, "cap")


@pytest.mark.parametrize(
    ("package", "text"),
    [
        (b"", "does not begin with a header"),
        (b"\xa0", "no DER"),
        (_package()[:-1], "no DER"),
        (_package() + _numbered(0xAA, 10), "does not begin"),
        (_package()[len(parse_elements(_package(), "")[0].encode()) :], "does not begin"),
        (element(0xA0, element(0x80, b"\x03")) + _numbered(0xAA, 1), "no list of services"),
        (_package()[:-7] + element(0xB3, b"") + _numbered(0xAA, 9), "without a number"),
        (add_applet(_package(), parse_cap(_cap(), "cap"), APPLET_ID), "has the package"),
    ],
)
def test_a_package_that_cannot_take_it(package: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        add_applet(package, parse_cap(_cap(), "cap"), APPLET_ID)


def test_an_applet_that_the_cap_has_not() -> None:
    with pytest.raises(InputError, match="no applet F054414C4C590102"):
        add_applet(_package(), parse_cap(_cap(), "cap"), APPLET_ID[:-1] + b"\x02")


@given(st.binary(max_size=60))
def test_any_bytes_are_der_in_one_form_only_or_refused(raw: bytes) -> None:
    try:
        elements = parse_elements(raw, "it")
    except InputError:
        return
    assert b"".join(item.encode() for item in elements) == raw


@given(st.binary(max_size=200))
def test_any_bytes_are_a_package_or_refused(tail: bytes) -> None:
    for raw in (tail, _package()[:-7] + tail):
        try:
            applications(add_applet(raw, parse_cap(_cap(), "cap"), APPLET_ID))
        except InputError:
            continue


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.der").write_bytes(_package())
    Path("approval.cap").write_bytes(_cap())
    tool = Path("saip-tool")
    tool.write_text('#!/bin/sh\n[ "$2 $3" = "info --apps" ] && wc -c < "$1"\n')
    tool.chmod(0o755)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(sim, ["profile-package", *arguments, "--json"])

    assert json.loads(run("base.der").stdout)["applications"] == []
    done = run("base.der", "--cap", "approval.cap", "--output", "out.der", "--saip-tool", str(tool.resolve()))
    document = json.loads(done.stdout)
    assert document["applications"][0]["instance"] == "F054414C4C590101"
    assert int(document["saip_tool"]) == document["bytes"] == Path("out.der").stat().st_size
    assert json.loads(run("out.der").stdout)["applications"] == document["applications"]
    assert run("base.der", "--cap", "approval.cap").exit_code == 65
    assert run("base.der", "--cap", "nowhere.cap", "--output", "x").exit_code == 74
    assert run("out.der", "--cap", "approval.cap", "--output", "x").exit_code == 65
    tool.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    assert "does not accept" in run("base.der", "--saip-tool", str(tool.resolve())).stderr
    assert run("base.der", "--saip-tool", "/nowhere").exit_code == 74


def test_a_cap_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        load_cap(tmp_path / "approval.cap")
