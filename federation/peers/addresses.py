"""Resolve a peer's name, and refuse addresses that are not public.

A server name that comes from outside must not make this server call hosts in its own network
(server-side request forgery). The name is therefore resolved once, its addresses are checked, and
the connection goes to exactly those addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import PeerAddressRefused
from scaiwave.config import Configuration
from scaiwave.config.server_name import ServerName
from scaiwave.core.errors import SettingInvalid, UpstreamUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NETWORKS_SETTING = "SCAIWAVE_PEER_NETWORKS"
# Python's `is_global` is true for these, in some releases or in all.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "2002::/16",  # 6to4: forwards to any IPv4 address (RFC 3056)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
        "fec0::/10",  # site-local, the predecessor of fc00::/7 (RFC 3879)
        "3fff::/20",  # documentation (RFC 9637)
    )
]


@dataclass(frozen=True)
class PeerAddresses:
    """In the resolver's order. `are_in_networks` if the setting lists networks for all of them."""

    texts: tuple[str, ...]
    are_in_networks: bool


def get_peer_networks(config: Configuration) -> list[Network]:
    """Return the private networks that may contain peers. Raises SettingInvalid."""
    try:
        return [ipaddress.ip_network(text) for text in config.get_list(NETWORKS_SETTING)]
    except ValueError:
        raise SettingInvalid(
            f"{NETWORKS_SETTING} is not a list of networks.",
            fix=f"Set {NETWORKS_SETTING} to networks such as 10.0.0.0/8,fd00::/8.",
        ) from None


def resolve_peer(name: ServerName, *, networks: Sequence[Network]) -> PeerAddresses:
    """Resolve the name, once.

    Raises UpstreamUnreachable if the name does not resolve, and PeerAddressRefused if one of its
    addresses is not public and in none of the networks.
    """
    try:
        answers = socket.getaddrinfo(name.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UpstreamUnreachable(
            f"The name {name} can't be resolved.",
            fix="Check the spelling of the name, and this host's DNS.",
        ) from None
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    addresses = [ipaddress.ip_address(text) for text in found]
    for address in addresses:
        if not _is_public(address) and not _is_in(address, networks):
            raise PeerAddressRefused(
                f"{name} resolves to {address}, which is not a public address.",
                fix=f"If the peer is in that network, add the network to {NETWORKS_SETTING}.",
            )
    texts = tuple(str(address) for address in addresses)
    return PeerAddresses(texts, all(_is_in(address, networks) for address in addresses))


def _is_public(address: Address) -> bool:
    """Return whether the address is public.

    IPv6 addresses that embed an IPv4 address are not, except for IPv4-mapped ones.
    """
    plain = _unmap(address)
    return plain.is_global and not (
        plain.is_multicast
        or plain.is_reserved
        or plain.is_unspecified
        or _is_in(plain, _NOT_PUBLIC)
    )


def _unmap(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(_unmap(address) in network for network in networks)
