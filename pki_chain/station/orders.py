"""Orders that a person's or a line's key signs on its own machine, and any gateway carries to the ledger."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData, TypedTexts
from pki_chain.errors import LedgerUnavailableError, RefusedError
from pki_chain.ports import Address, HoldKind, LotTerms, Role, TrustScope
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.x509.certificate import Certificate

DEADLINE_S: Final = 3_600
_SHORTEST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """An order that is on the ledger: its id at the gateway and the hash of its transaction."""

    id: str
    transaction: bytes


class Orders:
    """Signs orders with one key and sends them through gateways; each method waits until the ledger has it.

    Every method raises `RefusedError` when gateway or ledger refuse, and `LedgerUnavailableError` when no gateway
    answers or the outcome is not known after `timeout_s`.
    """

    def __init__(
        self,
        texts: TypedTexts,
        signer: Signer,
        gateways: GatewayClient,
        *,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._texts = texts
        self._signer = signer
        self._gateways = gateways
        self._timeout_s = timeout_s
        self._clock = clock

    @property
    def signer(self) -> Address:
        return self._signer.address

    def hold(self, certificate: bytes, kind: HoldKind, reason: int, counter: int) -> OrderOutcome:
        """Hold a certificate; `counter` is its hold counter as it stands."""
        deadline = self._deadline()
        typed = self._texts.hold(certificate, kind, reason, counter, deadline)
        return self._send("hold", typed, _hold_fields(certificate, kind, reason, counter, deadline))

    def release(self, certificate: bytes, kind: HoldKind, reason: int, counter: int) -> OrderOutcome:
        """Lift a hold of this kind."""
        deadline = self._deadline()
        typed = self._texts.release(certificate, kind, reason, counter, deadline)
        return self._send("release", typed, _hold_fields(certificate, kind, reason, counter, deadline))

    def revoke(self, certificate: bytes, reason: int) -> OrderOutcome:
        """Revoke a certificate for good; `reason` is RFC 5280's CRLReason."""
        deadline = self._deadline()
        typed = self._texts.revoke(certificate, reason, deadline)
        fields = {"certificate": _hex(certificate), "reason": reason, "deadline": deadline}
        return self._send("revoke", typed, fields)

    def revoke_by_key(self, spki_hash: bytes, certificates: Sequence[Certificate], reason: int) -> OrderOutcome:
        """Revoke the signer's own certificates under one key, at most 200, with one signature."""
        deadline = self._deadline()
        fields = {
            "spki_hash": _hex(spki_hash),
            "tbs_hashes": [_hex(certificate.tbs_hash) for certificate in certificates],
            "reason": reason,
            "deadline": deadline,
        }
        return self._send("revoke-key", self._texts.revoke_key(spki_hash, reason, deadline), fields)

    def open_lot(self, terms: LotTerms) -> OrderOutcome:
        """Open a lot."""
        nonce, deadline = secrets.randbits(256), self._deadline()
        typed = self._texts.open_lot(terms, nonce, deadline)
        fields = {"terms": terms_fields(terms), "nonce": str(nonce), "deadline": deadline}
        return self._send("open-lot", typed, fields)

    def close_lot(self, lot: int) -> OrderOutcome:
        """Close a lot: nothing more gets in."""
        deadline = self._deadline()
        return self._send("close-lot", self._texts.close_lot(lot, deadline), {"lot": lot, "deadline": deadline})

    def set_account(
        self, member: int, account: Address, role: Role, *, active: bool, consent: bytes = b""
    ) -> OrderOutcome:
        """Add, suspend or restore an account of the signer's own member; `consent` is a new one's over `Join`."""
        nonce, deadline = secrets.randbits(256), self._deadline()
        typed = self._texts.set_account(member, account, role, nonce, deadline, active=active)
        fields = {
            "member": member,
            "account": account,
            "role": int(role),
            "active": active,
            "consent": _hex(consent),
            "nonce": str(nonce),
            "deadline": deadline,
        }
        return self._send("set-account", typed, fields)

    def propose(self, kind: int, content: bytes) -> OrderOutcome:
        """Propose, which is also the first vote for it."""
        nonce, deadline = secrets.randbits(256), self._deadline()
        typed = self._texts.propose(kind, content, nonce, deadline)
        fields = {"kind": kind, "content": _hex(content), "nonce": str(nonce), "deadline": deadline}
        return self._send("propose", typed, fields)

    def vote(self, proposal: int, content_hash: bytes, *, support: bool) -> OrderOutcome:
        """Vote on a proposal, bound to its content."""
        deadline = self._deadline()
        typed = self._texts.vote(proposal, content_hash, deadline, support=support)
        fields = {
            "proposal": proposal,
            "content_hash": _hex(content_hash),
            "support": support,
            "deadline": deadline,
        }
        return self._send("vote", typed, fields)

    def publish_authority(self, der: bytes, member: int, scope: TrustScope, until: int) -> OrderOutcome:
        """Put a CA of `member` on the trust list, whose certificate a CA of the signer's member signed."""
        deadline = self._deadline()
        typed = self._texts.publish_authority(der, member, scope, until, deadline)
        fields = {"der": _hex(der), "member": member, "scope": int(scope), "until": until, "deadline": deadline}
        return self._send("publish-authority", typed, fields)

    def withdraw_authority(self, identity: bytes, reason: int) -> OrderOutcome:
        """End an authority and all below it, or a delegation, for good; `reason` is RFC 5280's CRLReason."""
        deadline = self._deadline()
        typed = self._texts.withdraw(identity, reason, deadline)
        return self._send("withdraw-authority", typed, {"id": _hex(identity), "reason": reason, "deadline": deadline})

    def execute(self, proposal: int, content: bytes) -> OrderOutcome:
        """Carry out an adopted proposal; nobody's signature is needed."""
        fields = {"order": "execute", "proposal": proposal, "content": _hex(content)}
        return relay(self._gateways, fields, self._timeout_s)

    def _deadline(self) -> int:
        return int(self._clock()) + DEADLINE_S

    def _send(self, order: str, typed: TypedData, fields: Mapping[str, Any]) -> OrderOutcome:
        content = {
            "order": order,
            **fields,
            "signer": self._signer.address,
            "signature": _hex(self._signer.sign(typed)),
        }
        return relay(self._gateways, content, self._timeout_s)


