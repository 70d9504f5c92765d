"""Who holds a role, and by which way through the groups.

A way is the groups from the one that a person is in directly to the one that was granted the
role, each of them in the next; where there are several, the shortest. Circles of groups end, and
what is gone from ScaiKey, a group or an edge, leads nowhere, as in `tenants.queries.group_nesting`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.db.models import Q

from tenants.models import Group, GroupMembership, Participant, Role, RoleGrant, Tenant
from tenants.queries.serializers import Row

Path = tuple[Group, ...]
_PRESENT = Q(absent_since=None, group__absent_since=None)


@dataclass(frozen=True)
class RoleAssignment:
    """One grant that reaches one participant; an empty path is a grant to them directly."""

    participant: Participant
    grant: RoleGrant
    path: Path = ()

    @property
    def names(self) -> list[str]:
        return [group.name for group in self.path]


def effective_roles(person: Participant) -> list[RoleAssignment]:
    """Every grant that gives the participant a role, by the role's slug."""
    direct = GroupMembership.objects.filter(_PRESENT, member_participant=person)
    starts = Group.objects.filter(pk__in=direct.values("group")).order_by("name", "pk")
    ways = _ways(starts, _Nesting(person.tenant).containing)
    grants = RoleGrant.objects.filter(Q(participant=person) | Q(group__in=[*ways]))
    held = [
        RoleAssignment(person, grant, ways[grant.group_id] if grant.group_id else ())
        for grant in grants.select_related("role", "group")
    ]
    return sorted(held, key=lambda one: (one.grant.role.slug, *_order(one.path)))


def role_holders(role: Role) -> list[RoleAssignment]:
    """Everybody whom a grant of the role reaches, inactive ones too, by name."""
    if role._state.adding:
        return []
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    nesting = _Nesting(role.tenant)
    held: list[RoleAssignment] = []
    for grant in grants:
        if grant.participant is not None:
            held.append(RoleAssignment(grant.participant, grant))
        elif grant.group is not None and grant.group.absent_since is None:
            held += _through(grant, grant.group, nesting)
    return sorted(held, key=lambda one: (str(one.participant), str(one.participant.pk), one.names))


def _through(grant: RoleGrant, group: Group, nesting: _Nesting) -> Iterable[RoleAssignment]:
    ways = _ways([group], nesting.contained)
    members = GroupMembership.objects.filter(
        group__in=[*ways], member_participant__isnull=False, absent_since=None
    ).select_related("member_participant")
    nearest: dict[UUID, tuple[Participant, Path]] = {}
    for member in members:
        person = cast(Participant, member.member_participant)
        path = tuple(reversed(ways[member.group_id]))
        best = nearest.get(person.pk)
        if best is None or _order(path) < _order(best[1]):
            nearest[person.pk] = (person, path)
    return [RoleAssignment(person, grant, path) for person, path in nearest.values()]


def _order(path: Path) -> tuple[int, list[str]]:
    return len(path), [group.name for group in path]


def assignment_row(held: RoleAssignment) -> Row:
    """One role that somebody holds, and why."""
    grant = held.grant
    return {
        "slug": grant.role.slug,
        "name": grant.role.name,
        "group": grant.group.name if grant.group else None,
        "path": held.names,
        "source": grant.source,
        "granted_by": grant.granted_by,
        "created_at": grant.created_at,
    }


class _Nesting:
    """The groups of a tenant that are in each other; people are not in it."""

    def __init__(self, tenant: Tenant) -> None:
        self.contained: dict[UUID, list[Group]] = {}
        self.containing: dict[UUID, list[Group]] = {}
        edges = GroupMembership.objects.filter(
            _PRESENT, tenant=tenant, member_group__isnull=False, member_group__absent_since=None
        ).select_related("group", "member_group")
        for edge in edges.order_by("group__name", "member_group__name", "pk"):
            inner = cast(Group, edge.member_group)
            self.contained.setdefault(edge.group_id, []).append(inner)
            self.containing.setdefault(inner.pk, []).append(edge.group)


def _ways(starts: Collection[Group], onwards: dict[UUID, list[Group]]) -> dict[UUID, Path]:
    """The shortest way from a start to each group in reach, the start's own among them."""
    ways: dict[UUID, Path] = {group.pk: (group,) for group in starts}
    waiting = list(ways.values())
    for path in waiting:  # It grows on the way: the nearer groups come first.
        for group in onwards.get(path[-1].pk, ()):
            if group.pk not in ways:
                ways[group.pk] = (*path, group)
                waiting.append(ways[group.pk])
    return ways
