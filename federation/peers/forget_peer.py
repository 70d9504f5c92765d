"""Forget a peer: delete its pinned key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from federation.models import KnownPeer
from federation.peers.queries import build_peer_row, get_peer
from federation.policy.queries import evaluate_policy
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit

WORDS = ChangeWords(
    "peer",
    "Would forget peer {server_name}.",
    "Peer {server_name} forgotten; the next check-peer stores its key again.",
    "Peer {server_name} was already forgotten; nothing changed.",
)


def forget_peer(
    *,
    operator: Operator,
    server_name: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Delete a known peer, so that its next key is accepted as if it was seen for the first time.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises PeerNotFound.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    peer = get_peer(operator, server_name)
    row = build_peer_row(peer, evaluate_policy(peer.server_name))
    if dry_run:
        return Change(WORDS, row, dry_run=True)
    confirm(
        f"This deletes the stored key {row['key_id']} of {peer.server_name}: a changed key is no "
        "longer noticed when the peer is seen next."
    )
    with transaction.atomic():
        current = KnownPeer.objects.select_for_update().filter(pk=peer.pk).first()
        if current is None:  # Another command was first.
            return Change(WORDS, row)
        details = {"server_name": current.server_name, "key_id": row["key_id"]}
        record_audit(operator, "federation peer forget", current, now, details)
        current.delete()
    return Change(WORDS, row, changed=True)
