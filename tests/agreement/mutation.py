"""Bent certificates: any part of the DER tree changed, lengths mended or not, and signed again so that the checks
behind the signature are reached.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.certificates import RSA_SHA256, integer, key, oid, rsa_key, sequence, sign, tlv

OCTET_STRING, BIT_STRING = 0x04, 0x03
INTERESTING_TAGS = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1F, 0x24, 0x30, 0x31)
INTERESTING_TAGS += (0x80, 0x82, 0x86, 0x87, 0xA0, 0xA1, 0xA2, 0xA3, 0xBF)
INTERESTING_OCTETS = (0x00, 0x01, 0x2A, 0x2D, 0x2E, 0x30, 0x39, 0x3A, 0x41, 0x5A, 0x61, 0x7F, 0x80, 0x81, 0xC0, 0xFF)
INTERESTING_PARTS = (
    b"\x05\x00",
    b"\x01\x01\xff",
    b"\x01\x01\x00",
    b"\x30\x00",
    b"\x1f\x00",
    integer(0),
    integer(-1),
    tlv(0x02, b"\x00\x01"),
    oid("2.5.29.15"),
    tlv(0x06, b"\x80\x01"),
    sequence(oid("1.2.3"), tlv(0x04, b"x")),
    sequence(oid("1.2.3"), b"\x01\x01\xff", tlv(0x04, b"x")),
    tlv(0x82, b"a.cells.acme.example"),
    tlv(0x0C, b"text"),
    b"",
)


@dataclass(frozen=True)
class Node:
    """An element: its children when it is made of elements, else its octets. `head` stands before the children."""

    tag: int
    octets: bytes
    children: tuple[Node, ...] | None = None
    head: bytes = b""
    length: Callable[[bytes], bytes] | None = None

    def encode(self) -> bytes:
        content = self.octets if self.children is None else self.head + b"".join(c.encode() for c in self.children)
        return bytes([self.tag]) + self.length(content) + content if self.length else tlv(self.tag, content)


def parse(data: bytes) -> tuple[Node, ...]:
    """The elements of good DER. Strings that hold an element are taken apart as well."""
    nodes = []
    while data:
        tag, size, at = data[0], data[1], 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(data[2:at])
        content, data = data[at : at + size], data[at + size :]
        if len(content) != size:
            raise ValueError("cut short")
        nodes.append(_node(tag, content))
    return tuple(nodes)


def _node(tag: int, content: bytes) -> Node:
    head = b"\x00" if tag == BIT_STRING else b""
    if tag & 0x20 or (tag in {OCTET_STRING, BIT_STRING} and content[len(head) :][:1] in {b"\x30", b"\x03", b"\x04"}):
        try:
            return Node(tag, content, parse(content[len(head) :]), head)
        except (ValueError, IndexError):
            pass
    return Node(tag, content)


def paths(node: Node, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every element below, by the indices that lead to it; the root is ()."""
    yield path
    for index, child in enumerate(node.children or ()):
        yield from paths(child, (*path, index))


def find(node: Node, path: tuple[int, ...]) -> Node:
    for index in path:
        assert node.children is not None
        node = node.children[index]
    return node


def put(node: Node, path: tuple[int, ...], *instead: Node | bytes) -> Node:
    """The same tree with other elements, or raw octets, at that place."""
    if not path:
        return instead[0] if instead and isinstance(instead[0], Node) else node
    assert node.children is not None
    index, *rest = path
    if rest:
        changed: tuple[Node, ...] = (put(node.children[index], tuple(rest), *instead),)
    else:
        changed = tuple(part if isinstance(part, Node) else Raw(0, part) for part in instead)
    return dataclasses.replace(node, children=node.children[:index] + changed + node.children[index + 1 :])


@dataclass(frozen=True)
class Raw(Node):
    """Octets that need not be an element."""

    def encode(self) -> bytes:
        return self.octets


def _indefinite(content: bytes) -> bytes:
    return b"\x80"


