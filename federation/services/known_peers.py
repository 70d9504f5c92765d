"""Peers as they were when last seen, and what has changed since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation.models import KnownPeer
from federation.services.peer_descriptor import PeerDescriptor
from federation.services.public_keys import PREFIX, to_base64
from federation.services.server_names import ServerName
from federation.services.signing import key_from_text

FIRST, SAME, CHANGED = "first seen", "same", "changed"


@dataclass(frozen=True)
class PeerKeyComparison:
    """How a peer's key compares with the one that was last seen.

    `since` is when the same key was first seen, or when the other one was last seen; `announced`
    says whether a peer with a new key still lists the old one among its previous keys.
    """

    seen: str
    key_id: str
    since: datetime | None = None
    last_key_id: str | None = None
    announced: bool = False


def compare_key(known: KnownPeer | None, found: PeerDescriptor) -> PeerKeyComparison:
    key_id = found.key.key_id
    if known is None:
        return PeerKeyComparison(FIRST, key_id)
    last = key_from_text(PREFIX + known.public_key).key_id
    if last == key_id:
        return PeerKeyComparison(SAME, key_id, known.key_changed_at or known.first_seen_at, last)
    return PeerKeyComparison(CHANGED, key_id, known.last_seen_at, last, last in found.previous)


def save_peer(
    known: KnownPeer | None, name: ServerName, found: PeerDescriptor, now: datetime
) -> KnownPeer:
    """Store what the peer says now; call it in a transaction that holds the row.

    A peer that was not known may have been stored by another run meanwhile.
    """
    public_key = to_base64(found.key.public_key)
    seen = {"public_key": public_key, "first_seen_at": now, "last_seen_at": now}
    peer = known or KnownPeer.objects.get_or_create(server_name=name.text, defaults=seen)[0]
    if peer.public_key != public_key:
        peer.key_changed_at = now
    peer.public_key = public_key
    peer.protocol_versions = found.protocol_versions
    peer.last_seen_at = now
    peer.save()
    return peer
