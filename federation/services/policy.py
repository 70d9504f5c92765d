from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from federation.errors import InvalidPolicy
from federation.models import FederationMode, Policy
from federation.queries.key_rows import Row
from federation.queries.policy import current_policy
from federation.queries.show_policy import policy_row
from federation.services.server_names import parse_server_name
from scaiwave.auth.operators import Operator, Permission
from tenants.services.audit import record_audit

MOST_FOREIGN = 2**31 - 1
"""What the column holds."""


@dataclass(frozen=True)
class PolicyUpdate:
    """What to change. `max_foreign` counts with `limit_foreign` alone, and None is no limit."""

    default_mode: str | None = None
    allow_peers: Sequence[str] = ()
    remove_peers: Sequence[str] = ()
    limit_foreign: bool = False
    max_foreign: int | None = None


@dataclass(frozen=True)
class SetPolicyResult:
    """`changed` has {field: [before, after]}; it is empty where all was so already."""

    policy: Row
    changed: dict[str, list[Any]]
    dry_run: bool = False

    @property
    def sentences(self) -> list[str]:
        if not self.changed:
            return ["Nothing to change: the policy is so already."]
        verb = "Would set" if self.dry_run else "Set"
        return [
            f"{verb} {field} to {_said(after)} (was {_said(before)})."
            for field, (before, after) in self.changed.items()
        ]

    @property
    def warning(self) -> str:
        mode = self.policy["default_mode"]
        if "allowed_peers" not in self.changed or mode == FederationMode.INVITE_ONLY:
            return ""
        return f"The mode is {mode}, and allowed_peers count only where it is invite_only."

    def document(self) -> Row:
        document = {"policy": self.policy, "changed": self.changed}
        return {**document, "dry_run": True} if self.dry_run else document


def set_policy(
    *, operator: Operator, changes: PolicyUpdate, now: datetime, dry_run: bool = False
) -> SetPolicyResult:
    """Change what is asked for and leave the rest; the same once more changes nothing.

    Raises InvalidPolicy and InvalidServerName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    _check(changes)
    if dry_run:
        policy = current_policy()
        changed = _apply(policy, changes)
        return SetPolicyResult(policy_row(policy), changed, dry_run=True)
    with transaction.atomic():
        # Locks the row, or makes it: of two at once the second waits.
        policy, _ = Policy.objects.select_for_update().get_or_create(
            number=1, defaults={"updated_at": now}
        )
        changed = _apply(policy, changes)
        if changed:
            policy.updated_at = now
            policy.save()
            _record(operator, policy, changed, now)
    return SetPolicyResult(policy_row(policy), changed)


def _record(
    operator: Operator, policy: Policy, changed: dict[str, list[Any]], now: datetime
) -> None:
    record_audit(
        operator=operator,
        action="federation policy set",
        subject=policy,
        now=now,
        details={"changed": changed},
    )


def _check(changes: PolicyUpdate) -> None:
    wanted = (changes.default_mode, changes.allow_peers, changes.remove_peers)
    if not any(wanted) and not changes.limit_foreign:
        raise InvalidPolicy("Nothing to set was given.", fix="Pass what is to change; see --help.")
    both = sorted(set(_names(changes.allow_peers)) & set(_names(changes.remove_peers)))
    if both:
        raise InvalidPolicy(
            f"{', '.join(both)} can't be both allowed and removed.", fix="Pass one of the two."
        )
    if not 0 <= (changes.max_foreign or 0) <= MOST_FOREIGN:
        raise InvalidPolicy(
            f"A limit of {changes.max_foreign} participants is not possible.",
            fix=f"Pass 0 to {MOST_FOREIGN}, or none for no limit.",
        )


def _apply(policy: Policy, changes: PolicyUpdate) -> dict[str, list[Any]]:
    """Change the policy, not yet saved; {field: [before, after]} of what is different."""
    before = policy_row(policy)
    if changes.default_mode is not None:
        policy.default_mode = changes.default_mode
    peers = set(policy.allowed_peers) | set(_names(changes.allow_peers))
    policy.allowed_peers = sorted(peers - set(_names(changes.remove_peers)))
    if changes.limit_foreign:
        policy.max_foreign_participants_per_room = changes.max_foreign
    after = policy_row(policy)
    return {
        field: [before[field], after[field]] for field in after if before[field] != after[field]
    }


def _names(peers: Sequence[str]) -> list[str]:
    return [parse_server_name(peer).text for peer in peers]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "nobody"
    return "none" if value is None else str(value)
