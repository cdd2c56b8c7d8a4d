"""A profile package (SAIP) with the applet: one more profile element, everything else byte for byte as it was.

Source: Trusted Connectivity Alliance, eUICC Profile Package: Interoperable Format Technical Specification 3.3.1, §8.7
and its ASN.1 (AUTOMATIC TAGS). Built and read here without any tool; pySim's saip-tool reads the outcome as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_applet_tools.errors import InputError
from sim_applet_tools.saip.cap_file import CapFile
from sim_applet_tools.saip.der import Element, element, parse_elements

HEADER, SECURITY_DOMAIN, APPLICATION, END = b"\xa0", b"\xa6", b"\xa8", b"\xaa"
SERVICES = b"\xa5"
JAVACARD = b"\x8b"
AID = 0x4F
MAX_IDENTIFICATION = 32_767
WHAT = "the profile package"


@dataclass(frozen=True, slots=True)
class ApplicationElement:
    """PE-Application with one load package and one instance of it."""

    identification: int
    package_id: bytes
    load_block: bytes
    class_id: bytes
    instance_id: bytes
    parameters: bytes = b""
    """What the applet's install method gets, our flags: none on a real card."""
    privileges: bytes = b"\x00"

    def encode(self) -> bytes:
        header = element(0x80, b"") + element(0x81, _integer(self.identification))  # mandated
        load = element(AID, self.package_id) + element(0xC4, self.load_block)
        names = b"".join(element(AID, name) for name in (self.package_id, self.class_id, self.instance_id))
        instance = element(0x30, names + element(0x82, self.privileges) + element(0xC9, self.parameters))
        return Element(APPLICATION, element(0xA0, header) + element(0xA1, load) + element(0xA2, instance)).encode()


def parse_application(raw: Element) -> ApplicationElement:
    """Inverse of `ApplicationElement.encode`, for elements of this form only; an `InputError` else."""
    header, load, instances = _shaped(raw, [0xA0, 0xA1, 0xA2])
    _, identification = _shaped(header, [0x80, 0x81])
    package, block = _shaped(load, [AID, 0xC4])
    (instance,) = _shaped(instances, [0x30])
    again, class_id, instance_id, privileges, parameters = _shaped(instance, [AID, AID, AID, 0x82, 0xC9])
    if again.value != package.value:
        raise InputError("the application's instance is of another package than its load block")
    return ApplicationElement(
        identification=int.from_bytes(identification.value, "big"),
        package_id=package.value,
        load_block=block.value,
        class_id=class_id.value,
        instance_id=instance_id.value,
        parameters=parameters.value,
        privileges=privileges.value,
    )


def add_applet(package: bytes, cap: CapFile, instance_id: bytes) -> bytes:
    """`package` (DER) with the applet of `cap` behind its security domains, read back and compared before it is given.

    The profile then asks for an eUICC with Java Card. An `InputError` where the package has the applet already, or is
    none.
    """
    elements = parse_elements(package, WHAT)
    _require_profile(elements)
    if instance_id not in cap.applet_ids:
        raise InputError(
            f"the CAP file has no applet {instance_id.hex().upper()}: build it anew, or give another --aid"
        )
    if any(found.package_id == cap.package_id for found in applications(package)):
        raise InputError(f"{WHAT} has the package {cap.package_id.hex().upper()} already: start from one without")
    number = max((_identification(item) for item in elements), default=0) + 1
    if number > MAX_IDENTIFICATION:
        raise InputError(f"{WHAT} has no number left for one more element")
    added = ApplicationElement(number, cap.package_id, cap.load_block, instance_id, instance_id)
    position = max(index for index, item in enumerate(elements) if item.tag in {SECURITY_DOMAIN, HEADER}) + 1
    after = [_with_java_card(elements[0]), *elements[1:position], *parse_elements(added.encode(), WHAT)]
    result = b"".join(item.encode() for item in [*after, *elements[position:]])
    _verify_added(elements, result, added)
    return result


def applications(package: bytes) -> list[ApplicationElement]:
    """The application elements of the form that `add_applet` writes; others are passed over."""
    found = []
    for item in parse_elements(package, WHAT):
        if item.tag == APPLICATION:
            try:
                found.append(parse_application(item))
            except InputError:
                continue
    return found


def _verify_added(before: list[Element], result: bytes, added: ApplicationElement) -> None:
    """The new element says what was meant, and nothing else has changed."""
    after = parse_elements(result, WHAT)
    if applications(result).count(added) != 1 or len(after) != len(before) + 1:
        raise InputError(f"{WHAT} did not take the applet as it was given: its form is unknown to this program")
    kept = [item for item in after if item.encode() != added.encode()]
    if kept[1:] != before[1:]:
        raise InputError(f"{WHAT} would change beside the applet: its form is unknown to this program")


def _require_profile(elements: list[Element]) -> None:
    tags = [item.tag for item in elements]
    if not tags or tags[0] != HEADER or tags[-1] != END or tags.count(HEADER) != 1 or tags.count(END) != 1:
        raise InputError(f"{WHAT} does not begin with a header and finish with an end: is it an unprotected package?")


def _with_java_card(header: Element) -> Element:
    """eUICC-Mandatory-services with `javacard`, in the order of tags."""
    parts = parse_elements(header.value, WHAT)
    services = [part for part in parts if part.tag == SERVICES]
    if len(services) != 1:
        raise InputError(f"{WHAT} has no list of services in its header")
    wanted = {item.tag: item for item in parse_elements(services[0].value, WHAT)}
    wanted[JAVACARD] = Element(JAVACARD, b"")
    listed = Element(SERVICES, b"".join(wanted[tag].encode() for tag in sorted(wanted)))
    return Element(HEADER, b"".join((listed if part.tag == SERVICES else part).encode() for part in parts))


def _identification(item: Element) -> int:
    """Number of an element; 0 for the header, which has none. PEHeader is always the first part."""
    if item.tag == HEADER or not item.tag[0] & 0x20:
        return 0
    parts = parse_elements(item.value, WHAT)
    numbers = [part for part in parse_elements(parts[0].value, WHAT) if part.tag == b"\x81"] if parts else []
    if len(numbers) != 1 or not 1 <= len(numbers[0].value) <= 2:
        raise InputError(f"{WHAT} has an element without a number")
    return int.from_bytes(numbers[0].value, "big")


def _shaped(item: Element, tags: list[int]) -> list[Element]:
    parts = parse_elements(item.value, "an application element")
    if [part.tag for part in parts] != [bytes((tag,)) for tag in tags]:
        raise InputError("an application element is of another form than this program writes")
    return parts


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
