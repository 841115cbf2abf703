"""A certificate authority of the tests, and signers whose certificates it issues."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass
class Signer:
    """Files with a key and its chain, the authority's certificate (PEM) last."""

    key: Path
    certificate: Path
    root: str


def _name(common: str) -> x509.Name:
    parts = {NameOID.COMMON_NAME: common, NameOID.ORGANIZATION_NAME: "Tests of LAFI"}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _usage(*, authority: bool) -> x509.KeyUsage:
    unused = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
        **unused,
    )


def _certificate(
    common: str,
    key: Any,
    issuer: str,
    by: Any,
    days: tuple[int, int],
    purpose: x509.ObjectIdentifier | None = None,
) -> Any:
    authority, now = common == issuer, datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(common), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(by, hashes.SHA256())


def pem(certificate: Any) -> str:
    """A certificate as PEM."""
    return str(certificate.public_bytes(serialization.Encoding.PEM).decode())


def key_pem(key: Any, password: bytes = b"") -> bytes:
    """A private key as PEM."""
    way = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, way
    )
    return made


def signer(
    folder: Path,
    key: Any = None,
    days: tuple[int, int] = (-1, 30),
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
) -> Signer:
    """Files in a folder. key: default a new one on P-256. days: validity, counted from today."""
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("authority", authority, "authority", authority, (-9, 90))
    key = key or ec.generate_private_key(ec.SECP256R1())
    own = _certificate("signer", key, "authority", authority, days, purpose)
    made = Signer(folder / "key.pem", folder / "chain.pem", pem(root))
    made.key.write_bytes(key_pem(key))
    made.certificate.write_text(pem(own) + pem(root))
    return made


def manifest_of(data: bytes, mime: str, root: str) -> tuple[str, dict[str, Any]]:
    """What the library's own reader says of a file: its state, and the active manifest."""
    import io

    import c2pa

    settings = {"trust": {"trust_anchors": root}, "verify": {"verify_trust": True}}
    context = c2pa.Context.from_dict(settings)
    with c2pa.Reader(mime, io.BytesIO(data), context=context) as reader:
        return str(reader.get_validation_state()), dict(reader.get_active_manifest())
