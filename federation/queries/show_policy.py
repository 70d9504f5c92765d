from __future__ import annotations

from federation.models import Policy
from federation.queries.key_rows import Row
from federation.queries.policy import current_policy
from scaiwave.auth.operators import Operator, Permission


def show_policy(*, operator: Operator) -> Row:
    """The policy as peers meet it; `updated_at` is None while nobody has set anything."""
    operator.require(Permission.VIEW_PLATFORM)
    return policy_row(current_policy())


def policy_row(policy: Policy) -> Row:
    return {
        "default_mode": policy.default_mode,
        "allowed_peers": policy.allowed_peers,
        "max_foreign_participants_per_room": policy.max_foreign_participants_per_room,
        "updated_at": policy.updated_at,
    }
