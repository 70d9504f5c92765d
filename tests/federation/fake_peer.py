"""Fake peers: servers on loopback whose descriptor a test can change."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from federation.keys import ed25519
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)

PUBLIC_KEY = ed25519.format_public_key(ed25519.derive_public_key(b"\1" * 32))
OTHER_PUBLIC_KEY = ed25519.format_public_key(ed25519.derive_public_key(b"\2" * 32))


def key_id(text: str) -> str:
    return ed25519.compute_thumbprint(ed25519.parse_public_key(text))


def build_document(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "server_name": name,
        "public_key": PUBLIC_KEY,
        "protocol_versions": ["v1"],
        "endpoints": {},
        **changes,
    }


class FakePeer:
    """A server whose response a test can change while it runs; `name` is its server name."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.loopback = RawServer(self._respond, tls=tls)
        self.respond: Callable[[RawRequest], RawResponse] = lambda request: make_response(
            build_document(self.name)
        )

    def _respond(self, request: RawRequest) -> RawResponse:
        return self.respond(request)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.loopback.port}"

    @property
    def port(self) -> int:
        return self.loopback.port

    @property
    def requests(self) -> list[RawRequest]:
        return self.loopback.requests

    def respond_with(self, body: Any = None, **arguments: Any) -> None:
        self.respond = lambda request: make_response(body, **arguments)

    def describe(self, **changes: Any) -> None:
        self.respond_with(build_document(self.name, **changes))


@contextmanager
def run_peer(tls: ssl.SSLContext | None) -> Iterator[FakePeer]:
    peer = FakePeer(tls)
    with peer.loopback:
        yield peer
