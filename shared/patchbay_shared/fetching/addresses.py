"""Which network addresses repo-sync may connect to.

A repository's URL comes from a host's report, so whoever owns one host chooses what the server fetches. Only
public addresses are fetched from, unless the operator names a network in PATCHBAY_FETCH_ALLOWED_NETWORKS.
"""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

from patchbay_shared.errors import InvalidInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolved = tuple[int, int, int, tuple[Any, ...]]
"""Family, socket type, protocol and address, as socket.getaddrinfo gives them."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text)
    # Public by number, yet answered by the cloud that the server runs in (Azure's wire server).
    for text in ("168.63.129.16",)
)


class AddressRefused(InvalidInput):
    """An address that the policy does not allow; another mirror may be at an allowed one."""


class AddressPolicy:
    """Allows public addresses and the operator's networks.

    `allowed_networks` is the setting's text: networks in CIDR notation, comma-separated.
    """

    def __init__(self, allowed_networks: str = "") -> None:
        texts = (part.strip() for part in allowed_networks.split(","))
        self._allowed: list[Network] = [ipaddress.ip_network(text) for text in texts if text]

    def allows(self, text: str) -> bool:
        """Whether an IP address, in text and perhaps with a zone, may be connected to."""
        address: Address = ipaddress.ip_address(text.partition("%")[0])
        return all(self._allows(each) for each in (address, *_embedded(address)))

    def _allows(self, address: Address) -> bool:
        if any(address.version == network.version and address in network for network in self._allowed):
            return True
        if isinstance(address, ipaddress.IPv6Address) and _embedded(address):
            return True  # judged by the IPv4 address inside
        return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA

    def resolve(self, host: str, port: int) -> Iterator[Resolved]:
        """The allowed addresses of a host name. Raises Unavailable, or AddressRefused if it has only others."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unavailable(f"The name {host} could not be resolved: {_reason(exc)}.") from exc
        allowed = [each for each in found if self.allows(str(each[4][0]))]
        if not allowed:
            shown = ", ".join(sorted({str(each[4][0]) for each in found}))
            raise AddressRefused(
                f"{host} is at {shown}, which is not a public address; "
                "the operator can allow it with PATCHBAY_FETCH_ALLOWED_NETWORKS."
            )
        for family, kind, protocol, _name, address in allowed:
            yield family, kind, protocol, address


def _embedded(address: Address) -> list[Address]:
    """The IPv4 address that an IPv6 address stands for, if any."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return []


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc).rstrip(".")
