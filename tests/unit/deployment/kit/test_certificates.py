"""Certificates, against an independent verifier (RFC 5280 and the web's rules)."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from ucadi_flwr.deployment.kit.address import Host
from ucadi_flwr.deployment.kit.certificates import (
    CertifiedKey,
    check_authority,
    check_server,
    new_authority,
    new_server,
    parse_certificate,
)
from ucadi_flwr.errors import FederationError

NOW = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "fl.example.org"


@pytest.fixture(scope="module")
def authority() -> CertifiedKey:
    return new_authority(NOW)


@pytest.fixture(scope="module")
def server(authority: CertifiedKey) -> CertifiedKey:
    return new_server(authority, NAME, NOW)


def verifies(server: CertifiedKey, authority: CertifiedKey, host: Host, now: datetime) -> bool:
    subject = x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host)
    store = Store([authority.certificate])
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(subject)
    try:
        verifier.verify(server.certificate, [])
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(
    "host", [NAME, "localhost", ip_address("10.0.0.7"), ip_address("2001:db8::7")], ids=str
)
def test_the_certificate_is_for_its_host_and_the_servers_own_names(
    authority: CertifiedKey, host: Host
) -> None:
    server = new_server(authority, host, NOW)
    for name in (host, "localhost", ip_address("127.0.0.1"), ip_address("::1")):
        assert verifies(server, authority, name, NOW)
        check_server(server.certificate, authority.certificate, name, NOW, "here")
    for name in ("other.example.org", f"www.{NAME}", ip_address("10.0.0.8")):
        assert not verifies(server, authority, name, NOW)
        with pytest.raises(FederationError, match=f"here: .* not for {name}"):
            check_server(server.certificate, authority.certificate, name, NOW, "here")
    names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert len(list(names.value)) == len(set(names.value))


@pytest.mark.parametrize(
    ("when", "good"),
    [
        (NOW, True),
        (NOW - DAY, True),  # a clock one day behind
        (NOW - 2 * DAY, True),  # … and that of the maker one day ahead
        (NOW + DAY, True),
        (NOW + 364 * DAY, True),
        (NOW + 366 * DAY, False),
        (NOW - 8 * DAY, False),
    ],
)
def test_clocks_may_differ(
    authority: CertifiedKey, server: CertifiedKey, when: datetime, good: bool
) -> None:
    assert verifies(server, authority, NAME, when) == good
    if good:
        check_server(server.certificate, authority.certificate, NAME, when, "here")
        check_authority(authority.certificate, when, "here")
    else:
        with pytest.raises(FederationError, match=r"here: .* (expired on|is valid from) 202\d-"):
            check_server(server.certificate, authority.certificate, NAME, when, "here")


def test_an_authority_lasts_ten_years(authority: CertifiedKey) -> None:
    check_authority(authority.certificate, NOW + 3651 * DAY, "here")
    with pytest.raises(FederationError, match="expired on 2036"):
        check_authority(authority.certificate, NOW + 3653 * DAY, "here")
    with pytest.raises(FederationError, match="set the clock"):
        check_authority(authority.certificate, NOW - 8 * DAY, "here")


def test_a_server_never_outlasts_its_authority(authority: CertifiedKey) -> None:
    late = new_server(authority, NAME, NOW + 3600 * DAY)
    assert late.expires == authority.expires
    with pytest.raises(FederationError, match="make a new kit"):
        new_server(authority, NAME, NOW + 3653 * DAY)


def test_an_authority_signs_servers_and_nothing_else(
    authority: CertifiedKey, server: CertifiedKey
) -> None:
    extensions = authority.certificate.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert basic.critical
    assert usage.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    extensions = server.certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    for certified in (authority, server):
        assert certified.key.curve.name == "secp384r1"
    with pytest.raises(FederationError, match="not a certificate authority"):
        check_authority(server.certificate, NOW, "here")


def test_another_authority_is_refused(server: CertifiedKey) -> None:
    other = new_authority(NOW)
    assert not verifies(server, other, NAME, NOW)
    with pytest.raises(FederationError, match="do not mix kits"):
        check_server(server.certificate, other.certificate, NAME, NOW, "here")


def test_a_certificate_without_extensions_is_neither(authority: CertifiedKey) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    bare = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(authority.key, hashes.SHA384())
    )
    with pytest.raises(FederationError, match="not a certificate authority"):
        check_authority(bare, NOW, "here")
    with pytest.raises(FederationError, match="not for"):
        check_server(bare, authority.certificate, NAME, NOW, "here")


def test_a_certified_key_is_read_back_from_its_files_and_not_printed(server: CertifiedKey) -> None:
    again = CertifiedKey.parse(server.pem, server.secret_pem, "here")
    assert again.certificate == server.certificate
    assert again.secret_pem == server.secret_pem
    assert b"PRIVATE KEY" not in server.pem
    assert "key" not in repr(server)


def test_an_invalid_certified_key_is_one_line(
    server: CertifiedKey, authority: CertifiedKey
) -> None:
    locked = server.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for secret, message in (
        (authority.secret_pem, "belongs to another certificate"),
        (server.secret_pem[:80], "cannot be read"),
        (server.pem, "cannot be read"),
        (locked, "cannot be read"),
        (edwards, "not on an elliptic curve"),
    ):
        with pytest.raises(FederationError, match=f"here: .*{message}"):
            CertifiedKey.parse(server.pem, secret, "here")
    with pytest.raises(FederationError, match="here: this is not a PEM certificate"):
        parse_certificate(server.secret_pem, "here")
