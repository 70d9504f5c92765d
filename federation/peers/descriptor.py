"""Fetch a peer's descriptor, and validate it as strictly as a handshake would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from federation.errors import HandshakeIncompatible, InvalidDescriptor, PeerAddressRefused
from federation.keys.descriptor import DESCRIPTOR_PATH, PROTOCOL_VERSION
from federation.keys.signing import VerifyingKey, key_from_text, keys_from_descriptor
from federation.peers.addresses import NETWORKS_SETTING, Network, resolve_peer
from federation.peers.client import Headers, fetch
from scaiwave.clients.http.exceptions import Timeouts, UpstreamServer
from scaiwave.clients.http.retry import parse_http_date
from scaiwave.config.server_name import ServerName, normalize_server_name
from scaiwave.core.errors import UpstreamInvalidResponse, UpstreamUnavailable
from tenants.lookup.resolve import is_storable_text

MAX_DESCRIPTOR_BYTES = 64 * 1024
"""A descriptor with a dozen previous keys has about 2,000 bytes."""

TIMEOUTS = Timeouts(connect=10, read=10, write=10, total=20)
MAX_VERSIONS = 100


@dataclass(frozen=True)
class PeerDescriptor:
    """A peer's validated descriptor.

    `clock_offset` is in seconds, positive if the peer's clock is ahead, None if it is unknown.
    """

    key: VerifyingKey
    public_key: str
    previous: dict[str, VerifyingKey] = field(repr=False)
    protocol_versions: list[str]
    clock_offset: float | None


@dataclass(frozen=True, kw_only=True)
class FederationPeer(UpstreamServer):
    """A peer for error messages: they show its server name, since no setting holds its URL."""

    server_name: str

    @property
    def name(self) -> str:
        return self.server_name

    @property
    def setting(self) -> str:
        return "the server's name"


def fetch_descriptor(
    name: ServerName, *, networks: list[Network], plain_http: bool, timeouts: Timeouts = TIMEOUTS
) -> PeerDescriptor:
    """Fetch and validate a peer's descriptor.

    Raises UpstreamUnreachable and UpstreamUnavailable if the peer does not answer,
    PeerAddressRefused, and HandshakeIncompatible for everything that would make a handshake fail.
    """
    # 1. Resolve the name, and refuse addresses that this server must not call.
    addresses = resolve_peer(name, networks=networks)
    if plain_http and not addresses.are_in_networks:
        raise PeerAddressRefused(
            f"--plain-http is refused: {name} is not in a network of {NETWORKS_SETTING}.",
            fix=f"Omit --plain-http, or add the peer's network to {NETWORKS_SETTING}.",
        )
    # 2. Fetch the document from those addresses.
    origin = f"{'http' if plain_http else 'https'}://{name}"
    peer = FederationPeer(
        service="the server", origin=origin, timeouts=timeouts, server_name=name.text
    )
    try:
        status, headers, body = fetch(
            origin + DESCRIPTOR_PATH,
            addresses=addresses.texts,
            peer=peer,
            max_bytes=MAX_DESCRIPTOR_BYTES,
        )
    except UpstreamInvalidResponse as error:
        raise HandshakeIncompatible(error.message, fix=_format_fix(name)) from None
    # 3. Validate it.
    _check_status(name, status)
    return _parse_descriptor(name, body, clock_skew(headers, datetime.now(UTC)))


def _check_status(name: ServerName, status: int) -> None:
    if status >= 500 or status == 429:
        raise UpstreamUnavailable(
            f"{name} returned HTTP {status}.",
            fix="Try again later, or ask its administrator.",
        )
    if 300 <= status < 400:
        raise _handshake_error(
            name, "returned a redirect, but a descriptor must be served at the name itself"
        )
    if status != 200:
        raise _handshake_error(name, f"returned HTTP {status} instead of its descriptor")


def _parse_descriptor(name: ServerName, body: bytes, offset: float | None) -> PeerDescriptor:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _handshake_error(name, "did not return a JSON object")
    reported_name = document.get("server_name")
    if not isinstance(reported_name, str):
        raise _handshake_error(name, "does not report its server name")
    if normalize_server_name(reported_name) != normalize_server_name(name.text):
        raise _handshake_error(name, f"reports another server name: {_quote(reported_name)}")
    if document.get("public_key") == "":
        raise _handshake_error(name, "has no signing key yet")
    try:
        keys = keys_from_descriptor(document)
    except InvalidDescriptor as error:
        raise HandshakeIncompatible(f"{name}: {error.message}", fix=_format_fix(name)) from None
    key = key_from_text(document["public_key"])
    previous = {key_id: other for key_id, other in keys.items() if key_id != key.key_id}
    versions = _parse_versions(name, document)
    return PeerDescriptor(key, document["public_key"], previous, versions, offset)


def _parse_versions(name: ServerName, document: dict[str, Any]) -> list[str]:
    versions = document.get("protocol_versions")
    if not isinstance(versions, list) or not all(
        isinstance(version, str) and is_storable_text(version) for version in versions
    ):
        raise _handshake_error(name, "does not report its protocol versions")
    if PROTOCOL_VERSION not in versions:
        supported = ", ".join(map(_quote, versions[:10])) or "none"
        raise _handshake_error(
            name,
            f"does not support protocol version {PROTOCOL_VERSION} (supported: {supported})",
        )
    return versions[:MAX_VERSIONS]


def clock_skew(headers: Headers, now: datetime) -> float | None:
    """Return how many seconds the Date header is ahead of `now`; None without a valid one.

    The header has whole seconds and was written just before it was received.
    """
    date = parse_http_date(headers.get("date"))
    return None if date is None else (date - now).total_seconds()


def _quote(text: str) -> str:
    """Quote a text from the peer, cut to a readable length."""
    return repr(text[:100])


def _handshake_error(name: ServerName, problem: str) -> HandshakeIncompatible:
    return HandshakeIncompatible(f"{name} {problem}.", fix=_format_fix(name))


def _format_fix(name: ServerName) -> str:
    return f"Check the spelling of the name, then ask the administrator of {name}."
