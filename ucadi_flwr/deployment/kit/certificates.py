"""The certificate authority of one federation, and the server's certificate.

X.509 on P-384. The authority signs nothing but server certificates; sites trust it and nothing
else. Clocks differ between hospitals, so that validity starts a week before the making.
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
"""How far a clock may be behind that of the machine that made the certificates."""

OWN_NAMES: tuple[Host, ...] = ("localhost", ip_address("127.0.0.1"), ip_address("::1"))
"""The server's processes call each other by these."""


Extension = TypeVar("Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, eq=False)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate, for anybody."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def secret_pem(self) -> bytes:
        """The private key, for a file of mode 0600."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def expires(self) -> datetime:
        """When the certificate ends."""
        return self.certificate.not_valid_after_utc

    @classmethod
    def parse(cls, pem: bytes, secret_pem: bytes, where: str) -> "Identity":
        """Read both; refuse a key that is not the certificate's. ``where`` is for the message."""
        certificate = parse_certificate(pem, where)
        try:
            key = load_pem_private_key(secret_pem, None)
        except (ValueError, TypeError):  # damaged; or a passphrase is asked for
            raise FederationError(f"{where}: the private key cannot be read") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise FederationError(f"{where}: the private key is not an elliptic curve's")
        if key.public_key() != certificate.public_key():
            raise FederationError(f"{where}: the private key belongs to another certificate")
        return cls(certificate, key)


def digest(certificate: x509.Certificate) -> str:
    """SHA-256 in hexadecimal: which federation an authority's certificate is of."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def parse_certificate(pem: bytes, where: str) -> x509.Certificate:
    """One PEM certificate."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise FederationError(f"{where}: this is no PEM certificate") from None


def new_authority(now: datetime) -> Identity:
    """A certificate authority of its own for one federation."""
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
    return Identity(certificate, key)


def new_server(authority: Identity, host: Host, now: datetime) -> Identity:
    """A certificate for the server under this host, its own names beside it."""
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
    return Identity(certificate, key)


def check_authority(certificate: x509.Certificate, now: datetime, where: str) -> None:
    """Refuse what is no authority, or not valid now."""
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise FederationError(f"{where}: this is no certificate authority's certificate")
    _check_dates(certificate, now, where, "make a new kit")


def check_server(
    certificate: x509.Certificate,
    authority: x509.Certificate,
    host: Host,
    now: datetime,
    where: str,
) -> None:
    """Refuse a server certificate of another authority, for another host, or not valid now."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        raise FederationError(
            f"{where}: the certificate is not by this kit's authority; do not mix kits"
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
    except (x509.ExtensionNotFound, ValueError):  # none, or damaged
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
    """RFC 5280: what the key may do; a server's signs handshakes only."""
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
