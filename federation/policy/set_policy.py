"""Change the federation policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from federation.errors import InvalidPolicy
from federation.models import FederationMode, Policy
from federation.policy.queries import build_policy_row, get_policy
from federation.policy.server_names import parse_server_name
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit

MAX_FOREIGN_PARTICIPANTS = 2**31 - 1
"""The largest value of the column."""


WORDS = ChangeWords("policy", "", "", "The policy already has these values; nothing changed.")


def set_policy(
    *,
    operator: Operator,
    now: datetime,
    default_mode: str | None = None,
    allow_peers: Sequence[str] = (),
    remove_peers: Sequence[str] = (),
    max_foreign: int | str | None = None,
    dry_run: bool = False,
) -> Change:
    """Apply the given changes and leave the rest. A second call with them changes nothing.

    `max_foreign` is `none` for no limit. Raises InvalidPolicy and InvalidServerName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    allowed, removed = _parse_names(allow_peers), _parse_names(remove_peers)
    if not (default_mode or allowed or removed) and max_foreign is None:
        raise InvalidPolicy("No changes were requested.")
    _check_values(allowed, removed, max_foreign)

    def apply(policy: Policy) -> dict[str, list[Any]]:
        """Change the policy without saving it. Return {field: [before, after]}."""
        before = build_policy_row(policy)
        policy.default_mode = default_mode or policy.default_mode
        policy.allowed_peers = sorted((set(policy.allowed_peers) | allowed) - removed)
        if max_foreign is not None:
            limit = max_foreign if isinstance(max_foreign, int) else None
            policy.max_foreign_participants_per_room = limit
        after = build_policy_row(policy)
        return {name: [before[name], after[name]] for name in after if before[name] != after[name]}

    if dry_run:
        policy = get_policy()
        return _build_result(policy, apply(policy), dry_run=True)
    with transaction.atomic():
        # Lock the row or create it. The second of two concurrent runs waits here.
        policy, _ = Policy.objects.select_for_update().get_or_create(
            number=1, defaults={"updated_at": now}
        )
        if changed := apply(policy):
            policy.updated_at = now
            policy.save()
            record_audit(operator, "federation policy set", policy, now, {"changed": changed})
    return _build_result(policy, changed)


def _check_values(allowed: set[str], removed: set[str], max_foreign: int | str | None) -> None:
    if both := sorted(allowed & removed):
        raise InvalidPolicy(
            f"{', '.join(both)} can't be both allowed and removed.",
            fix="Pass either --allow-peer or --remove-peer for a server.",
        )
    if isinstance(max_foreign, int) and not 0 <= max_foreign <= MAX_FOREIGN_PARTICIPANTS:
        raise InvalidPolicy(
            f"Invalid participant limit: {max_foreign}.",
            fix=f"Pass 0 to {MAX_FOREIGN_PARTICIPANTS}, or `none` for no limit.",
        )


def _build_result(
    policy: Policy, changed: dict[str, list[Any]], *, dry_run: bool = False
) -> Change:
    verb, mode = "Would set" if dry_run else "Set", policy.default_mode
    cautions = []
    if "allowed_peers" in changed and mode != FederationMode.INVITE_ONLY:
        cautions.append(
            f"The mode is {mode}: allowed_peers has no effect; it applies only in mode invite_only."
        )
    changes = [{"field": name, "old": old, "new": new} for name, (old, new) in changed.items()]
    return Change(
        WORDS,
        build_policy_row(policy),
        bool(changed) and not dry_run,
        bool(changed) and dry_run,
        rest={"changes": changes},
        cautions=cautions,
        notes=[
            f"{verb} {name} to {_format_value(new)} (was {_format_value(old)})."
            for name, (old, new) in changed.items()
        ],
    )


def _parse_names(peers: Sequence[str]) -> set[str]:
    return {parse_server_name(peer).text for peer in peers}


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