def relay(gateways: GatewayClient, order: Mapping[str, Any], timeout_s: float = 60.0) -> OrderOutcome:
    """Post an order and wait until the ledger has it. Raises as the methods of `Orders`."""
    identifier = str(gateways.post("/v1/orders", order).get("id"))
    end = time.monotonic() + timeout_s
    pause_s = _SHORTEST_PAUSE_S
    while time.monotonic() < end:
        answer = gateways.get(f"/v1/orders/{identifier}")
        if answer.get("state") == "done":
            return OrderOutcome(identifier, bytes.fromhex(str(answer.get("transaction")).removeprefix("0x")))
        if answer.get("state") == "failed":
            raise RefusedError(f"the ledger refused the order: {answer.get('reason')}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    raise LedgerUnavailableError(
        f"order {identifier} was taken, but is not on the ledger after {timeout_s:g} s: "
        f"ask again at /v1/orders/{identifier}"
    )


def relay_delegation(gateways: GatewayClient, der: bytes, timeout_s: float = 60.0) -> OrderOutcome:
    """Put a delegation on the trust list: the CA's own signature in it is all that is needed. Raises as `relay`."""
    return relay(gateways, {"order": "delegate", "der": _hex(der)}, timeout_s)


def terms_fields(terms: LotTerms) -> dict[str, Any]:
    """Terms of a lot as REST takes them."""
    return {
        "owner": terms.owner,
        "profile": terms.profile,
        "maximum": terms.maximum,
        "closes_at": terms.closes_at,
        "stations": list(terms.stations),
        "ranges": [
            {
                "kind": int(each.kind),
                "bits": each.bits,
                "first": str(each.first),
                "last": str(each.last),
                "value": _hex(each.value),
            }
            for each in terms.ranges
        ],
    }


def _hold_fields(certificate: bytes, kind: HoldKind, reason: int, counter: int, deadline: int) -> dict[str, Any]:
    return {
        "certificate": _hex(certificate),
        "kind": int(kind),
        "reason": reason,
        "counter": counter,
        "deadline": deadline,
    }


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
