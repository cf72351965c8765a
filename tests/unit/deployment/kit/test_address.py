"""HOST:PORT, as users write it."""

from ipaddress import ip_address

import pytest

from ucadi_flwr.deployment.kit.address import Address, Host
from ucadi_flwr.errors import FederationError


@pytest.mark.parametrize(
    ("text", "host", "port", "written"),
    [
        ("fl.example.org:8443", "fl.example.org", 8443, "fl.example.org:8443"),
        ("FL.Example.org:1", "fl.example.org", 1, "fl.example.org:1"),
        ("localhost:65535", "localhost", 65535, "localhost:65535"),
        ("xn--mnchen-3ya.de:80", "xn--mnchen-3ya.de", 80, "xn--mnchen-3ya.de:80"),
        ("3com.com:80", "3com.com", 80, "3com.com:80"),
        ("10.0.0.7:8443", ip_address("10.0.0.7"), 8443, "10.0.0.7:8443"),
        ("[::1]:8443", ip_address("::1"), 8443, "[::1]:8443"),
        ("[2001:DB8:0::7]:8443", ip_address("2001:db8::7"), 8443, "[2001:db8::7]:8443"),
        (f"{'a' * 63}.de:1", f"{'a' * 63}.de", 1, f"{'a' * 63}.de:1"),
    ],
)
def test_an_address_is_read_and_written(text: str, host: Host, port: int, written: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, written)
    assert Address.parse(written) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "HOST:PORT"),
        ("fl.example.org", "HOST:PORT"),
        ("fl.example.org:", "port"),
        ("fl.example.org:0", "1 to 65535"),
        ("fl.example.org:65536", "1 to 65535"),
        ("fl.example.org:123456", "1 to 65535"),
        ("fl.example.org:+80", "port"),
        ("fl.example.org:8_0", "port"),
        ("fl.example.org:٨٠", "port"),
        ("fl.example.org: 80", "port"),
        (":8443", "neither"),
        ("https://fl.example.org:8443", "neither"),
        ("user@fl.example.org:8443", "neither"),
        ("fl..org:1", "neither"),
        ("fl.example.org.:1", "neither"),
        ("-fl.org:1", "neither"),
        ("fl-.org:1", "neither"),
        ("fl_server:1", "neither"),
        ("*.example.org:1", "neither"),
        ("münchen.de:1", "xn--"),
        ("fl.org\n:1", "neither"),
        (f"{'a' * 64}.de:1", "neither"),
        (f"{'a.' * 130}de:1", "neither"),
        ("256.1.1.1:1", "neither"),
        ("10.1:1", "neither"),
        ("2130706433:1", "neither"),
        ("::1:8443", r"\[ADDRESS\]"),
        ("[10.0.0.7]:8443", r"\[ADDRESS\]"),
        ("[fl.example.org]:8443", "neither"),
        ("[fe80::1%eth0]:8443", "zone"),
        ("0.0.0.0:8443", "reach the server"),
        ("[::]:8443", "reach the server"),
        ("224.0.0.1:8443", "reach the server"),
    ],
)
def test_an_invalid_address_is_one_line(text: str, message: str) -> None:
    with pytest.raises(FederationError, match=message) as refused:
        Address.parse(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250
