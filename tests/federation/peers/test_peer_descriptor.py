"""Peers that are invalid, misbehave, or can't be reached."""

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
from federation.peers import client as peer_client
from federation.peers.addresses import get_peer_networks
from federation.peers.descriptor import PeerDescriptor, fetch_descriptor
from federation.policy.server_names import parse_server_name
from scaiwave.clients.http.exceptions import Timeouts
from scaiwave.config import load
from scaiwave.core.errors import ScaiWaveError, UpstreamUnavailable, UpstreamUnreachable
from tests.federation.fake_peer import PUBLIC_KEY, FakePeer, build_document, run_peer
from tests.refusals import refuses
from tests.scaiwave.clients.certificates import Authority
from tests.scaiwave.clients.raw_socket_server import hang_up

NETWORKS = get_peer_networks(load({"SCAIWAVE_PEER_NETWORKS": "127.0.0.0/8"}))
Change = Callable[[dict[str, Any]], Any]


def fetch_from(name: str, **changes: Any) -> PeerDescriptor:
    arguments = {"networks": NETWORKS, "plain_http": False, **changes}
    return fetch_descriptor(parse_server_name(name), **arguments)


@contextmanager
def fake_resolver(
    monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str
) -> Iterator[list[str]]:
    """Resolve one name to these addresses; yield the lookups of it."""
    request: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != name:
            return real(host, port, *args, **kwargs)
        request.append(host)
        return [row for address in addresses for row in real(address, port, *args, **kwargs)]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield request


def without(key: str) -> Change:
    return lambda good: {name: value for name, value in good.items() if name != key}


def with_(**changes: Any) -> Change:
    return lambda good: {**good, **changes}


NOT_V1 = "does not support protocol version v1"
NO_OBJECT = "did not return a JSON object."
NO_VERSIONS = "does not report its protocol versions."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_(server_name="evil.example"), "reports another server name: 'evil.example'."),
        (with_(server_name="e" * 5000), f"reports another server name: '{'e' * 100}'."),
        (with_(server_name=7), "does not report its server name."),
        (without("server_name"), "does not report its server name."),
        (with_(public_key=""), "has no signing key yet."),
        (with_(protocol_versions=["v2", "v3"]), f"{NOT_V1} (supported: 'v2', 'v3')."),
        (with_(protocol_versions=[]), f"{NOT_V1} (supported: none)."),
        (with_(protocol_versions="v1"), NO_VERSIONS),
        *((with_(protocol_versions=["v1", odd]), NO_VERSIONS) for odd in (1, "\0", "\ud800")),
        (without("protocol_versions"), NO_VERSIONS),
        (lambda good: [good], NO_OBJECT),
        (lambda good: b"<html>", NO_OBJECT),
        (lambda good: b"\xff\xfe", NO_OBJECT),
        (lambda good: b"[" * 60_000, NO_OBJECT),
        (lambda good: b"", NO_OBJECT),
        (lambda good: json.dumps(good).encode() + b" " * 65536, "returned more than 64 KB."),
    ],
)
def test_fail_invalid_document(peer: FakePeer, change: Change, reason: str) -> None:
    peer.respond_with(change(build_document(peer.name)))
    with pytest.raises(HandshakeIncompatible) as caught:
        fetch_from(peer.name)
    assert caught.value.message == f"{peer.name} {reason}"
    assert caught.value.fix == (
        f"Check the spelling of the name, then ask the administrator of {peer.name}."
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("public_key", "reason"),
    [
        ("ed25519:AAAA", "The public key is not 32 bytes in base64 after `ed25519:`."),
        (None, "The public key does not start with `ed25519:`."),
    ],
)
def test_fail_invalid_key(peer: FakePeer, public_key: Any, reason: str) -> None:
    peer.describe(public_key=public_key)
    with refuses(
        HandshakeIncompatible, f"{peer.name}: The descriptor's `public_key` is invalid. {reason}"
    ):
        fetch_from(peer.name)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "returned HTTP 404 instead of its descriptor."),
        (401, "returned HTTP 401 instead of its descriptor."),
        (204, "returned HTTP 204 instead of its descriptor."),
        (302, "returned a redirect, but a descriptor must be served at the name itself."),
        (308, "returned a redirect, but a descriptor must be served at the name itself."),
    ],
)
def test_fail_no_descriptor(peer: FakePeer, status: int, reason: str) -> None:
    peer.respond_with(b"", status=status, headers={"Location": f"https://{peer.name}/elsewhere"})
    with refuses(HandshakeIncompatible, f"{peer.name} {reason}"):
        fetch_from(peer.name)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_fail_unavailable(peer: FakePeer, status: int) -> None:
    peer.respond_with(b"", status=status)
    with refuses(UpstreamUnavailable, f"{peer.name} returned HTTP {status}.") as caught:
        fetch_from(peer.name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("raw", "error", "problem"),
    [
        (
            b"220 mail.example.com ESMTP\r\n\r\n",
            HandshakeIncompatible,
            "sent a response that is not HTTP.",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
            UpstreamUnreachable,
            "closed the connection before its response was complete.",
        ),
    ],
)
def test_fail_response(
    peer: FakePeer, raw: bytes, error: type[ScaiWaveError], problem: str
) -> None:
    peer.respond = lambda request: hang_up(raw)
    with refuses(error, f"{peer.name} {problem}"):
        fetch_from(peer.name)


