"""`tally sim keygen|public-key|sign|csr|certificate`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sim_applet_tools.cli.card_choice import CardChoice, card_options, key_name, seen_nonces
from sim_applet_tools.cli.output import json_option, print_result, read_secret, secret_option, write_file
from sim_applet_tools.errors import InputError
from sim_applet_tools.iot_safe.commands import Algorithm, Mode, ObjectName
from sim_applet_tools.iot_safe.pin import (
    APPROVAL_KEY,
    CERTIFICATE_FILE,
    DEVICE_KEY,
    MAX_FILE_BYTES,
    POSSESSION_PREFIX,
    ApprovalCard,
)
from sim_applet_tools.iot_safe.rsa import read_rsa_public_key, sign_rsa
from sim_applet_tools.iot_safe.session import IotSafeApplet

key_option = click.option("--key", default="device", show_default=True, help="approval, device, session, or an id.")
pin_option = secret_option("--pin-file", "PIN")
ALGORITHMS = {"ecdsa": Algorithm.ECDSA, "rsa-pkcs1": Algorithm.RSA_PKCS1, "rsa-pss": Algorithm.RSA_PSS}


@click.command(short_help="Make a key pair on the card.")
@card_options
@key_option
@json_option
def keygen(card: CardChoice, key: str, as_json: bool) -> None:
    """Make a key pair on the card; the private key never leaves it. Persistent keys: before personalisation only."""
    with card.applet() as applet:
        _print_key(applet.generate_key_pair(key_name(key)), key, as_json=as_json)


@click.command(name="public-key", short_help="Read a public key.")
@card_options
@key_option
@pin_option
@json_option
def public_key(card: CardChoice, key: str, pin_file: str | None, as_json: bool) -> None:
    """Read a public key; that of the approval key needs the PIN."""
    with card.applet() as applet:
        _print_key(_public_key(applet, key_name(key), pin_file), key, as_json=as_json)


@click.command(short_help="Sign a file with a key of the card.")
@card_options
@key_option
@click.option("--mode", type=click.Choice(["text", "hash", "last-block"]), default="text", show_default=True)
@click.option(
    "--algorithm", type=click.Choice(list(ALGORITHMS)), default="ecdsa", show_default=True, help="RSA where offered."
)
@pin_option
@click.argument("file", type=click.File("rb"))
@json_option
def sign(card: CardChoice, key: str, mode: str, algorithm: str, pin_file: str | None, file: Any, as_json: bool) -> None:
    """Sign FILE (- for standard input) with SHA-256; prints base64url, as JWS has it: r and s, or RSA's number."""
    text = file.read()
    modes = {"text": Mode.FULL_TEXT, "hash": Mode.HASH, "last-block": Mode.LAST_BLOCK}
    with card.applet() as applet:
        name = key_name(key)
        if ALGORITHMS[algorithm] is not Algorithm.ECDSA:
            public = read_rsa_public_key(applet, name)
            signature = sign_rsa(applet, name, text, public, algorithm=ALGORITHMS[algorithm], mode=modes[mode])
            raw = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
            print_result({"key": key, "signature": raw}, raw, as_json=as_json)
            return
        if name == APPROVAL_KEY and applet.profile.has_pin:
            signature = _sign_approval(applet, text, pin_file)
        else:
            signature = applet.sign(name, text, applet.public_key(name), mode=modes[mode], seen=seen_nonces())
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    raw = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    print_result({"key": key, "signature": raw, "der": der.hex()}, raw, as_json=as_json)


def _sign_approval(applet: IotSafeApplet, text: bytes, pin_file: str | None) -> bytes:
    card = ApprovalCard(applet)
    if card.status().state_name == "fresh":
        if not text.startswith(POSSESSION_PREFIX):
            raise InputError("a fresh card's approval key signs possession texts only: personalise the card first")
        return applet.sign(APPROVAL_KEY, text, applet.public_key(APPROVAL_KEY), seen=seen_nonces())
    return card.sign_approval(text, read_secret(pin_file, "PIN"), seen=seen_nonces())


