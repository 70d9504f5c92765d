"""A peer's descriptor: fetched, and read as strictly as a handshake would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from federation.errors import HandshakeIncompatible, InvalidDescriptor, PeerAddressRefused
from federation.queries.descriptor import PATH, VERSION
from federation.services.peer_addresses import SETTING, Network, find_peer
from federation.services.peer_client import Headers, fetch
from federation.services.server_names import ServerName
from federation.services.signing import VerifyingKey, key_from_text, keys_from_descriptor
from scaiwave.clients.dates import parse_http_date
from scaiwave.clients.http.exceptions import Timeouts, UpstreamServer
from scaiwave.errors import UpstreamInvalidResponse, UpstreamUnavailable
from tenants.queries.resolve import is_storable_text

LARGEST = 64 * 1024
"""Bytes. A descriptor with a dozen previous keys has about 2,000."""

TIMEOUTS = Timeouts(connect=10, read=10, write=10, whole=20)
MOST_VERSIONS = 100


@dataclass(frozen=True)
class PeerDescriptor:
    """What a peer says of itself. `clock_offset` is in seconds, positive when its clock is ahead
    of ours, None when it doesn't say."""

    key: VerifyingKey
    public_key: str
    previous: dict[str, VerifyingKey] = field(repr=False)
    protocol_versions: list[str]
    clock_offset: float | None


@dataclass(frozen=True, kw_only=True)
class FederationPeer(UpstreamServer):
    """In messages a peer goes by its name, and no setting holds its address."""

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
    """Ask a peer for its descriptor.

    Raises UpstreamUnreachable and UpstreamUnavailable where no answer is to be had,
    PeerAddressRefused, and HandshakeIncompatible for whatever a handshake would stumble over.
    """
    found = find_peer(name, networks=networks)
    if plain_http and not found.are_ours:
        raise PeerAddressRefused(
            f"{name} would be asked without encryption, and is not in a network of {SETTING}.",
            fix=f"Leave --plain-http out, or add the peer's network to {SETTING}.",
        )
    origin = f"{'http' if plain_http else 'https'}://{name}"
    peer = FederationPeer(
        service="the server", origin=origin, timeouts=timeouts, server_name=name.text
    )
    try:
        status, headers, body = fetch(
            origin + PATH, addresses=found.texts, peer=peer, largest=LARGEST
        )
    except UpstreamInvalidResponse as error:
        raise HandshakeIncompatible(error.message, fix=_mend(name)) from None
    _check_status(name, status)
    return _read(name, body, clock_skew(headers, datetime.now(UTC)))


def _check_status(name: ServerName, status: int) -> None:
    if status >= 500 or status == 429:
        raise UpstreamUnavailable(
            f"{name} answers with HTTP {status}.",
            fix="Try again later, or ask its administrator.",
        )
    if 300 <= status < 400:
        raise _fails(name, "redirects elsewhere, and a descriptor must be at the name itself")
    if status != 200:
        raise _fails(name, f"answers HTTP {status} where its descriptor should be")


def _read(name: ServerName, body: bytes, offset: float | None) -> PeerDescriptor:
    document = _object(name, body)
    called = document.get("server_name")
    if not isinstance(called, str) or called.lower() != name.text:
        raise _fails(name, f"calls itself {_quoted(called)}")
    if document.get("public_key") == "":
        raise _fails(name, "has no key yet")
    try:
        keys = keys_from_descriptor(document)
    except InvalidDescriptor as error:
        raise HandshakeIncompatible(f"{name}: {error.message}", fix=_mend(name)) from None
    key = key_from_text(document["public_key"])
    previous = {key_id: other for key_id, other in keys.items() if key_id != key.key_id}
    return PeerDescriptor(key, document["public_key"], previous, _versions(name, document), offset)


def _object(name: ServerName, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _fails(name, "answers with something that is not a JSON object")
    return document


def _versions(name: ServerName, document: dict[str, Any]) -> list[str]:
    versions = document.get("protocol_versions")
    if not isinstance(versions, list) or not all(map(_is_version, versions)):
        raise _fails(name, "does not say which protocol versions it speaks")
    if VERSION not in versions:
        spoken = ", ".join(_quoted(version) for version in versions[:10]) or "none at all"
        raise _fails(name, f"does not speak protocol version {VERSION}, but {spoken}")
    return versions[:MOST_VERSIONS]


def _is_version(value: object) -> bool:
    """A text that our database takes, too."""
    return isinstance(value, str) and is_storable_text(value)


def clock_skew(headers: Headers, now: datetime) -> float | None:
    """By its Date header, which has whole seconds and was written a moment ago."""
    said = parse_http_date(headers.get("date"))
    return None if said is None else (said - now).total_seconds()


def _quoted(value: object) -> str:
    """Something a stranger says, at a length that can be read."""
    return repr(value[:100]) if isinstance(value, str) else "nothing"


def _fails(name: ServerName, why: str) -> HandshakeIncompatible:
    return HandshakeIncompatible(f"{name} {why}.", fix=_mend(name))


def _mend(name: ServerName) -> str:
    return f"Ask the administrator of {name}, and check the spelling of the name."
