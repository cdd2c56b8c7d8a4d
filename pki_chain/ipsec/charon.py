"""strongSwan's daemon, through vici: peers admitted and cut off, one connection each, pinned to one certificate.

There is no way to unload one certificate, so a peer is cut off by taking its connection and ending its IKE SAs by
force; no connection for anybody (`%any` without a certificate) may stand beside, or what was loaded once would still be
let in.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final

import vici  # type: ignore[import-untyped]
from vici.exception import CommandException, SessionException  # type: ignore[import-untyped]

from pki_chain.errors import TallyError
from pki_chain.ipsec.authority import IssuingAuthorities
from pki_chain.ipsec.peer import PREFIX, Peer
from pki_chain.ipsec.settings import CHILD, IpsecSettings

ISSUED: Final = "tally_issued"
"""The connection of all peers with CA-issued certificates."""

SOCKET: Final = Path("/var/run/charon.vici")
_TRIES: Final = 200
_PAUSE_S: Final = 0.005


class CharonError(TallyError):
    """The IKE daemon does not answer, or does not do what it is told."""

    code: ClassVar[str] = "charon"
    exit_code: ClassVar[int] = 69


class Charon:
    """One session with the daemon; after a `CharonError` it is opened anew with the next call."""

    def __init__(self, path: Path = SOCKET, timeout_s: float = 30.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._session: Any = None

    def load_key(self, settings: IpsecSettings) -> None:
        """Give the daemon our own private key. Raises `CharonError`."""
        self._do("load_key", {"type": "any", "data": settings.key})

    def connections(self) -> set[str]:
        """Names of our connections. Raises `CharonError`."""
        return _ours(name.decode() for name in self._do("get_conns").get("conns", ()))

    def associations(self) -> set[str]:
        """Names of those of our connections that have IKE SAs, half-open ones too. Raises `CharonError`."""
        return _ours(name for each in self._stream("list_sas", {}) for name in each)

    def admit(self, peer: Peer, settings: IpsecSettings) -> None:
        """Let a peer in from now on. Raises `CharonError`."""
        self._do("load_conn", {peer.name: settings.connection_to(peer)})

    def initiate(self, name: str, timeout_s: int) -> None:
        """Bring a peer's tunnel up, as the side that begins. Raises `CharonError` when it does not come up in time."""
        self._stream("initiate", {"child": CHILD, "ike": name, "timeout": str(1_000 * timeout_s)})

    def cut(self, name: str) -> bool:
        """Take a peer's connection, end its SAs without asking it, and see that none came meanwhile; whether there was
        a connection.

        Raises `CharonError` when SAs are still there in the end.
        """
        was_there = self._quietly("unload_conn", {"name": name})
        self.end(name)
        return was_there

    def end(self, name: str) -> None:
        """End the SAs of a connection, whatever the peer says, and see that none came meanwhile. Raises `CharonError`
        when some are left in the end."""
        for _ in range(_TRIES):
            self._quietly_stream("terminate", {"ike": name, "force": "yes", "timeout": "-1"})
            if not any(True for _ in self._stream("list_sas", {"ike": name})):
                return
            time.sleep(_PAUSE_S)  # an SA in the middle of IKE_AUTH ends by itself, or is seen in the next round
        raise CharonError(f"the IKE daemon does not end the SAs of {name}: restart it")

    def open_to_issued(self, settings: IpsecSettings, authority: IssuingAuthorities) -> None:
        """Let everybody in whose certificate these CAs issued and who is not revoked. Raises `CharonError`."""
        self.load_key(settings)
        for certificate in authority.list_signers:
            self._do("load_cert", {"type": "X509", "flag": "NONE", "data": certificate})
        for number, certificate in enumerate(authority.certificates):
            section: dict[str, Any] = {"cacert": certificate}
            if authority.ocsp_uris:
                section["ocsp_uris"] = list(authority.ocsp_uris)
            self._do("load_authority", {f"{ISSUED}-{number}": section})
        self._do("load_conn", {ISSUED: settings.connection_to_issued(authority)})

    def is_open_to_issued(self) -> bool:
        """Whether `open_to_issued` holds: a daemon that began anew knows nothing. Raises `CharonError`."""
        return ISSUED in {name.decode() for name in self._do("get_conns").get("conns", ())}

    def flush(self) -> None:
        """Forget OCSP answers and revocation lists, which the daemon keeps until their end. Raises `CharonError`."""
        for kind in ("OCSP_RESPONSE", "X509_CRL"):
            self._do("flush_certs", {"type": kind})

    def cut_issued(self, identities: Iterable[str] | None = None) -> int:
        """End the SAs of peers that `open_to_issued` let in, of these identities or all; how many. Raises `CharonError`
        when some are left in the end."""
        wanted = None if identities is None else {each.lower() for each in identities}
        seen: set[bytes] = set()
        for turn in range(_TRIES):
            found = [each[ISSUED] for each in self._stream("list_sas", {"ike": ISSUED}) if ISSUED in each]
            ended = [each for each in found if _is_among(each.get("remote-id", b"").decode(errors="replace"), wanted)]
            if not turn:  # who is just coming was perhaps asked about before the event, and has no name yet
                ended += [each for each in found if each not in ended and each["state"] != b"ESTABLISHED"]
            elif not ended:
                return len(seen)
            seen |= {each["uniqueid"] for each in ended}
            for each in ended:
                number = each["uniqueid"].decode()
                self._quietly_stream("terminate", {"ike-id": number, "force": "yes", "timeout": "-1"})
            if turn:
                time.sleep(_PAUSE_S)
        raise CharonError("the IKE daemon does not end SAs of peers that are revoked: restart it")

    def close_to_issued(self) -> int:
        """Let nobody in by `open_to_issued` any more, and end the SAs of all; how many. Raises `CharonError`."""
        self._quietly("unload_conn", {"name": ISSUED})
        return self.cut_issued()

    def _quietly(self, command: str, argument: dict[str, Any]) -> bool:
        """As `_do`; False where there is nothing to do it to."""
        try:
            self._do(command, argument)
        except _NothingThereError:
            return False
        return True

    def _quietly_stream(self, command: str, argument: dict[str, Any]) -> None:
        try:
            self._stream(command, argument)
        except _NothingThereError:
            return

    def _do(self, command: str, *arguments: dict[str, Any]) -> dict[str, Any]:
        session = self._open()
        try:
            return getattr(session, command)(*arguments) or {}
        except CommandException as error:
            raise _NothingThereError(f"the IKE daemon refuses {command}: {error}") from error
        except (SessionException, OSError) as error:
            raise self._broken(error) from error

    def _stream(self, command: str, argument: dict[str, Any]) -> list[dict[str, Any]]:
        session = self._open()
        try:
            return list(getattr(session, command)(argument))
        except CommandException as error:
            raise _NothingThereError(f"the IKE daemon refuses {command}: {error}") from error
        except (SessionException, OSError) as error:
            raise self._broken(error) from error

    def _open(self) -> Any:
        if self._session is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(self._timeout_s)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                connection.close()
                raise self._broken(error) from error
            self._session = vici.Session(connection)
        return self._session

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.transport.close()
            self._session = None

    def _broken(self, error: Exception) -> CharonError:
        self.close()
        return CharonError(f"the IKE daemon does not answer at {self._path}: start it", detail=repr(error))


class _NothingThereError(CharonError):
    """The daemon answered, and refused."""


def _ours(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith(PREFIX)}


def _is_among(identity: str, wanted: set[str] | None) -> bool:
    """Whether an SA's peer is one of these, in lower case; None are all. The daemon does not tell case in names apart,
    and a distinguished name stands in no event: whoever goes by one must come again, and is asked about then."""
    return wanted is None or identity.lower() in wanted or "=" in identity
