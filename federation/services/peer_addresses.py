"""Where a peer's name leads, and whether we go there.

A name that somebody gives us must not make this server call its own neighbours (server-side
request forgery), so the addresses are looked up once, checked, and called as they are.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import PeerAddressRefused
from federation.services.server_names import ServerName
from scaiwave.config import Configuration
from scaiwave.errors import SettingInvalid, UpstreamUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SETTING = "SCAIWAVE_PEER_NETWORKS"
# Global for some releases of Python, or for all.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "2002::/16",  # passes on to any IPv4 address (RFC 3056)
        "192.88.99.0/24",  # its relays (RFC 7526)
        "192.0.0.0/24",  # a router's own services (RFC 6890)
        "fec0::/10",  # private, before fc00::/7 was (RFC 3879)
        "3fff::/20",  # documentation (RFC 9637)
    )
]


@dataclass(frozen=True)
class PeerAddresses:
    """In the resolver's order. `are_ours` when all are in networks of the setting."""

    texts: tuple[str, ...]
    are_ours: bool


def peer_networks(config: Configuration) -> list[Network]:
    """Raises SettingInvalid."""
    try:
        return [ipaddress.ip_network(text) for text in config.get_list(SETTING)]
    except ValueError:
        raise SettingInvalid(
            f"{SETTING} is not a list of networks.",
            fix=f"Set {SETTING} to networks such as 10.0.0.0/8,fd00::/8.",
        ) from None


def find_peer(name: ServerName, *, networks: Sequence[Network]) -> PeerAddresses:
    """Look the name up, once.

    Raises UpstreamUnreachable for a name that does not resolve, and PeerAddressRefused if one of
    its addresses is not public and in none of the networks.
    """
    addresses = _resolved(name)
    for address in addresses:
        if not _is_public(address) and not _is_in(address, networks):
            raise PeerAddressRefused(
                f"{name} leads to {address}, which is not a public address.",
                fix=f"If the peer really is there, add its network to {SETTING}.",
            )
    texts = tuple(str(address) for address in addresses)
    return PeerAddresses(texts, all(_is_in(address, networks) for address in addresses))


def _resolved(name: ServerName) -> list[Address]:
    try:
        found = socket.getaddrinfo(name.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UpstreamUnreachable(
            f"The name {name} can't be resolved.",
            fix="Check its spelling, and this machine's DNS.",
        ) from None
    texts = dict.fromkeys(str(answer[4][0]) for answer in found)
    return [ipaddress.ip_address(text) for text in texts]


def _is_public(address: Address) -> bool:
    """Addresses by which IPv6 stands for IPv4 are not, but for the mapped ones."""
    plain = _unmapped(address)
    return plain.is_global and not (
        plain.is_multicast
        or plain.is_reserved
        or plain.is_unspecified
        or _is_in(plain, _NOT_PUBLIC)
    )


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(_unmapped(address) in network for network in networks)
