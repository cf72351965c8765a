"""The certificate authority of one federation, and the server's certificate.

X.509 with ECDSA on P-384 and SHA-384 (192 bits of security). The authority signs server
certificates only, and sites trust no other authority. Its private key stays with whoever
provisions; the server holds its own; sites hold neither. Clocks differ between hospitals, so that
a certificate is valid from a week before it is made.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ucadi_flwr.deployment.kit.address import Host
from ucadi_flwr.errors import FederationError

AUTHORITY_LASTS = timedelta(days=3652)
SERVER_LASTS = timedelta(days=365)
CLOCKS_DIFFER = timedelta(days=7)
"""How far a clock may be behind the clock of the machine that makes the certificates."""

OWN_NAMES: tuple[Host, ...] = ("localhost", ip_address("127.0.0.1"), ip_address("::1"))
"""The names under which processes on the server's machine reach it."""

Extension = TypeVar("Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, eq=False)
class CertifiedKey:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate, public."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def secret_pem(self) -> bytes:
        """The private key in PKCS 8, not encrypted: for a file of mode 0600."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def expires(self) -> datetime:
        """When the certificate expires."""
        return self.certificate.not_valid_after_utc

    @classmethod
    def parse(cls, pem: bytes, secret_pem: bytes, where: str) -> "CertifiedKey":
        """Read both.

        Args:
            pem: the certificate.
            secret_pem: the private key.
            where: the file that an error names.

        Raises :class:`FederationError` where either is damaged, or the key is not on an elliptic
        curve, or another certificate's.
        """
        certificate = parse_certificate(pem, where)
        try:
            key = load_pem_private_key(secret_pem, None)
        except (ValueError, TypeError):  # damaged, or encrypted with a passphrase
            raise FederationError(f"{where}: the private key cannot be read") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise FederationError(f"{where}: the private key is not on an elliptic curve")
        if key.public_key() != certificate.public_key():
            raise FederationError(f"{where}: the private key belongs to another certificate")
        return cls(certificate, key)


def digest(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, in hexadecimal: that of the authority identifies the federation."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def parse_certificate(pem: bytes, where: str) -> x509.Certificate:
    """Read one PEM certificate; :class:`FederationError` names ``where`` if it is damaged."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise FederationError(f"{where}: this is not a PEM certificate") from None


def new_authority(now: datetime) -> CertifiedKey:
    """A new certificate authority for one federation, valid for ten years from ``now``."""
    key = ec.generate_private_key(ec.SECP384R1())
    serial = x509.random_serial_number()
    name = _name(f"ucadi federation authority {serial % 2**32:08x}")
    public = key.public_key()
    certificate = (
        _begin(name, name, public, serial, now, now + AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA384())
    )
    return CertifiedKey(certificate, key)


def new_server(authority: CertifiedKey, host: Host, now: datetime) -> CertifiedKey:
    """A certificate for the server, valid for a year at most, under ``host`` and its local names.

    Args:
        authority: signs the certificate.
        host: the name or address at which sites reach the server.
        now: the time, with its time zone.

    Raises :class:`FederationError` where the authority has expired.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    issuer = authority.certificate
    ends = min(now + SERVER_LASTS, issuer.not_valid_after_utc)
    if ends <= now:
        raise FederationError(
            f"the certificate authority expired on {ends:%Y-%m-%d}; make a new kit"
        )
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    names = [_general(name) for name in dict.fromkeys((host, *OWN_NAMES))]
    certificate = (
        _begin(
            _name("ucadi federation server"),
            issuer.subject,
            key.public_key(),
            x509.random_serial_number(),
            now,
            ends,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(authority.key, hashes.SHA384())
    )
    return CertifiedKey(certificate, key)


def check_authority(certificate: x509.Certificate, now: datetime, where: str) -> None:
    """Raise :class:`FederationError` unless this is an authority's certificate and valid now."""
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise FederationError(f"{where}: this is not a certificate authority's certificate")
    _check_dates(certificate, now, where, "make a new kit")


def check_server(
    certificate: x509.Certificate,
    authority: x509.Certificate,
    host: Host,
    now: datetime,
    where: str,
) -> None:
    """Check a server's certificate.

    Raises :class:`FederationError` where another authority signed it, or it is for another host, or
    not valid now.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        raise FederationError(
            f"{where}: this kit's authority did not sign the certificate; do not mix kits"
        ) from None
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None or _general(host) not in list(names):
        raise FederationError(f"{where}: the certificate is not for {host}; make a new kit")
    _check_dates(certificate, now, where, "run ucadi provision --out KIT --renew")


def _check_dates(certificate: x509.Certificate, now: datetime, where: str, remedy: str) -> None:
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        raise FederationError(f"{where}: the certificate expired on {ends:%Y-%m-%d}; {remedy}")
    if now < starts:
        raise FederationError(
            f"{where}: the certificate is valid from {starts:%Y-%m-%d}, and this machine's clock "
            f"says {now:%Y-%m-%d}; set the clock"
        )


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):  # missing or damaged
        return None


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What the key may sign (RFC 5280, 4.2.1.3): certificates, or a server's TLS handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(host: Host) -> x509.GeneralName:
    return x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host)
