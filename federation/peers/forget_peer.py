"""Forget a peer: delete its pinned key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from federation.models import KnownPeer
from federation.peers.queries import build_peer_row, get_peer
from federation.policy.queries import evaluate_policy
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.serializers import Row


@dataclass(frozen=True)
class ForgetPeerResult:
    """`peer` is the peer as it was. `changed` is False if another command was first, and in a
    dry run."""

    peer: Row
    changed: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        name = self.peer["server_name"]
        if self.dry_run:
            return f"Would forget peer {name}."
        if self.changed:
            return f"Peer {name} forgotten; the next check-peer stores its key again."
        return f"Peer {name} was already forgotten; nothing changed."

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"peer": self.peer, "changed": self.changed or self.dry_run}


def forget_peer(
    *,
    operator: Operator,
    server_name: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> ForgetPeerResult:
    """Delete a known peer, so that its next key is accepted as if it was seen for the first time.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises PeerNotFound.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    peer = get_peer(operator, server_name)
    row = build_peer_row(peer, evaluate_policy(peer.server_name))
    if dry_run:
        return ForgetPeerResult(row, changed=False, dry_run=True)
    confirm(
        f"This deletes the stored key {row['key_id']} of {peer.server_name}: a changed key is no "
        "longer noticed when the peer is seen next."
    )
    return ForgetPeerResult(row, changed=_delete(operator, peer, row, now))


def _delete(operator: Operator, peer: KnownPeer, row: Row, now: datetime) -> bool:
    """Return whether the peer was there."""
    with transaction.atomic():
        current = KnownPeer.objects.select_for_update().filter(pk=peer.pk).first()
        if current is None:
            return False
        record_audit(
            operator=operator,
            action="federation peer forget",
            subject=current,
            now=now,
            details={"server_name": current.server_name, "key_id": row["key_id"]},
        )
        current.delete()
    return True
