"""The roles of a tenant, by what an operator types."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.db.models import Count, Q

from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import strip_control_chars
from tenants.errors import AmbiguousName, ParticipantNotFound, RoleNotFound
from tenants.models import Group, GroupMembership, Participant, Role, RoleGrant, Tenant
from tenants.queries.group_nesting import role_holder_counts
from tenants.queries.resolve import (
    is_storable_text,
    parse_uuid,
    resolve_participant,
    resolve_tenant,
)
from tenants.queries.serializers import Row, get_server_name, participant_row

SUPER_ADMIN = "super_admin"
# Every tenant has these; they have a row once they are granted.
BUILT_IN = {
    SUPER_ADMIN: "Super administrator",
    "partner_admin": "Partner administrator",
    "tenant_admin": "Tenant administrator",
}


def resolve_role(tenant: Tenant, name: str) -> Role:
    """By slug or id; a built-in one without a row comes unsaved. Raises `RoleNotFound`."""
    if (role := find_role(tenant, name)) is None:
        raise RoleNotFound(
            f"There is no role {strip_control_chars(name)!r} in tenant {tenant.slug}.",
            fix=f"`scaiwave role list --tenant {tenant.slug}` shows them.",
        )
    return role


def find_role(tenant: Tenant, name: str) -> Role | None:
    if not is_storable_text(name):
        return None
    # A slug never looks like an id, so that the two can't mean different roles.
    key = parse_uuid(name)
    same = {"slug": name} if key is None else {"pk": key}
    found = Role.objects.filter(tenant=tenant, **same).first()
    if found is None and name in BUILT_IN:
        return Role(tenant=tenant, slug=name, name=BUILT_IN[name], is_built_in=True)
    return found


def role_row(role: Role) -> Row:
    """A built-in role that has no row yet has no id and no time."""
    there = not role._state.adding
    return {
        "id": role.pk if there else None,
        "slug": role.slug,
        "name": role.name,
        "built_in": role.is_built_in,
        "created_at": role.created_at if there else None,
    }


def grant_row(grant: RoleGrant) -> Row:
    return {
        "id": grant.pk,
        "source": grant.source,
        "granted_by": grant.granted_by,
        "created_at": grant.created_at,
    }


def list_roles(*, operator: Operator, tenant: str) -> list[Row]:
    """The roles of one tenant by slug, the built-in ones always, with how often each is granted
    and how many active participants hold it in all. Raises `TenantNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    holders = role_holder_counts(within)
    counted = Role.objects.filter(tenant=within).annotate(
        participants=Count("grants__participant"), groups=Count("grants__group")
    )
    rows = [
        _build_list_row(role, participants=role.participants, groups=role.groups, holders=holders)
        for role in counted
    ]
    there = {row["slug"] for row in rows}
    rows += [
        _build_list_row(role, holders={})
        for role in _unsaved_built_in_roles(within)
        if role.slug not in there
    ]
    return sorted(rows, key=lambda row: str(row["slug"]))


def _unsaved_built_in_roles(tenant: Tenant) -> list[Role]:
    """The built-in roles as they are before they have rows."""
    return [
        Role(tenant=tenant, slug=slug, name=name, is_built_in=True)
        for slug, name in BUILT_IN.items()
    ]


def _build_list_row(
    role: Role, *, holders: dict[UUID, int], participants: int = 0, groups: int = 0
) -> Row:
    return {
        **role_row(role),
        "participants": participants,
        "groups": groups,
        "holders": holders.get(role.pk, 0),
    }


Path = tuple[Group, ...]
_PRESENT_EDGE = Q(absent_since=None, group__absent_since=None)


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
    direct = GroupMembership.objects.filter(_PRESENT_EDGE, member_participant=person)
    starts = Group.objects.filter(pk__in=direct.values("group")).order_by("name", "pk")
    ways = _shortest_paths(starts, _GroupGraph(person.tenant).containing)
    grants = RoleGrant.objects.filter(Q(participant=person) | Q(group__in=[*ways]))
    held = [
        RoleAssignment(person, grant, ways[grant.group_id] if grant.group_id else ())
        for grant in grants.select_related("role", "group")
    ]
    return sorted(held, key=lambda one: (one.grant.role.slug, *_path_order(one.path)))


def role_holders(role: Role) -> list[RoleAssignment]:
    """Everybody whom a grant of the role reaches, inactive ones too, by name."""
    if role._state.adding:
        return []
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    nesting = _GroupGraph(role.tenant)
    held: list[RoleAssignment] = []
    for grant in grants:
        if grant.participant is not None:
            held.append(RoleAssignment(grant.participant, grant))
        elif grant.group is not None and grant.group.absent_since is None:
            held += _group_assignments(grant, grant.group, nesting)
    return sorted(held, key=lambda one: (str(one.participant), str(one.participant.pk), one.names))


def _group_assignments(
    grant: RoleGrant, group: Group, nesting: _GroupGraph
) -> Iterable[RoleAssignment]:
    ways = _shortest_paths([group], nesting.contained)
    members = GroupMembership.objects.filter(
        group__in=[*ways], member_participant__isnull=False, absent_since=None
    ).select_related("member_participant")
    nearest: dict[UUID, tuple[Participant, Path]] = {}
    for member in members:
        person = cast(Participant, member.member_participant)
        path = tuple(reversed(ways[member.group_id]))
        best = nearest.get(person.pk)
        if best is None or _path_order(path) < _path_order(best[1]):
            nearest[person.pk] = (person, path)
    return [RoleAssignment(person, grant, path) for person, path in nearest.values()]


def _path_order(path: Path) -> tuple[int, list[str]]:
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


class _GroupGraph:
    """The groups of a tenant that are in each other; people are not in it."""

    def __init__(self, tenant: Tenant) -> None:
        self.contained: dict[UUID, list[Group]] = {}
        self.containing: dict[UUID, list[Group]] = {}
        edges = GroupMembership.objects.filter(
            _PRESENT_EDGE,
            tenant=tenant,
            member_group__isnull=False,
            member_group__absent_since=None,
        ).select_related("group", "member_group")
        for edge in edges.order_by("group__name", "member_group__name", "pk"):
            inner = cast(Group, edge.member_group)
            self.contained.setdefault(edge.group_id, []).append(inner)
            self.containing.setdefault(inner.pk, []).append(edge.group)


def _shortest_paths(
    starts: Collection[Group], onwards: dict[UUID, list[Group]]
) -> dict[UUID, Path]:
    """The shortest way from a start to each group in reach, the start's own among them."""
    ways: dict[UUID, Path] = {group.pk: (group,) for group in starts}
    waiting = list(ways.values())
    for path in waiting:  # It grows on the way: the nearer groups come first.
        for group in onwards.get(path[-1].pk, ()):
            if group.pk not in ways:
                ways[group.pk] = (*path, group)
                waiting.append(ways[group.pk])
    return ways


def show_role(*, operator: Operator, name: str, tenant: str, of: str | None = None) -> Row:
    """A role with everybody who holds it, as {"role": …}; or a participant with every role they
    hold, as {"participant": …}. Each says by which way through the groups.

    `of` is "role" or "participant" and says what the name is of; without it a name that is both
    is refused. Raises RoleNotFound, ParticipantNotFound, TenantNotFound or AmbiguousName.
    """
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    found = _resolve_role_or_participant(operator, name, within, of)
    if isinstance(found, Role):
        return {"role": _build_role(found)}
    return {"participant": _build_participant(found)}


def _resolve_role_or_participant(
    operator: Operator, name: str, tenant: Tenant, of: str | None
) -> Role | Participant:
    if of == "role":
        return resolve_role(tenant, name)
    if of == "participant":
        return resolve_participant(operator, name, tenant=tenant)
    role = find_role(tenant, name)
    person = _find_participant(operator, name, tenant, besides=role)
    if role is not None and person is not None:
        raise AmbiguousName(
            f"{strip_control_chars(name)!r} is both a role of tenant {tenant.slug} and a "
            f"participant ({person.fqid(get_server_name())}).",
            fix="Add --role or --participant to say which is meant.",
        )
    if found := role or person:
        return found
    raise RoleNotFound(
        f"There is neither a role nor a participant {strip_control_chars(name)!r} in tenant "
        f"{tenant.slug}.",
        fix=f"`scaiwave role list --tenant {tenant.slug}` shows the roles, "
        f"`scaiwave admin list-participants --tenant {tenant.slug} --search <name>` finds people.",
    )


def _find_participant(
    operator: Operator, name: str, tenant: Tenant, *, besides: Role | None
) -> Participant | None:
    try:
        return resolve_participant(operator, name, tenant=tenant)
    except ParticipantNotFound:
        return None
    except AmbiguousName as error:
        if besides is not None:
            error.fix = f"--role means the role of that name. {error.fix}"
        raise


def _build_role(role: Role) -> Row:
    server = get_server_name()
    return {
        **role_row(role),
        "tenant": role.tenant.slug,
        "grants": _list_grants(role),
        "holders": [
            {
                **participant_row(held.participant, server_name=server),
                "group": held.grant.group.name if held.grant.group else None,
                "path": held.names,
                "source": held.grant.source,
                "granted_by": held.grant.granted_by,
                "granted_at": held.grant.created_at,
            }
            for held in role_holders(role)
        ],
    }


def _list_grants(role: Role) -> list[Row]:
    """To whom it was granted, people before groups; a group may be gone or empty."""
    if role._state.adding:
        return []
    server = get_server_name()
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    rows = [
        {
            **grant_row(grant),
            "participant": grant.participant.fqid(server) if grant.participant else None,
            "group": grant.group.name if grant.group else None,
            "group_id": grant.group_id,
            "group_absent_since": grant.group.absent_since if grant.group else None,
        }
        for grant in grants.order_by("pk")
    ]
    return sorted(rows, key=lambda row: (row["group"] or "", row["participant"] or ""))


def _build_participant(person: Participant) -> Row:
    return {
        **participant_row(person, server_name=get_server_name()),
        "tenant": person.tenant.slug,
        "roles": [assignment_row(held) for held in effective_roles(person)],
    }
