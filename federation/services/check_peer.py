from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from federation.errors import HandshakeIncompatible
from federation.models import KnownPeer
from federation.queries.keys import DRIFT, signing_key
from federation.queries.policy import PolicyDecision, evaluate_policy
from federation.services.known_peers import CHANGED, PeerKeyComparison, compare_key, save_peer
from federation.services.peer_addresses import peer_networks
from federation.services.peer_descriptor import PeerDescriptor, fetch_descriptor
from federation.services.public_keys import encode
from federation.services.server_names import ServerName, parse_server_name
from scaiwave.auth.operators import Operator, Permission
from tenants.services.audit import record_audit

Row = dict[str, Any]


@dataclass(frozen=True)
class CheckPeerResult:
    """`problem` is why the handshake would fail although the descriptor is good."""

    peer: Row
    warnings: list[str]
    problem: HandshakeIncompatible | None
    dry_run: bool

    def document(self) -> Row:
        document = {"peer": self.peer, "warnings": self.warnings, "handshake": not self.problem}
        return {**document, "dry_run": True} if self.dry_run else document


def check_peer(
    *,
    operator: Operator,
    server_name: str,
    plain_http: bool = False,
    now: datetime,
    dry_run: bool = False,
) -> CheckPeerResult:
    """Fetch a peer's descriptor, compare its key with the last one seen, and remember it.

    Raises InvalidServerName, PeerAddressRefused, SettingInvalid, and what `fetch_descriptor`
    raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    name = parse_server_name(server_name)
    networks = peer_networks(settings.CONFIG)
    found = fetch_descriptor(name, networks=networks, plain_http=plain_http)
    with transaction.atomic():
        known = KnownPeer.objects.select_for_update().filter(server_name=name.text).first()
        acquaintance = compare_key(known, found)
        if not dry_run:
            peer = save_peer(known, name, found, now)
            _record(operator, peer, acquaintance, now)
    verdict = evaluate_policy(name.text)
    return CheckPeerResult(
        _row(name, found, acquaintance, verdict),
        _warnings(name, found, acquaintance),
        _problem(name, verdict, has_key=signing_key(now) is not None),
        dry_run,
    )


def _record(
    operator: Operator, peer: KnownPeer, acquaintance: PeerKeyComparison, now: datetime
) -> None:
    record_audit(
        operator=operator,
        action="federation check-peer",
        subject=peer,
        now=now,
        details={
            "key_id": acquaintance.key_id,
            "seen": acquaintance.seen,
            "last_key_id": acquaintance.last_key_id,
        },
    )


def _row(
    name: ServerName,
    found: PeerDescriptor,
    acquaintance: PeerKeyComparison,
    verdict: PolicyDecision,
) -> Row:
    offset = found.clock_offset
    return {
        "server_name": name.text,
        "key_id": found.key.key_id,
        "public_key": encode(found.key.public_key),
        "previous_key_ids": list(found.previous),
        "protocol_versions": found.protocol_versions,
        "key_seen": acquaintance.seen,
        "key_seen_since": acquaintance.since,
        "last_key_id": acquaintance.last_key_id,
        "policy_lets_in": verdict.lets_in,
        "policy": verdict.why,
        "clock_offset_seconds": None if offset is None else round(offset),
    }


def _warnings(
    name: ServerName, found: PeerDescriptor, acquaintance: PeerKeyComparison
) -> list[str]:
    warnings = []
    if acquaintance.seen == CHANGED:
        warnings.append(_changed(name, acquaintance))
    offset = found.clock_offset
    if offset is not None and abs(offset) > DRIFT.total_seconds():
        side = "ahead of" if offset > 0 else "behind"
        warnings.append(
            f"The clock of {name} is {abs(offset):,.0f} s {side} this machine's; more than "
            f"{DRIFT.total_seconds():.0f} s look like a bad signature. Compare both with NTP."
        )
    return warnings


def _changed(name: ServerName, acquaintance: PeerKeyComparison) -> str:
    since = f"{acquaintance.since:%Y-%m-%d %H:%M} UTC"
    changed = f"The key of {name} has changed since it was last seen on {since}"
    if acquaintance.announced:
        return f"{changed}: it was rotated, and the old key is among its previous ones."
    return (
        f"{changed}, and its descriptor does not list the old key {acquaintance.last_key_id}. "
        "Ask its administrator whether that is right before you rely on it."
    )


def _problem(
    name: ServerName, verdict: PolicyDecision, *, has_key: bool
) -> HandshakeIncompatible | None:
    if not verdict.lets_in:
        return HandshakeIncompatible(
            f"This server's policy {verdict.why}.",
            fix="`scaiwave admin federation policy set --default-mode invite_only --allow-peer "
            f"{name}` lets it in.",
        )
    if not has_key:
        return HandshakeIncompatible(
            "This server has no signing key, so the peer can't trust it.",
            fix="`scaiwave admin federation key generate` makes one.",
        )
    return None
