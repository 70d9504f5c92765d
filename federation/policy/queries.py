"""The federation policy: which servers this server federates with."""

from __future__ import annotations

from dataclasses import dataclass

from federation.models import FederationMode, Policy
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.serializers import Row


@dataclass(frozen=True)
class PolicyDecision:
    """Whether the policy allows a server; `reason` completes "The policy …"."""

    is_allowed: bool
    reason: str


def show_policy(*, operator: Operator) -> Row:
    """Return the policy in force. `updated_at` is None until a policy is set."""
    operator.require(Permission.VIEW_PLATFORM)
    return build_policy_row(get_policy())


def get_policy() -> Policy:
    """Return the stored policy, or the default one (closed) if none is stored."""
    return Policy.objects.first() or Policy()


def evaluate_policy(server_name: str, policy: Policy | None = None) -> PolicyDecision:
    """Without a policy, the one in force counts."""
    policy = policy or get_policy()
    if policy.default_mode == FederationMode.OPEN:
        return PolicyDecision(True, "is open to every server")
    if policy.default_mode == FederationMode.CLOSED:
        return PolicyDecision(False, "is closed to every server")
    if server_name in policy.allowed_peers:
        return PolicyDecision(True, f"allows {server_name}")
    return PolicyDecision(False, f"allows listed servers only, and {server_name} is not listed")


def describe_policy(policy: Policy) -> str:
    """Return in sentences the effect of a policy while it is in force."""
    sentences = [_MODE_SENTENCES[FederationMode(policy.default_mode)]]
    if policy.default_mode == FederationMode.INVITE_ONLY:
        sentences.append(f"It allows {pluralize(len(policy.allowed_peers), 'server')}.")
    limit = policy.max_foreign_participants_per_room
    if limit is not None and policy.default_mode != FederationMode.CLOSED:
        sentences.append(f"A room may have {pluralize(limit, 'participant')} of other servers.")
    return " ".join(sentences)


_MODE_SENTENCES = {
    FederationMode.OPEN: "The policy in force is open: every server may federate.",
    FederationMode.INVITE_ONLY: "The policy in force is invite only: listed servers may federate.",
    FederationMode.CLOSED: "The policy in force is closed: this server federates with no other.",
}


def build_policy_row(policy: Policy) -> Row:
    return {
        "default_mode": policy.default_mode,
        "allowed_peers": policy.allowed_peers,
        "max_foreign_participants_per_room": policy.max_foreign_participants_per_room,
        "updated_at": policy.updated_at,
    }
