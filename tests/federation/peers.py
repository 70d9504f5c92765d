"""Other servers, on loopback: what they say of themselves, and certificates for them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from federation.services import ed25519, public_keys
from tests.scaiwave.clients.loopback import Asked, Loopback, Said, say

TEXT = public_keys.encode(ed25519.public_key(b"\1" * 32))
OTHER_TEXT = public_keys.encode(ed25519.public_key(b"\2" * 32))


def key_id(text: str) -> str:
    return public_keys.thumbprint(public_keys.parse(text))


def description(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "server_name": name,
        "public_key": TEXT,
        "protocol_versions": ["v1"],
        "endpoints": {},
        **changes,
    }


class Peer:
    """A server whose answer a test may change while it runs; `name` is its server name."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.loopback = Loopback(self._answer, tls=tls)
        self.answer: Callable[[Asked], Said] = lambda asked: say(description(self.name))

    def _answer(self, asked: Asked) -> Said:
        return self.answer(asked)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.loopback.port}"

    @property
    def port(self) -> int:
        return self.loopback.port

    @property
    def asked(self) -> list[Asked]:
        return self.loopback.asked

    def says(self, body: Any = None, **arguments: Any) -> None:
        self.answer = lambda asked: say(body, **arguments)

    def describes(self, **changes: Any) -> None:
        self.says(description(self.name, **changes))


@contextmanager
def running(tls: ssl.SSLContext | None) -> Iterator[Peer]:
    peer = Peer(tls)
    with peer.loopback:
        yield peer
