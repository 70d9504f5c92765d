"""Other servers that this server has seen, each with its pinned key."""

from __future__ import annotations

from federation.errors import InvalidServerName, PeerNotFound
from federation.keys.ed25519 import PREFIX
from federation.keys.signing import key_from_text
from federation.models import KnownPeer
from federation.policy.queries import PolicyDecision, evaluate_policy, get_policy
from federation.policy.server_names import parse_server_name
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from tenants.lookup.nearest import find_nearest, suggest_nearest
from tenants.lookup.serializers import Row, last_audit_entries
from tenants.models import AuditEntry

BATCH_SIZE = 500


def list_peers(*, operator: Operator, limit: int | None = None) -> Page:
    """Return the known peers by name. Yields one row at a time; errors are raised at once."""
    operator.require(Permission.VIEW_PLATFORM)
    policy = get_policy()
    peers = KnownPeer.objects.order_by("server_name")
    rows = (
        build_peer_row(peer, evaluate_policy(peer.server_name, policy))
        for peer in peers[:limit].iterator(chunk_size=BATCH_SIZE)
    )
    return Page(rows, count=peers.count)


def show_peer(*, operator: Operator, server_name: str) -> Row:
    """Return a known peer with its last audit entries. Raises `PeerNotFound`."""
    operator.require(Permission.VIEW_PLATFORM)
    peer = get_peer(operator, server_name)
    decision = evaluate_policy(peer.server_name)
    entries = AuditEntry.objects.filter(subject_type="knownpeer", subject_id=str(peer.pk))
    return {
        **build_peer_row(peer, decision),
        "policy": decision.reason,
        "audit_entries": last_audit_entries(entries),
    }


def get_peer(operator: Operator, server_name: str) -> KnownPeer:
    """Return the known peer with this name, in any case. Raises `PeerNotFound`."""
    try:
        name = parse_server_name(server_name).text
    except InvalidServerName:
        name = ""
    if peer := KnownPeer.objects.filter(server_name=name).first():
        return peer
    raise PeerNotFound(
        f"Peer not found: {server_name}.",
        fix=suggest_nearest(
            find_nearest(operator, server_name, KnownPeer.objects.all(), "server_name"),
            "`scaiwave admin federation peer list` lists all.",
            PeerNotFound.fix,
        ),
    )


def build_peer_row(peer: KnownPeer, decision: PolicyDecision) -> Row:
    return {
        "id": peer.pk,
        "server_name": peer.server_name,
        "key_id": key_from_text(PREFIX + peer.public_key).key_id,
        "public_key": PREFIX + peer.public_key,
        "protocol_versions": peer.protocol_versions,
        "first_seen_at": peer.first_seen_at,
        "last_seen_at": peer.last_seen_at,
        "key_changed_at": peer.key_changed_at,
        "policy_allows": decision.is_allowed,
    }