@click.command(short_help="Certificate signing request of the device key.")
@card_options
@click.option("--subject", required=True, help="RFC 4514, for example CN=device-1,O=Example.")
@click.option("--dns", "names", multiple=True, help="A dNSName; may be given more than once.")
@json_option
def csr(card: CardChoice, subject: str, names: tuple[str, ...], as_json: bool) -> None:
    """Print a certificate signing request of the device key, in PEM."""
    try:
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string(subject))
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
    except ValueError as error:
        raise InputError(f"subject {subject!r} or a name is malformed: {error}") from error
    with card.applet() as applet:
        request = builder.sign(CardKey(applet, DEVICE_KEY, applet.public_key(DEVICE_KEY)), hashes.SHA256())
    pem = request.public_bytes(Encoding.PEM).decode()
    print_result({"csr": pem}, pem.rstrip(), as_json=as_json)


@click.command(short_help="Read or store the device key's certificate.")
@card_options
@click.option("--store", type=click.Path(path_type=Path, exists=True), help="Put this certificate (PEM or DER) there.")
@click.option("--output", type=click.Path(path_type=Path), help="Write PEM to this file.")
@pin_option
@json_option
def certificate(card: CardChoice, store: Path | None, output: Path | None, pin_file: str | None, as_json: bool) -> None:
    """Read the device key's certificate from the card, or store one that fits that key."""
    with card.applet() as applet:
        if store is not None:
            found = _load_certificate(store.read_bytes())
            _store_certificate(applet, found, pin_file)
        else:
            found = _load_certificate(applet.read_file(CERTIFICATE_FILE))
    pem = found.public_bytes(Encoding.PEM)
    if output is not None:
        write_file(output, pem)
    print_result({"certificate": pem.decode()}, pem.decode().rstrip(), as_json=as_json)


def _store_certificate(applet: IotSafeApplet, found: x509.Certificate, pin_file: str | None) -> None:
    on_card = applet.public_key(DEVICE_KEY)
    if found.public_key() != on_card:
        raise InputError("the certificate is for another key than the card's device key: use the one made for its CSR")
    der = found.public_bytes(Encoding.DER)
    if len(der) > MAX_FILE_BYTES:
        raise InputError(f"the certificate has {len(der)} bytes; the card takes {MAX_FILE_BYTES}")
    card = ApprovalCard(applet)
    if card.status().state_name == "fresh":
        card.write_file(CERTIFICATE_FILE, der)
        return
    pin = read_secret(pin_file, "PIN")
    with card.transaction():
        card.verify_pin(pin)
        card.write_file(CERTIFICATE_FILE, der)


class CardKey(ec.EllipticCurvePrivateKey):
    """A private key that stays on its card, for builders of cryptography; it signs, and nothing else."""

    def __init__(self, applet: IotSafeApplet, name: ObjectName, public: ec.EllipticCurvePublicKey) -> None:
        self._applet = applet
        self._name = name
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise UnsupportedAlgorithm("the card signs with SHA-256")
        raw = self._applet.sign(self._name, bytes(data), self._public, seen=seen_nonces())
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:  # noqa: ARG002
        raise UnsupportedAlgorithm("this key signs only")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise UnsupportedAlgorithm("the private key stays on the card")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:  # noqa: A002, ARG002
        raise UnsupportedAlgorithm("the private key stays on the card")

    def __copy__(self) -> CardKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CardKey:
        return self


def _public_key(applet: IotSafeApplet, name: ObjectName, pin_file: str | None) -> ec.EllipticCurvePublicKey:
    if name != APPROVAL_KEY or not applet.profile.has_pin:
        return applet.public_key(name)
    card = ApprovalCard(applet)
    fresh = card.status().state_name == "fresh"
    return card.read_public_key(None if fresh else read_secret(pin_file, "PIN"))


def _print_key(key: ec.EllipticCurvePublicKey, name: str, *, as_json: bool) -> None:
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    print_result({"key": name, "public_key": pem, "point": point}, pem.rstrip(), as_json=as_json)


def _load_certificate(raw: bytes) -> x509.Certificate:
    try:
        if raw.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(raw)
        return x509.load_der_x509_certificate(raw)
    except ValueError as error:
        raise InputError(f"this is no X.509 certificate in PEM or DER: {error}") from error
