"""CAs on the real ledger of the proofs, and certificates that they issued, in each state that a CA can bring about."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from pki_chain.ports import TrustScope
from pki_chain.x509.authority import parse_authority
from tests.authorities import issued, issuing, root, rsa_authority_key
from tests.certificates import ANY_PURPOSE, CLIENT_AUTH, IPSEC_IKE, SERVER_AUTH, Draft, integer, key, key_purposes, name
from tests.ledger import OEM, OPERATOR, VENDOR, Consortium
from tests.trust_list import at, end, publish, trust_root, withdraw

CELL_CA = 4
FIRST_KEY = 120
"""Devices have the keys from this number on, in the order of the paths."""
_PURPOSES = {
    "issued for any purpose": (ANY_PURPOSE,),
    "issued for IKE": (IPSEC_IKE,),
    "issued for TLS": (SERVER_AUTH, CLIENT_AUTH),
}
IKE, BOTH = TrustScope.IKE, TrustScope.IKE | TrustScope.TLS


def authority_id(draft: Draft) -> bytes:
    return parse_authority(draft.encode()).id


def put_issued(consortium: Consortium) -> tuple[dict[str, bytes], dict[str, tuple[bytes, ...]]]:
    """Certificates by name, and by the same name the CAs above each.

    "issued" is of a CA that was renewed since, "issued after the renewal" of the renewed one; one each is of an RSA CA
    and of one below three; "issued by a withdrawn CA" and "issued, replaced CA withdrawn" are revoked by what was done
    to a CA.
    """
    label = secrets.token_hex(4)
    top = at(consortium, root(f"Root {label}", key(110)), 3_000)
    policy = at(consortium, issuing(top, f"Policy {label}", key(111), path_length=None), 2_000)
    region = at(consortium, issuing(policy, f"Region {label}", key(112), path_length=None), 1_900)
    below = {
        "cells": at(consortium, issuing(top, f"Cells {label}", key(113)), 1_800),
        "classic": at(consortium, issuing(top, f"Classic {label}", rsa_authority_key()), 1_800),
        "site": at(consortium, issuing(region, f"Site {label}", key(114)), 1_800),
        "fallen": at(consortium, issuing(top, f"Fallen {label}", key(115)), 1_800),
        "replaced": at(consortium, issuing(top, f"Replaced {label}", key(116)), 1_800),
        "both": at(consortium, issuing(top, f"Both {label}", key(117)), 1_800),
    }
    renewed = {each: below[each].replace(serial_number=integer(4_711)) for each in ("cells", "replaced")}
    trust_root(consortium, top.encode(), BOTH, end(consortium, 2_900))
    publish(consortium, policy.encode(), BOTH, end(consortium, 1_850))
    publish(consortium, region.encode(), BOTH, end(consortium, 1_800))
    for each, draft in below.items():
        publish(consortium, draft.encode(), BOTH if each == "both" else IKE, end(consortium, 1_700))
    issuers = {
        "issued": below["cells"],
        "issued and held": below["cells"],
        "issued under RSA": below["classic"],
        "issued below three": below["site"],
        "issued by a withdrawn CA": below["fallen"],
        "issued, replaced CA withdrawn": below["replaced"],
        "issued for any purpose": below["both"],
        "issued for IKE": below["both"],
        "issued for TLS": below["both"],
        "issued under both": below["both"],
        "issued and unknown": below["cells"],
    }
    later = {"issued after the renewal": renewed["cells"], "issued after that CA": renewed["replaced"]}
    certificates = {
        each: _device(consortium, issuer, number, _PURPOSES.get(each, ()))
        for number, (each, issuer) in enumerate((issuers | later).items(), FIRST_KEY)
    }
    _accept(consortium, [certificates[each] for each in issuers if each != "issued and unknown"])
    for each in renewed.values():
        publish(consortium, each.encode(), IKE, end(consortium, 1_700))
    _next_second(consortium)
    _accept(consortium, [certificates[each] for each in later])
    withdraw(consortium, authority_id(below["fallen"]), 1)
    withdraw(consortium, authority_id(below["replaced"]), 4)
    above = {draft.encode(): (top,) for draft in (*below.values(), *renewed.values())}
    above[below["site"].encode()] = (region, policy, top)
    paths = {
        each: tuple(authority_id(draft) for draft in (issuer, *above[issuer.encode()]))
        for each, issuer in (issuers | later).items()
    }
    return certificates, paths


def _device(consortium: Consortium, authority: Draft, number: int, purposes: Sequence[str]) -> bytes:
    owner = consortium.members[VENDOR]
    draft = issued(authority, f"{secrets.token_hex(6)}.{owner.space}")
    if purposes:
        draft = draft.replace(extensions=(*draft.extensions, key_purposes(*purposes)))
    return at(consortium, draft.replace(subject=name(owner.name), key=key(number)), 365).encode()


def _accept(consortium: Consortium, certificates: list[bytes]) -> None:
    batch = consortium.submit(certificates, consortium.open_lot(profile=CELL_CA), profile=CELL_CA)
    assert consortium.ledger.batch(batch).present == (1 << len(certificates)) - 1
    for endorser in (OPERATOR, OEM):
        assert consortium.endorse(batch, endorser).succeeded


def _next_second(consortium: Consortium) -> None:
    """A CA that takes another's place issues from the next second on; every lot is a block."""
    begun = consortium.now()
    while consortium.now() == begun:
        consortium.open_lot()