def test_fail_wrong_content_length(peer: FakePeer) -> None:
    chunk = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer.respond = lambda request: hang_up(head + chunk * 3)
    with refuses(HandshakeIncompatible, f"{peer.name} returned more than 64 KB."):
        fetch_from(peer.name)


def test_fail_no_response(peer: FakePeer) -> None:
    done = threading.Event()
    peer.respond = lambda request: hang_up(b"" if done.wait(20) else b"late")
    try:
        with pytest.raises(UpstreamUnreachable) as caught:
            fetch_from(peer.name, timeouts=Timeouts(read=0.3))
    finally:
        done.set()
    assert caught.value.message == f"{peer.name} sent nothing for 0.3 s."
    assert caught.value.exit_code == 2


def test_fail_response_is_too_slow() -> None:
    """Each byte arrives in time, but the response never ends."""
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
                fetch_from(name, plain_http=True, timeouts=Timeouts(total=0.3))
        finally:
            ended.set()
            thread.join()


def test_fail_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        name = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UpstreamUnreachable) as caught:
        fetch_from(name)
    assert caught.value.message == f"{name} refuses connections."
    assert caught.value.fix == "Check the server's name, and that the server is running there."


def test_fail_untrusted_certificate(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UpstreamUnreachable) as caught:
        fetch_from(peer.name)
    assert caught.value.message == (
        f"The certificate of {peer.name} is not signed by an authority that this host trusts."
    )
    assert peer.requests == []


def test_fail_certificate_has_expired(authority: Authority) -> None:
    with run_peer(authority.server(days=(-9, -1))) as peer, pytest.raises(UpstreamUnreachable):
        fetch_from(peer.name)


def test_fail_certificate_for_another_name(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate must match the name, not the address."""
    with (
        fake_resolver(monkeypatch, "peer.example", "127.0.0.1"),
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        fetch_from(f"peer.example:{peer.port}")
    assert caught.value.message == (
        f"The certificate of peer.example:{peer.port} is for another host name."
    )
    assert peer.requests == []


def test_success_resolves_once_and_connects_there(
    plain_peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"peer.example:{plain_peer.port}"
    plain_peer.respond_with(build_document(name))
    with fake_resolver(monkeypatch, "peer.example", "127.0.0.1") as request:
        descriptor = fetch_from(name, plain_http=True)
    assert (descriptor.public_key, request) == (PUBLIC_KEY, ["peer.example"])
    assert plain_peer.requests[0].headers["host"] == name


def test_success_next_address_if_one_refuses(
    plain_peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"peer.example:{plain_peer.port}"
    plain_peer.respond_with(build_document(name))
    with fake_resolver(monkeypatch, "peer.example", "127.0.0.9", "127.0.0.1"):
        assert fetch_from(name, plain_http=True).public_key == PUBLIC_KEY


def test_success_no_proxy_is_asked(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch_from(peer.name).public_key == PUBLIC_KEY


def test_fail_one_of_its_addresses_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_resolver(monkeypatch, "peer.example", "127.0.0.1", "10.0.0.1"),
        pytest.raises(PeerAddressRefused) as caught,
    ):
        fetch_from("peer.example")
    assert caught.value.message == (
        "peer.example resolves to 10.0.0.1, which is not a public address."
    )


def test_fail_plain_http_to_a_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_resolver(monkeypatch, "peer.example", "198.41.0.4"),
        pytest.raises(PeerAddressRefused) as caught,
    ):
        fetch_from("peer.example", plain_http=True)
    assert caught.value.message == (
        "--plain-http is refused: peer.example is not in a network of SCAIWAVE_PEER_NETWORKS."
    )


def test_success_every_http_error_is_mapped() -> None:
    """Connection errors of httpcore have a class of the same name in httpx."""
    kinds = [kind for kind in vars(httpcore).values() if isinstance(kind, type)]
    errors = [kind for kind in kinds if issubclass(kind, Exception)]
    known = {kind for kind in errors if issubclass(kind, peer_client._HTTPCORE_ERRORS)}
    assert {kind.__name__ for kind in set(errors) - known} == {
        "ConnectionNotAvailable",  # handled by its pool
        "ProxyError",  # no proxy is used
    }
    assert all(issubclass(getattr(httpx, kind.__name__), httpx.HTTPError) for kind in known)
