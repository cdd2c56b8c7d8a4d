"""Keeping a security gateway's peers those whose certificates are valid on the ledger now.

Two sources: signed bundles, by which alone peers are let in, and the change feed, which only ever cuts off and so need
not be believed. Where nobody vouches for the peers any more, all are cut off.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from pki_chain.errors import TallyError
from pki_chain.ipsec.charon import Charon
from pki_chain.ipsec.peer import Peer, connection_name, parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.monitor.bundle_directory import CURRENT, BundleDirectory
from pki_chain.x509.errors import CertificateRefusedError

ENDS: Final = frozenset({"held", "revoked", "superseded", "expired"})
PAGE: Final = 1_000

log = logging.getLogger(__name__)


class Feed(Protocol):
    """Where the change feed is read, such as `GatewayReader`."""

    def read_object(self, path: str, query: Mapping[str, object]) -> dict[str, Any]: ...


class Carried(Protocol):
    """Certificates that proofs show to be valid now, such as `ProofFolder`."""

    def certificates(self, now: float) -> Mapping[bytes, int]:
        """DER, and the block of the proof."""


class Pass(Protocol):
    """Something else that is done at each look, such as `IssuedPeers`; how many peers it cut off."""

    def look(self, now: float) -> int: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Peers that may come in now, and how many were let in and cut off by this pass."""

    peers: int
    admitted: int
    cut: int


class PeerTable:
    """Makes the daemon's connections those of the peers that may come in."""

    def __init__(self, charon: Charon, settings: IpsecSettings) -> None:
        self._charon = charon
        self._settings = settings
        self._known: dict[bytes, Peer] = {}
        self._has_key = False

    def reconcile(self, certificates: Iterable[bytes], now: float, *, admit: bool = True) -> Outcome:
        """Cut off everybody who is not among these certificates or whose own has ended; then, with `admit`, let the
        others in. What the daemon has is asked each time, so that it may be restarted. Raises `CharonError`."""
        wanted = {peer.name: peer for peer in self._peers(certificates) if peer.is_current(now)}
        wanted.pop(self._settings.local.name, None)
        loaded = self._charon.connections()
        if not loaded:
            self._has_key = False
        gone = (loaded | self._charon.associations()) - wanted.keys()
        for name in sorted(gone):
            self._charon.cut(name)
        new = sorted(wanted.keys() - loaded) if admit else []
        if new and not self._has_key:
            self._charon.load_key(self._settings)
            self._has_key = True
        for name in new:
            self._charon.admit(wanted[name], self._settings)
        return Outcome(len(wanted), len(new), len(gone))

    def cut(self, sha256: bytes) -> bool:
        """Cut the holder of one certificate off; whether it was let in before. Raises `CharonError`."""
        return self._charon.cut(connection_name(sha256))

    def _peers(self, certificates: Iterable[bytes]) -> Iterable[Peer]:
        """Peers of the certificates; each is parsed once, as long as it is listed."""
        known: dict[bytes, Peer] = {}
        for der in certificates:
            try:
                known[der] = self._known.get(der) or parse_peer(der)
            except CertificateRefusedError as error:
                log.warning("a published certificate can be no peer: %s", error)
        self._known = known
        return known.values()


class IpsecSync:
    """One pass after the other: feed, bundle, daemon."""

    def __init__(
        self,
        table: PeerTable,
        bundle: BundleDirectory,
        directory: Path,
        feed: Feed,
        *,
        issued: Pass | None = None,
        carried: Carried | None = None,
    ) -> None:
        """`directory` is the bundle's; `issued` takes care of peers whose certificates CAs issued; `carried` has proofs
        of peers, for when no gateway answers."""
        self._table = table
        self._bundle = bundle
        self._directory = directory
        self._feed = feed
        self._issued = issued
        self._carried = carried
        self._cursor = "now"
        self._block = 0
        self._vouched: set[str] = set()

    def look(self, now: float) -> Outcome:
        """Bring the daemon up to date. Raises `CharonError`; `StorageError`. That gateways do not answer is no error
        until what they said is too old; then all peers are cut off."""
        cut = self._issued.look(now) if self._issued is not None else 0
        cut += self._follow()
        try:
            vouched = not self._bundle.look(now).withdrawn
        except TallyError as error:
            log.warning("peers stay as they are for now: %s", error)
            vouched = False
        certificates = self._certificates()
        if vouched:
            self._vouched = {_name(der) for der in certificates}
        certificates += self._proven(now)
        # A gateway that lags behind the feed must not let in again whom the feed cut off.
        outcome = self._table.reconcile(certificates, now, admit=self._bundle.block >= self._block)
        return replace(outcome, cut=outcome.cut + cut)

    def _follow(self) -> int:
        """Cut off whom the feed names; how many there were."""
        cut = 0
        try:
            more = True
            while more:
                page = self._feed.read_object("/v1/changes", {"after": self._cursor, "limit": PAGE})
                for change in page["changes"]:
                    self._block = max(self._block, int(change["block"]))
                    if change["kind"] in ENDS:
                        sha256 = bytes.fromhex(change["sha256"])
                        self._vouched.discard(connection_name(sha256))
                        cut += self._table.cut(sha256)
                self._cursor, more = str(page["cursor"]), bool(page["more"])
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a page of the feed is not of its form: %r", error)
        except TallyError as error:
            if error.code == "charon":
                raise
            log.warning("the feed is not read for now: %s", error)
        return cut

    def _proven(self, now: float) -> list[bytes]:
        """Peers by their proofs. What gateways said later than the proof counts more: an older one is only for peers
        whom they vouched for last."""
        if self._carried is None:
            return []
        try:
            proven = self._carried.certificates(now)
        except TallyError as error:
            log.warning("no proof lets anybody in: %s", error)
            return []
        known = max(self._bundle.block, self._block)
        return [der for der, block in proven.items() if block > known or _name(der) in self._vouched]

    def _certificates(self) -> list[bytes]:
        folder = self._directory / CURRENT / "certificates"
        if not folder.is_dir():
            return []
        return [ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii")) for path in sorted(folder.iterdir())]


def _name(der: bytes) -> str:
    return connection_name(hashlib.sha256(der).digest())
