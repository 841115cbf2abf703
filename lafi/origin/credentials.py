"""The user's key and certificates, read and checked before anything is drawn."""

import datetime
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_FILE_BYTES

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

KEY: Final = "--sign-key"
CERTIFICATE: Final = "--sign-certificate"
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_KEYS: Final = "a private key without password (PEM): ECDSA P-256, P-384 or P-521, Ed25519 or RSA"
_CHAIN: Final = "certificates (PEM), the signer's own first, each issued by the next one"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """algorithm: C2PA's name. chain, key: PEM. fingerprint: SHA-256 of the signer's certificate."""

    algorithm: str
    chain: bytes
    key: bytes
    fingerprint: str


def read_credentials(key: Path, certificate: Path) -> Credentials:
    """Raises StoryboardError for files that are no key and certificates, that do not belong
    together or are not valid today, ModuleNotFoundError without the extra `origin`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    chain, raw = _read(certificate, CERTIFICATE, _CHAIN), _read(key, KEY, _KEYS)
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise _refused(CERTIFICATE, certificate.name, _CHAIN) from None
    try:
        private: Any = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError):  # a password is missing; the key's bytes are never shown
        raise _refused(KEY, key.name, _KEYS) from None
    own = certificates[0]
    _check_dates(certificates)
    _check_chain(certificates)
    if private.public_key() != own.public_key():
        got = f"{key.name}, which is not the key of {own.subject.rfc4514_string()}"
        raise _refused(KEY, got, f"the key of the first certificate in {certificate.name}")
    plain = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fingerprint = own.fingerprint(hashes.SHA256()).hex()
    return Credentials(_algorithm(private, key), chain, plain, fingerprint)


def _algorithm(private: Any, key: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    raise _refused(KEY, key.name, f"{_KEYS} of 2048 bits or more")


def _check_dates(certificates: "list[Certificate]") -> None:
    now = datetime.datetime.now(datetime.UTC)
    for one in certificates:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            valid = (
                f"valid {one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}"
            )
            got = f"{one.subject.rfc4514_string()}, {valid}"
            raise _refused(CERTIFICATE, got, f"certificates that are valid today, {now:%Y-%m-%d}")


def _check_chain(certificates: "list[Certificate]") -> None:
    from cryptography.exceptions import InvalidSignature

    for one, issuer in pairwise(certificates):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            names = (one.subject.rfc4514_string(), issuer.subject.rfc4514_string())
            got = f"{names[0]}, which {names[1]} did not issue"
            raise _refused(CERTIFICATE, got, _CHAIN) from None


def _read(path: Path, option: str, allowed: str) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(option, str(path), f"{allowed} ({error.strerror or error})") from None
    if len(raw) > MAX_FILE_BYTES:
        raise _refused(option, str(path), f"{allowed}, of at most {MAX_FILE_BYTES} bytes")
    return raw


def _refused(option: str, got: str, allowed: str) -> StoryboardError:
    return StoryboardError([problem(option, Verbatim(got), allowed)])
