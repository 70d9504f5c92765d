"""Servers that are not what they say, or not there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx
import pytest

from federation.errors import HandshakeIncompatible, PeerAddressRefused
from federation.services import peer_client
from federation.services.peer_addresses import peer_networks
from federation.services.peer_descriptor import PeerDescriptor, fetch_descriptor
from federation.services.server_names import parse_server_name
from scaiwave.clients.http.exceptions import Timeouts
from scaiwave.config import load
from scaiwave.errors import UpstreamUnavailable, UpstreamUnreachable
from tests.federation.peers import TEXT, Peer, description, running
from tests.scaiwave.clients.certificates import Authority
from tests.scaiwave.clients.loopback import hang_up

NETWORKS = peer_networks(load({"SCAIWAVE_PEER_NETWORKS": "127.0.0.0/8"}))
IMPATIENT = Timeouts(connect=0.3, read=0.3, write=0.3, whole=0.3)
Lie = Callable[[dict[str, Any]], Any]


def fetched(name: str, **changes: Any) -> PeerDescriptor:
    arguments = {"networks": NETWORKS, "plain_http": False, **changes}
    return fetch_descriptor(parse_server_name(name), **arguments)


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> Iterator[list[str]]:
    """A resolver that knows one name; yields what it was asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != name:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return [row for one in addresses for row in real(one, port, *args, **kwargs)]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked


def without(key: str) -> Lie:
    return lambda good: {name: value for name, value in good.items() if name != key}


def with_(**changes: Any) -> Lie:
    return lambda good: {**good, **changes}


V1 = "does not speak protocol version v1"
JSON = "answers with something that is not a JSON object."
SILENT = "does not say which protocol versions it speaks."


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (with_(server_name="evil.example"), "calls itself 'evil.example'."),
        (with_(server_name="e" * 5000), f"calls itself '{'e' * 100}'."),
        (with_(server_name=7), "calls itself nothing."),
        (without("server_name"), "calls itself nothing."),
        (with_(public_key=""), "has no key yet."),
        (with_(protocol_versions=["v2", "v3"]), f"{V1}, but 'v2', 'v3'."),
        (with_(protocol_versions=[]), f"{V1}, but none at all."),
        (with_(protocol_versions="v1"), SILENT),
        *((with_(protocol_versions=["v1", odd]), SILENT) for odd in (1, "\0", "\ud800")),
        (without("protocol_versions"), SILENT),
        (lambda good: [good], JSON),
        (lambda good: b"<html>", JSON),
        (lambda good: b"\xff\xfe", JSON),
        (lambda good: b"[" * 60_000, JSON),
        (lambda good: b"", JSON),
        (lambda good: json.dumps(good).encode() + b" " * 65536, "answers with more than 64 KB."),
    ],
)
def test_fail_lies(peer: Peer, lie: Lie, why: str) -> None:
    peer.says(lie(description(peer.name)))
    with pytest.raises(HandshakeIncompatible) as caught:
        fetched(peer.name)
    assert caught.value.message == f"{peer.name} {why}"
    assert caught.value.fix == (
        f"Ask the administrator of {peer.name}, and check the spelling of the name."
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("public_key", "why"),
    [
        ("ed25519:AAAA", "What follows `ed25519:` is not 32 bytes in base64."),
        (None, "A public key begins with `ed25519:`, and this text does not."),
    ],
)
def test_fail_key_is_none(peer: Peer, public_key: Any, why: str) -> None:
    peer.describes(public_key=public_key)
    with pytest.raises(HandshakeIncompatible) as caught:
        fetched(peer.name)
    assert caught.value.message == (f"{peer.name}: The descriptor's `public_key` is no good. {why}")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (404, "answers HTTP 404 where its descriptor should be."),
        (401, "answers HTTP 401 where its descriptor should be."),
        (204, "answers HTTP 204 where its descriptor should be."),
        (302, "redirects elsewhere, and a descriptor must be at the name itself."),
        (308, "redirects elsewhere, and a descriptor must be at the name itself."),
    ],
)
def test_fail_no_descriptor(peer: Peer, status: int, why: str) -> None:
    peer.says(b"", status=status, headers={"Location": f"https://{peer.name}/elsewhere"})
    with pytest.raises(HandshakeIncompatible) as caught:
        fetched(peer.name)
    assert caught.value.message == f"{peer.name} {why}"
    assert len(peer.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_fail_unwell(peer: Peer, status: int) -> None:
    peer.says(b"", status=status)
    with pytest.raises(UpstreamUnavailable) as caught:
        fetched(peer.name)
    assert caught.value.message == f"{peer.name} answers with HTTP {status}."
    assert caught.value.exit_code == 2


def test_fail_no_http(peer: Peer) -> None:
    peer.answer = lambda asked: hang_up(b"220 mail.example.com ESMTP\r\n\r\n")
    with pytest.raises(HandshakeIncompatible) as caught:
        fetched(peer.name)
    assert caught.value.message == f"{peer.name} does not speak HTTP as we know it."


def test_fail_hangs_up(peer: Peer) -> None:
    peer.answer = lambda asked: hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    with pytest.raises(UpstreamUnreachable) as caught:
        fetched(peer.name)
    assert caught.value.message == (
        f"{peer.name} broke the connection before its answer was complete."
    )


def test_fail_lies_about_its_size(peer: Peer) -> None:
    chunk = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer.answer = lambda asked: hang_up(head + chunk * 3)
    with pytest.raises(HandshakeIncompatible) as caught:
        fetched(peer.name)
    assert caught.value.message == f"{peer.name} answers with more than 64 KB."


def test_fail_silent(peer: Peer) -> None:
    asked_enough = threading.Event()
    peer.answer = lambda asked: hang_up(b"" if asked_enough.wait(20) else b"late")
    try:
        with pytest.raises(UpstreamUnreachable) as caught:
            fetched(peer.name, timeouts=IMPATIENT)
    finally:
        asked_enough.set()
    assert caught.value.message == f"{peer.name} sent nothing for 0.3 s."
    assert caught.value.exit_code == 2


def test_fail_trickles() -> None:
    """Each byte comes in time, and the answer never."""
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            name = f"127.0.0.1:{listener.getsockname()[1]}"
            with pytest.raises(UpstreamUnreachable):
                fetched(name, plain_http=True, timeouts=IMPATIENT)
        finally:
            ended.set()
            thread.join()


def test_fail_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        name = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UpstreamUnreachable) as caught:
        fetched(name)
    assert caught.value.message == f"{name} refuses connections."
    assert caught.value.fix == "Check the server's name, and that the server is running there."


