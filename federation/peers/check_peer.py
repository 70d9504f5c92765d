"""Check whether federation with a peer would work, and store the peer's key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from shlex import quote

from django.conf import settings
from django.db import transaction

from federation.errors import HandshakeIncompatible
from federation.keys.ed25519 import PREFIX, format_public_key, to_base64
from federation.keys.queries import signing_key
from federation.keys.signing import key_from_text
from federation.models import KnownPeer
from federation.peers.addresses import get_peer_networks
from federation.peers.descriptor import PeerDescriptor, fetch_descriptor
from federation.policy.queries import PolicyDecision, evaluate_policy
from federation.policy.server_names import parse_server_name
from scaiwave.config.server_name import ServerName
from scaiwave.core.clock import MAX_CLOCK_AHEAD
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.audit.record import record_audit
from tenants.lookup.serializers import Row


class PeerKeyStatus(Enum):
    FIRST_SEEN = "first seen"
    SAME = "same"
    CHANGED = "changed"


@dataclass(frozen=True)
class PeerKeyComparison:
    """A peer's key, compared with the key that was last seen.

    `since` is when the same key was first seen, or when a different key was last seen.
    `is_announced` is true if a peer with a new key lists the old one in `previous_keys`.
    """

    status: PeerKeyStatus
    key_id: str
    since: datetime | None = None
    last_key_id: str | None = None
    is_announced: bool = False


def check_peer(
    *,
    operator: Operator,
    server_name: str,
    plain_http: bool = False,
    now: datetime,
    dry_run: bool = False,
) -> Report:
    """Fetch a peer's descriptor, compare its key with the last one seen, and store it.

    The error of the report is why federation would fail although the descriptor is valid. Raises
    InvalidServerName, PeerAddressRefused, SettingInvalid, and what `fetch_descriptor` raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    # 1. Fetch the peer's descriptor.
    name = parse_server_name(server_name)
    networks = get_peer_networks(settings.CONFIG)
    descriptor = fetch_descriptor(name, networks=networks, plain_http=plain_http)
    # 2. Compare its key with the last one seen, and store it.
    with transaction.atomic():
        known = KnownPeer.objects.select_for_update().filter(server_name=name.text).first()
        comparison = compare_key(known, descriptor)
        if not dry_run:
            peer = save_peer(known, name, descriptor, now)
            key_id, last_key_id = comparison.key_id, comparison.last_key_id
            seen = {"key_id": key_id, "seen": comparison.status.value, "last_key_id": last_key_id}
            record_audit(operator, "federation check-peer", peer, now, seen)
    # 3. Check this server's side: its policy and its key.
    decision = evaluate_policy(name.text)
    problem = _find_problem(name, decision, has_key=signing_key(now) is not None)
    warnings = _build_warnings(name, descriptor, comparison)
    row = _build_row(name, descriptor, comparison, decision)
    figures = {"peer": row, "ok": problem is None, "warnings": warnings}
    return Report(figures, warnings=warnings, error=problem)


def compare_key(known: KnownPeer | None, descriptor: PeerDescriptor) -> PeerKeyComparison:
    key_id = descriptor.key.key_id
    if known is None:
        return PeerKeyComparison(PeerKeyStatus.FIRST_SEEN, key_id)
    last_key_id = key_from_text(PREFIX + known.public_key).key_id
    if last_key_id == key_id:
        since = known.key_changed_at or known.first_seen_at
        return PeerKeyComparison(PeerKeyStatus.SAME, key_id, since, last_key_id)
    return PeerKeyComparison(
        PeerKeyStatus.CHANGED,
        key_id,
        known.last_seen_at,
        last_key_id,
        is_announced=last_key_id in descriptor.previous,
    )


def save_peer(
    known: KnownPeer | None, name: ServerName, descriptor: PeerDescriptor, now: datetime
) -> KnownPeer:
    """Store the peer's key. Call it in the transaction that holds the row lock.

    If the peer was not known, a concurrent run may have stored it in the meantime.
    """
    public_key = to_base64(descriptor.key.public_key)
    defaults = {"public_key": public_key, "first_seen_at": now, "last_seen_at": now}
    peer = known or KnownPeer.objects.get_or_create(server_name=name.text, defaults=defaults)[0]
    if peer.public_key != public_key:
        peer.key_changed_at = now
    peer.public_key = public_key
    peer.protocol_versions = descriptor.protocol_versions
    peer.last_seen_at = now
    peer.save()
    return peer


def _build_row(
    name: ServerName,
    descriptor: PeerDescriptor,
    comparison: PeerKeyComparison,
    decision: PolicyDecision,
) -> Row:
    offset = descriptor.clock_offset
    return {
        "server_name": name.text,
        "key_id": descriptor.key.key_id,
        "public_key": format_public_key(descriptor.key.public_key),
        "previous_key_ids": list(descriptor.previous),
        "protocol_versions": descriptor.protocol_versions,
        "key_status": comparison.status.value,
        "key_seen_at": comparison.since,
        "last_key_id": comparison.last_key_id,
        "policy_allows": decision.is_allowed,
        "policy": decision.reason,
        "clock_offset_seconds": None if offset is None else round(offset),
    }


def _build_warnings(
    name: ServerName, descriptor: PeerDescriptor, comparison: PeerKeyComparison
) -> list[str]:
    warnings = []
    if comparison.status is PeerKeyStatus.CHANGED:
        warnings.append(_format_key_change(name, comparison))
    offset = descriptor.clock_offset
    max_drift = MAX_CLOCK_AHEAD.total_seconds()
    if offset is not None and abs(offset) > max_drift:
        side = "ahead of" if offset > 0 else "behind"
        warnings.append(
            f"The clock of {name} is {abs(offset):,.0f} s {side} this server's. A difference of "
            f"more than {max_drift:.0f} s makes signatures invalid; synchronise both with NTP."
        )
    return warnings


def _format_key_change(name: ServerName, comparison: PeerKeyComparison) -> str:
    since = f"{comparison.since:%Y-%m-%d %H:%M} UTC"
    change = f"The key of {name} has changed since it was last seen on {since}"
    if comparison.is_announced:
        return f"{change}. It was rotated: the old key is listed as a previous key."
    return (
        f"{change}, and its descriptor does not list the old key {comparison.last_key_id}. "
        "Confirm the new key with the peer's administrator before you rely on it."
    )


def _find_problem(
    name: ServerName, decision: PolicyDecision, *, has_key: bool
) -> HandshakeIncompatible | None:
    if not decision.is_allowed:
        return HandshakeIncompatible(
            f"This server's policy {decision.reason}.",
            fix="Run `scaiwave admin federation policy set --default-mode invite_only "
            f"--allow-peer {quote(str(name))}` to allow it.",
        )
    if not has_key:
        return HandshakeIncompatible(
            "This server has no signing key, so the peer can't trust it.",
            fix="Run `scaiwave admin federation key generate`.",
        )
    return None
