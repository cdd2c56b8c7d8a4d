"""Signatures a second with keys in files and beside them in a token (SoftHSM2, no hardware), on one thread."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from identity_oidc.config import KeySettings
from identity_oidc.tokens.id_token import sign
from identity_oidc.tokens.key_ring import KeyRing, rotate
from pki_chain.chain.signer import create_passphrase
from pki_chain.status.ocsp import encode_response
from pki_chain.status.status_key import StatusKeys
from tally_service.key_token import KeyToken, close_session
from tests.bench.figures import Figure, median_rate
from tests.key_token import make_token

_CLAIMS = {"iss": "https://login.example", "sub": "x" * 22, "aud": "shop", "exp": 1, "iat": 1, "nonce": "n" * 22}
_TIMES = 500


def measure() -> Iterator[Figure]:
    """ID Tokens of both algorithms, and OCSP answers of one certificate."""
    before = os.environ.get("SOFTHSM2_CONF")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["SOFTHSM2_CONF"] = str(root / "softhsm2.conf")
        try:
            yield from _beside(root, make_token(root))
        finally:
            close_session()
            if before is None:
                del os.environ["SOFTHSM2_CONF"]
            else:
                os.environ["SOFTHSM2_CONF"] = before


def _beside(root: Path, token: KeyToken) -> Iterator[Figure]:
    in_files, in_token = _rings(root, token)
    for algorithm in ("ES256", "RS256"):
        file, other = (
            _rate(lambda ring=ring, algorithm=algorithm: sign(ring, algorithm, "JWT", _CLAIMS))  # type: ignore[misc]
            for ring in (in_files, in_token)
        )
        yield Figure("keys", f"ID Tokens by {algorithm}, key in a token", other, "/s", "", file, "key in a file")
    create_passphrase(root / "passphrase")
    load = (root / "passphrase").read_bytes
    answered = []
    for keys in (StatusKeys(root / "a", load), StatusKeys(root / "b", load, token)):
        keys.create("Bench", int(time.time()) - 60)
        key = keys.signer(time.time())
        answered.append(_rate(lambda key=key: encode_response(key, 0, [b""], b"n" * 32)))  # type: ignore[misc]
    yield Figure("keys", "OCSP answers signed, key in a token", answered[1], "/s", "", answered[0], "key in a file")


def _rings(root: Path, token: KeyToken) -> tuple[KeyRing, KeyRing]:
    files = KeySettings(directory=root / "files")
    other = KeySettings(
        directory=root / "other",
        pkcs11_module=token.module,
        pkcs11_token=token.label,
        pkcs11_pin_file=token.pin_file,
    )
    for settings in (files, other):
        for algorithm in ("ES256", "RS256"):
            rotate(settings, time.time, algorithm)
    return KeyRing.open(files, time.time), KeyRing.open(other, time.time)


def _rate(act: Callable[[], object]) -> float:
    def work() -> int:
        for _ in range(_TIMES):
            act()
        return _TIMES

    return median_rate(work, time.perf_counter)