def _long(octets: int, change: int = 0) -> Callable[[bytes], bytes]:
    return lambda content: bytes([0x80 | octets]) + (len(content) + change).to_bytes(octets)


def _off_by(change: int) -> Callable[[bytes], bytes]:
    return lambda content: tlv(0x04, content + b"\0" * change if change > 0 else content[:change])[
        1 : -(len(content) + change) or None
    ]


LENGTHS: tuple[Callable[[bytes], bytes], ...] = (_indefinite, _long(2), _long(3), _long(4), _off_by(1), _off_by(-1))


def systematic(root: Node) -> Iterator[Node]:
    """Every element bent in every way of a fixed list."""
    for path in paths(root):
        node = find(root, path)
        for tag in INTERESTING_TAGS:
            yield put(root, path, dataclasses.replace(node, tag=tag))
        for length in LENGTHS:
            yield put(root, path, dataclasses.replace(node, length=length))
        for part in INTERESTING_PARTS:
            yield put(root, path, part)
            yield put(root, path, node, part)
            yield put(root, path, part, node)
        yield put(root, path, node, node)
        yield from (put(root, path, bent) for bent in contents(node))


def contents(node: Node) -> Iterator[Node]:
    """One element with other octets inside."""
    octets = node.encode()[-len(node.octets) :] if node.octets else b""
    plain = Node(node.tag, octets)
    for changed in (b"", octets[1:], octets[:-1], octets * 2, b"\0" + octets, b"\xff" + octets, octets + b"\0"):
        yield dataclasses.replace(plain, octets=changed)
    if node.children is None:
        for position in {0, len(octets) // 2, len(octets) - 1} & set(range(len(octets))):
            for octet in INTERESTING_OCTETS:
                bent = octets[:position] + bytes([octet]) + octets[position + 1 :]
                yield dataclasses.replace(plain, octets=bent)


def bend(root: Node, random: Random) -> Node:
    """One change somewhere below the root."""
    path = random.choice([path for path in paths(root) if path])
    node = find(root, path)
    kind = random.randrange(8)
    if kind == 0:
        return put(root, path, dataclasses.replace(node, tag=random.choice([*INTERESTING_TAGS, random.randrange(256)])))
    if kind == 1:
        return put(root, path, dataclasses.replace(node, length=random.choice(LENGTHS)))
    if kind == 2:
        return put(root, path, *random.sample([node, random.choice(INTERESTING_PARTS)], random.randrange(3)))
    if kind == 3:
        other = find(root, random.choice([path for path in paths(root) if path]))
        return put(root, path, *([other] if random.random() < 0.5 else [node, other]))
    if kind == 4 and len(path) > 0:
        parent = find(root, path[:-1])
        assert parent.children is not None
        shuffled = random.sample(parent.children, len(parent.children))
        return put(root, path[:-1], dataclasses.replace(parent, children=tuple(shuffled)))
    octets = bytearray(node.octets)
    for _ in range(random.randrange(1, 3)):
        at = random.randrange(len(octets) + 1)
        new = random.choice([random.choice(INTERESTING_OCTETS), random.randrange(256)])
        octets[at : at + random.randrange(2)] = [new] * random.randrange(3)
    return put(root, path, Node(node.tag, bytes(octets)))


def signed_again(certificate: Node, signed: bytes | None = None) -> bytes:
    """The tree as bytes, with a good signature over its first element (or over `signed`) by a key of the tests."""
    assert certificate.children is not None
    signed_part, *rest = (child.encode() for child in certificate.children)
    signed_part = signed_part if signed is None else signed
    by_rsa = len(rest) > 0 and rest[0] == RSA_SHA256
    signature = sign(rsa_key() if by_rsa else key(), signed_part)
    return tlv(certificate.tag, signed_part, *rest[:-1], tlv(BIT_STRING, b"\0", signature))


def bent_bytes(data: bytes, random: Random) -> bytes:
    """A few octets changed, put in or taken out."""
    octets = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(octets) + 1)
        octets[at : at + random.randrange(2)] = random.randbytes(random.randrange(3))
    return bytes(octets)