def test_fail_certificate_of_a_stranger(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UpstreamUnreachable) as caught:
        fetched(peer.name)
    assert caught.value.message == (
        f"The certificate of {peer.name} is not signed by an authority that this machine trusts."
    )
    assert peer.asked == []


def test_fail_certificate_has_expired(authority: Authority) -> None:
    with running(authority.server(days=(-9, -1))) as peer, pytest.raises(UpstreamUnreachable):
        fetched(peer.name)


def test_fail_certificate_for_another_name(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name counts, not the address that it leads to."""
    with (
        resolving(monkeypatch, "peer.example", "127.0.0.1"),
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        fetched(f"peer.example:{peer.port}")
    assert caught.value.message == (
        f"The certificate of peer.example:{peer.port} is made out to another name."
    )
    assert peer.asked == []


def test_success_resolves_once_and_goes_there(
    plain_peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"peer.example:{plain_peer.port}"
    plain_peer.says(description(name))
    with resolving(monkeypatch, "peer.example", "127.0.0.1") as asked:
        found = fetched(name, plain_http=True)
    assert (found.public_key, asked) == (TEXT, ["peer.example"])
    assert plain_peer.asked[0].headers["host"] == name


def test_success_next_address_when_one_refuses(
    plain_peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"peer.example:{plain_peer.port}"
    plain_peer.says(description(name))
    with resolving(monkeypatch, "peer.example", "127.0.0.9", "127.0.0.1"):
        assert fetched(name, plain_http=True).public_key == TEXT


def test_success_no_proxy_is_asked(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetched(peer.name).public_key == TEXT


def test_fail_one_of_its_addresses_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        resolving(monkeypatch, "peer.example", "127.0.0.1", "10.0.0.1"),
        pytest.raises(PeerAddressRefused) as caught,
    ):
        fetched("peer.example")
    assert caught.value.message == (
        "peer.example leads to 10.0.0.1, which is not a public address."
    )


def test_fail_plain_http_to_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        resolving(monkeypatch, "peer.example", "198.41.0.4"),
        pytest.raises(PeerAddressRefused) as caught,
    ):
        fetched("peer.example", plain_http=True)
    assert caught.value.message == (
        "peer.example would be asked without encryption, and is not in a network of "
        "SCAIWAVE_PEER_NETWORKS."
    )


def test_success_every_foreign_error_has_a_twin() -> None:
    """What httpcore raises of a connection is known by the same name in httpx."""
    kinds = [kind for kind in vars(httpcore).values() if isinstance(kind, type)]
    errors = [kind for kind in kinds if issubclass(kind, Exception)]
    known = {kind for kind in errors if issubclass(kind, peer_client._FOREIGN)}
    assert {kind.__name__ for kind in set(errors) - known} == {
        "ConnectionNotAvailable",  # tried again by its pool
        "ProxyError",  # we use none
    }
    assert all(issubclass(getattr(httpx, kind.__name__), httpx.HTTPError) for kind in known)
