from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidServerName, PeerAddressRefused
from federation.peers.addresses import PeerAddresses, get_peer_networks, resolve_peer
from federation.policy.server_names import parse_server_name
from scaiwave.config import load
from scaiwave.core.errors import UpstreamUnreachable
from tests.refusals import refuses


def resolve(host: str, networks: str = "") -> PeerAddresses:
    listed = get_peer_networks(load({"SCAIWAVE_PEER_NETWORKS": networks}))
    return resolve_peer(parse_server_name(host), networks=listed)


@pytest.mark.parametrize("host", ["198.41.0.4", "8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
def test_success_public(host: str) -> None:
    addresses = resolve(host)
    assert (len(addresses.texts), addresses.are_in_networks) == (1, False)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "0.0.0.0",  # noqa: S104
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "192.88.99.1",
        "192.0.0.9",
        "[fec0::1]",
        "[3fff::1]",
        "[2001::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[ff02::1]",
        "[2001:db8::1]",
    ],
)
def test_fail_not_public(host: str) -> None:
    with pytest.raises(PeerAddressRefused) as caught:
        resolve(host)
    assert caught.value.message.endswith(", which is not a public address.")
    assert caught.value.fix == (
        "If the peer is in that network, add the network to SCAIWAVE_PEER_NETWORKS."
    )


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("[::ffff:10.1.2.3]", "fd00::/8, 10.0.0.0/8"),
        ("[fd12::1]", "fd00::/8"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_success_listed(host: str, network: str) -> None:
    assert resolve(host, network).are_in_networks
    with pytest.raises(PeerAddressRefused):
        resolve(host, "192.168.0.0/16")


def test_fail_unknown_name() -> None:
    with refuses(UpstreamUnreachable, "The name no-such-server.invalid can't be resolved."):
        resolve("no-such-server.invalid")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("chat.example.com", "chat.example.com", None),
        ("Chat.Example.COM:8448", "chat.example.com", 8448),
        ("localhost", "localhost", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("[2001:DB8::1]", "2001:db8::1", None),
        ("[::1]:65535", "::1", 65535),
        ("3com.example", "3com.example", None),
    ],
)
def test_success_names(text: str, host: str, port: int | None) -> None:
    name = parse_server_name(text)
    assert (name.host, name.port, str(name)) == (host, port, text.lower())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "https://chat.example.com",
        "chat.example.com/path",
        "user@chat.example.com",
        "chat.example.com:",
        "chat.example.com:0",
        "chat.example.com:65536",
        "chat.example.com:http",
        "chat.example.com.",
        ".example.com",
        "chat..example.com",
        "-chat.example.com",
        "chat-.example.com",
        "chat_room.example.com",
        "b\u00fccher.example",
        "chat.example.com\n",
        "chat.example.com#",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "0x7f.1",
        "2130706433",
        "127.1",
        "[127.0.0.1]",
        "[fe80::1%eth0]",
        "::1",
        "[::1",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
    ],
)
def test_fail_names(text: str) -> None:
    with refuses(InvalidServerName, f"Invalid server name: {text!r}."):
        parse_server_name(text)


@given(st.text(alphabet="aA1.:[]-/@%\u00e9\u2024 \n"))
def test_success_names_are_their_own_lower_case(text: str) -> None:
    try:
        name = parse_server_name(text)
    except InvalidServerName:
        return
    assert parse_server_name(name.text) == name
    assert name.text.isascii()
