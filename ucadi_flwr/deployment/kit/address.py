"""Where the server listens: HOST:PORT, as the sites reach it and as its certificate names it."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from ucadi_flwr.errors import FederationError

Host = str | IPv4Address | IPv6Address
"""A DNS name in lower case, or an IP address."""

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_LARGEST_NAME = 253


@dataclass(frozen=True)
class Address:
    """A host and a TCP port; ``str`` gives the form that Flower takes."""

    host: Host
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read HOST:PORT, where HOST is a DNS name, an IPv4 address or an IPv6 address in brackets.

        Raises :class:`FederationError` where the text is not an address that sites can reach.

        >>> str(Address.parse("FL.Example.org:8443"))
        'fl.example.org:8443'
        >>> str(Address.parse("[2001:DB8:0::7]:8443"))
        '[2001:db8::7]:8443'
        """
        host, colon, port = text.rpartition(":")
        if not colon:
            raise FederationError(f"{text[:80]!r} is not an address: write HOST:PORT")
        if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise FederationError(f"{text[:80]!r}: the port must be a number from 1 to 65535")
        return cls(_host(host, text[:80]), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return f"{host}:{self.port}"


def _host(text: str, source: str) -> Host:
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        return _name(text, source)
    if isinstance(address, IPv6Address) != bracketed:
        raise FederationError(f"{source!r}: write IPv6 addresses, and no others, as [ADDRESS]:PORT")
    if isinstance(address, IPv6Address) and address.scope_id:
        raise FederationError(f"{source!r}: leave out the zone; it is valid on one machine only")
    if address.is_unspecified or address.is_multicast:
        raise FederationError(f"{source!r}: give an address at which the sites reach the server")
    return address


def _name(text: str, source: str) -> str:
    labels = text.lower().split(".")
    valid = len(text) <= _LARGEST_NAME and all(map(_LABEL.fullmatch, labels))
    if not valid or labels[-1].isdigit():
        raise FederationError(
            f"{source!r}: the host is neither an IP address nor a DNS name (letters, digits, "
            "hyphens and dots; other scripts in their xn-- form)"
        )
    return text.lower()
