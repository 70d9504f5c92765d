"""Whom this server federates with."""

from __future__ import annotations

from dataclasses import dataclass

from federation.models import FederationMode, Policy


@dataclass(frozen=True)
class PolicyDecision:
    """Whether the policy lets a server in, and why: completes 'The policy …'."""

    lets_in: bool
    why: str


def current_policy() -> Policy:
    """The stored policy, or the one that holds as long as none is: closed."""
    return Policy.objects.first() or Policy()


def evaluate_policy(server_name: str) -> PolicyDecision:
    policy = current_policy()
    if policy.default_mode == FederationMode.OPEN:
        return PolicyDecision(True, "is open to every server")
    if policy.default_mode == FederationMode.CLOSED:
        return PolicyDecision(False, "is closed to every server")
    if server_name in policy.allowed_peers:
        return PolicyDecision(True, "allows this server by name")
    return PolicyDecision(False, "lets in servers by name, and this one is not among them")
