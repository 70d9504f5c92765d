"""Whom this server federates with."""

from __future__ import annotations

from dataclasses import dataclass

from federation.models import FederationMode, Policy


@dataclass(frozen=True)
class Verdict:
    """Whether the policy lets a server in, and why: completes 'The policy …'."""

    lets_in: bool
    why: str


def current_policy() -> Policy:
    """The stored policy, or the one that holds as long as none is: closed."""
    return Policy.objects.first() or Policy()


def verdict_on(server_name: str) -> Verdict:
    policy = current_policy()
    if policy.default_mode == FederationMode.OPEN:
        return Verdict(True, "is open to every server")
    if policy.default_mode == FederationMode.CLOSED:
        return Verdict(False, "is closed to every server")
    if server_name in policy.allowed_peers:
        return Verdict(True, "allows this server by name")
    return Verdict(False, "lets in servers by name, and this one is not among them")
