"""Change the federation policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from federation.errors import InvalidPolicy
from federation.models import FederationMode, Policy
from federation.policy.queries import build_policy_row, get_policy
from federation.policy.server_names import parse_server_name
from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.serializers import Row

MAX_FOREIGN_PARTICIPANTS = 2**31 - 1
"""The largest value of the column."""


@dataclass(frozen=True)
class PolicyUpdate:
    """The changes to make. `max_foreign`, None for no limit, applies only with `limit_foreign`."""

    default_mode: str | None = None
    allow_peers: Sequence[str] = ()
    remove_peers: Sequence[str] = ()
    limit_foreign: bool = False
    max_foreign: int | None = None


@dataclass(frozen=True)
class SetPolicyResult(ChangeResult):
    """`changed` maps fields to [before, after]; it is empty if nothing changed."""

    policy: Row
    changed: dict[str, list[Any]]
    dry_run: bool = False

    @property
    def lines(self) -> list[str]:
        if not self.changed:
            return ["The policy already has these values; nothing changed."]
        verb = "Would set" if self.dry_run else "Set"
        return [
            f"{verb} {field} to {_format_value(after)} (was {_format_value(before)})."
            for field, (before, after) in self.changed.items()
        ]

    @property
    def warnings(self) -> list[str]:
        mode = self.policy["default_mode"]
        if "allowed_peers" not in self.changed or mode == FederationMode.INVITE_ONLY:
            return []
        return [
            f"The mode is {mode}: allowed_peers has no effect; it applies only in mode invite_only."
        ]

    def document(self) -> Row:
        changes = [
            {"field": field, "old": before, "new": after}
            for field, (before, after) in self.changed.items()
        ]
        return {"policy": self.policy, "changed": bool(changes), "changes": changes}


def set_policy(
    *, operator: Operator, changes: PolicyUpdate, now: datetime, dry_run: bool = False
) -> SetPolicyResult:
    """Apply the given changes and leave the rest. A second call with them changes nothing.

    Raises InvalidPolicy and InvalidServerName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    _validate(changes)
    if dry_run:
        policy = get_policy()
        changed = _apply(policy, changes)
        return SetPolicyResult(build_policy_row(policy), changed, dry_run=True)
    with transaction.atomic():
        # Lock the row or create it. The second of two concurrent runs waits here.
        policy, _ = Policy.objects.select_for_update().get_or_create(
            number=1, defaults={"updated_at": now}
        )
        changed = _apply(policy, changes)
        if changed:
            policy.updated_at = now
            policy.save()
            record_audit(operator, "federation policy set", policy, now, {"changed": changed})
    return SetPolicyResult(build_policy_row(policy), changed)


def _validate(changes: PolicyUpdate) -> None:
    given = (changes.default_mode, changes.allow_peers, changes.remove_peers)
    if not any(given) and not changes.limit_foreign:
        raise InvalidPolicy("No changes were requested.")
    both = sorted(set(_parse_names(changes.allow_peers)) & set(_parse_names(changes.remove_peers)))
    if both:
        raise InvalidPolicy(
            f"{', '.join(both)} can't be both allowed and removed.",
            fix="Pass either --allow-peer or --remove-peer for a server.",
        )
    if not 0 <= (changes.max_foreign or 0) <= MAX_FOREIGN_PARTICIPANTS:
        raise InvalidPolicy(
            f"Invalid participant limit: {changes.max_foreign}.",
            fix=f"Pass 0 to {MAX_FOREIGN_PARTICIPANTS}, or `none` for no limit.",
        )


def _apply(policy: Policy, changes: PolicyUpdate) -> dict[str, list[Any]]:
    """Change the policy without saving it. Return {field: [before, after]} of the differences."""
    before = build_policy_row(policy)
    if changes.default_mode is not None:
        policy.default_mode = changes.default_mode
    peers = set(policy.allowed_peers) | set(_parse_names(changes.allow_peers))
    policy.allowed_peers = sorted(peers - set(_parse_names(changes.remove_peers)))
    if changes.limit_foreign:
        policy.max_foreign_participants_per_room = changes.max_foreign
    after = build_policy_row(policy)
    return {
        field: [before[field], after[field]] for field in after if before[field] != after[field]
    }


def _parse_names(peers: Sequence[str]) -> list[str]:
    return [parse_server_name(peer).text for peer in peers]


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
