"""Find roles, list them, and explain through which groups a participant holds one.

A path goes from the group that a person is in directly to the group that the role was granted to,
each group being a member of the next. If there are several paths, the shortest counts. Cycles of
groups end, and groups or memberships that are removed from ScaiKey lead nowhere, as in
`tenants.lookup.group_nesting`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from shlex import quote
from typing import Any, cast
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from scaiwave.core.sql import batched
from tenants.errors import AmbiguousName, ParticipantNotFound, RoleNotFound
from tenants.lookup.group_nesting import role_holder_counts
from tenants.lookup.nearest import (
    find_nearest,
    find_nearest_participant,
    suggest_nearest,
)
from tenants.lookup.resolve import (
    is_storable_text,
    parse_uuid,
    resolve_participant,
    resolve_tenant,
)
from tenants.lookup.serializers import Row, get_server_name, participant_row
from tenants.lookup.visibility import visible_participants, visible_tenants
from tenants.models import Group, GroupMembership, Participant, Role, RoleGrant, Tenant

SUPER_ADMIN = "super_admin"
# The three roles of ScaiKey's tokens (ScaiKey docs, concepts/tokens-and-scopes). Every tenant has
# them; they get a row when they are first granted. What an operator may do in this suite comes
# from the token alone; these grants are for the platform's servers. They rise by power.
BUILT_IN = {
    "tenant_admin": "Tenant administrator",
    "partner_admin": "Partner administrator",
    SUPER_ADMIN: "Super administrator",
}
SERVER_ROLES = (SUPER_ADMIN, "partner_admin")
"""They are about other tenants too."""

Path = tuple[Group, ...]
_GRANT_COUNTS = {"participants": Count("grants__participant"), "groups": Count("grants__group")}
_PRESENT_EDGE = Q(absent_since=None, group__absent_since=None)


@dataclass(frozen=True)
class RoleAssignment:
    """A grant that reaches a participant. The path is empty if it was granted to them directly."""

    participant: Participant
    grant: RoleGrant
    path: Path = ()

    @property
    def names(self) -> list[str]:
        return [group.name for group in self.path]


def resolve_role(operator: Operator, tenant: Tenant, name: str) -> Role:
    """Return a role by slug or ID; a built-in role without a row is unsaved.

    Raises `RoleNotFound`.
    """
    if (role := find_role(tenant, name)) is None:
        raise RoleNotFound(
            f"Role not found in tenant {tenant.slug}: {name}.",
            fix=suggest_nearest(
                _find_nearest_role(operator, tenant, name),
                f"`scaiwave role list --tenant {quote(tenant.slug)}` lists all.",
                f"Run `scaiwave role list --tenant {quote(tenant.slug)}` to see its roles.",
            ),
        )
    return role


def _find_nearest_role(operator: Operator, tenant: Tenant, name: str) -> str | None:
    return find_nearest(operator, name, Role.objects.filter(tenant=tenant), "slug", *BUILT_IN)


def find_role(tenant: Tenant, name: str) -> Role | None:
    if not is_storable_text(name):
        return None
    # A slug never looks like an ID, so the two can't match different roles.
    key = parse_uuid(name)
    condition = {"slug": name} if key is None else {"pk": key}
    role = Role.objects.filter(tenant=tenant, **condition).first()
    if role is None and name in BUILT_IN:
        return _build_built_in_role(tenant, name)
    return role


def _build_built_in_role(tenant: Tenant, slug: str) -> Role:
    """Return an unsaved role."""
    return Role(tenant=tenant, slug=slug, name=BUILT_IN[slug], is_built_in=True)


def role_row(role: Role) -> Row:
    """Return the role for lists. An unsaved built-in role has no ID and no time."""
    is_saved = not role._state.adding
    return {
        "id": role.pk if is_saved else None,
        "tenant_id": role.tenant_id,
        "slug": role.slug,
        "name": role.name,
        "description": role.description,
        "built_in": role.is_built_in,
        "created_at": role.created_at if is_saved else None,
    }


def list_roles(*, operator: Operator, tenant: str | None = None, limit: int | None = None) -> Page:
    """Return the roles of one tenant by slug, including built-in roles that were never granted.

    Without a tenant, return the roles of all tenants in the operator's scope, by tenant and slug,
    and without such built-in roles, which every tenant has. Each row counts the grants, and the
    active participants who hold the role in any way. Yields one row at a time. Raises
    `TenantNotFound` or `AmbiguousName`, at once.
    """
    operator.require(Permission.VIEW)
    if tenant is None:
        roles = Role.objects.filter(tenant__in=visible_tenants(operator)).select_related("tenant")
        return Page(_iter_all_rows(roles, limit), count=roles.count)
    resolved = resolve_tenant(operator, tenant)
    stored = Role.objects.filter(tenant=resolved).values_list("slug", flat=True)
    slugs = sorted({*stored, *BUILT_IN})
    rows = _iter_rows(resolved, slugs[:limit], holders=role_holder_counts(resolved))
    return Page(rows, count=lambda: len(slugs))


def _iter_all_rows(roles: QuerySet[Role], limit: int | None) -> Generator[Row, None, None]:
    ordered = roles.order_by("tenant__slug", "slug").annotate(**_GRANT_COUNTS)[:limit]
    for tenant, of_tenant in groupby(ordered.iterator(), key=lambda role: role.tenant):
        holders = role_holder_counts(tenant)
        for role in of_tenant:
            yield _build_list_row(role, holders)


def _iter_rows(
    tenant: Tenant, slugs: Sequence[str], *, holders: Mapping[UUID, int]
) -> Generator[Row, None, None]:
    for batch in batched(slugs):
        roles = Role.objects.filter(tenant=tenant, slug__in=batch).select_related("tenant")
        by_slug = {role.slug: role for role in roles.annotate(**_GRANT_COUNTS)}
        for slug in batch:
            role = by_slug.get(slug)
            if role is None and slug in BUILT_IN:
                row = role_row(_build_built_in_role(tenant, slug))
                counts = {"participants": 0, "groups": 0, "holders": 0}
                yield {**row, "tenant": tenant.slug, **counts}
            elif role is not None:
                yield _build_list_row(role, holders)


def _build_list_row(role: Any, holders: Mapping[UUID, int]) -> Row:
    """`role` is a Role that is annotated with `_GRANT_COUNTS`."""
    return {
        **role_row(role),
        "tenant": role.tenant.slug,
        "participants": role.participants,
        "groups": role.groups,
        "holders": holders.get(role.pk, 0),
    }


def show_role(*, operator: Operator, name: str, tenant: str, entity_type: str | None = None) -> Row:
    """Return a role and its holders as {"role": …}, or a participant and their roles as
    {"participant": …}. Both name the path through the groups.

    `entity_type` is "role" or "participant"; without it, a name that matches both is ambiguous.
    Raises RoleNotFound, ParticipantNotFound, TenantNotFound or AmbiguousName.
    """
    operator.require(Permission.VIEW)
    resolved = resolve_tenant(operator, tenant)
    match = _resolve_role_or_participant(operator, name, resolved, entity_type)
    if isinstance(match, Role):
        return {
            "role": {
                **role_row(match),
                "tenant": match.tenant.slug,
                "grants": _list_grants(match),
                "holders": [_holder_row(assignment) for assignment in role_holders(match)],
            }
        }
    return {
        "participant": {
            **participant_row(match, server_name=get_server_name()),
            "tenant": match.tenant.slug,
            "roles": [assignment_row(assignment) for assignment in effective_roles(match)],
        }
    }


def _resolve_role_or_participant(
    operator: Operator, name: str, tenant: Tenant, entity_type: str | None
) -> Role | Participant:
    if entity_type == "role":
        return resolve_role(operator, tenant, name)
    if entity_type == "participant":
        return resolve_participant(operator, name, tenant=tenant)
    role = find_role(tenant, name)
    person = _find_participant(operator, name, tenant, role=role)
    if role is not None and person is not None:
        raise AmbiguousName(
            f"{name} is both a role of tenant {tenant.slug} and a participant "
            f"({person.fqid(get_server_name())}).",
            fix="Add --role or --participant.",
        )
    if match := role or person:
        return match
    people = visible_participants(operator).filter(tenant=tenant)
    raise RoleNotFound(
        f"Role or participant not found in tenant {tenant.slug}: {name}.",
        fix=suggest_nearest(
            _find_nearest_role(operator, tenant, name)
            or find_nearest_participant(operator, name, people),
            f"`scaiwave role list --tenant {quote(tenant.slug)}` lists the roles.",
            f"Run `scaiwave role list --tenant {quote(tenant.slug)}` to see its roles, or "
            f"`scaiwave admin list-participants --tenant {quote(tenant.slug)} --search <name>` to "
            "find people.",
        ),
    )


def _find_participant(
    operator: Operator, name: str, tenant: Tenant, *, role: Role | None
) -> Participant | None:
    try:
        return resolve_participant(operator, name, tenant=tenant)
    except ParticipantNotFound:
        return None
    except AmbiguousName as error:
        if role is not None:
            error.fix = f"Add --role for the role of that name. {error.fix}"
        raise


def list_role_members(
    *, operator: Operator, name: str, tenant: str | None = None
) -> Generator[Row, None, None]:
    """Return the participants who hold a role, each once, with the shortest path to it.

    `name` is a slug or an ID. Without a tenant, return the holders in all tenants of the operator's
    scope, by tenant. Raises `RoleNotFound`, `TenantNotFound` or `AmbiguousName`, at once.
    """
    operator.require(Permission.VIEW)
    if tenant is not None:
        return _iter_members([resolve_role(operator, resolve_tenant(operator, tenant), name)])
    roles = Role.objects.filter(tenant__in=visible_tenants(operator)).select_related("tenant")
    key = parse_uuid(name)
    found = roles.filter(slug=name) if key is None else roles.filter(pk=key)
    if not is_storable_text(name) or not (name in BUILT_IN or found.exists()):
        raise RoleNotFound(
            f"Role not found: {name}.",
            fix=suggest_nearest(
                find_nearest(operator, name, roles, "slug", *BUILT_IN),
                "`scaiwave role list` lists all.",
                "Run `scaiwave role list` to see the roles.",
            ),
        )
    granted = found.filter(Exists(RoleGrant.objects.filter(role=OuterRef("pk"))))
    return _iter_members(granted.order_by("tenant__slug").iterator(chunk_size=500))


def _iter_members(roles: Iterable[Role]) -> Generator[Row, None, None]:
    for role in roles:
        shortest: dict[UUID, RoleAssignment] = {}
        for assignment in role_holders(role):
            known = shortest.setdefault(assignment.participant.pk, assignment)
            if _path_order(assignment.path) < _path_order(known.path):
                shortest[assignment.participant.pk] = assignment
        for assignment in shortest.values():
            yield {
                **_holder_row(assignment),
                "tenant": role.tenant.slug,
                "role": role.slug,
                "role_id": role.pk,
            }


def _holder_row(assignment: RoleAssignment) -> Row:
    return {
        **participant_row(assignment.participant, server_name=get_server_name()),
        **_grant_columns(assignment),
    }


def _list_grants(role: Role) -> list[Row]:
    """Return the grants, to participants first. A group may be empty or removed from ScaiKey."""
    if role._state.adding:
        return []
    server_name = get_server_name()
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    rows = [
        {
            "id": grant.pk,
            "source": grant.source,
            "granted_by": grant.granted_by,
            "granted_at": grant.created_at,
            "participant_id": grant.participant_id,
            "participant": grant.participant.fqid(server_name) if grant.participant else None,
            "group": grant.group.name if grant.group else None,
            "group_id": grant.group_id,
            "group_deactivated_at": grant.group.absent_since if grant.group else None,
        }
        for grant in grants.order_by("pk")
    ]
    return sorted(rows, key=lambda row: (row["group"] or "", row["participant"] or ""))


def assignment_row(assignment: RoleAssignment) -> Row:
    """Return one role of a participant, and where it comes from."""
    role = assignment.grant.role
    return {"slug": role.slug, "name": role.name, **_grant_columns(assignment)}


def _grant_columns(assignment: RoleAssignment) -> Row:
    grant = assignment.grant
    return {
        "group": grant.group.name if grant.group else None,
        "path": assignment.names,
        "source": grant.source,
        "granted_by": grant.granted_by,
        "granted_at": grant.created_at,
    }


def effective_roles(person: Participant) -> list[RoleAssignment]:
    """Return every grant that gives the participant a role, by the role's slug."""
    direct = GroupMembership.objects.filter(_PRESENT_EDGE, member_participant=person)
    starts = Group.objects.filter(pk__in=direct.values("group")).order_by("name", "pk")
    paths = _find_shortest_paths(starts, _GroupGraph(person.tenant).parents)
    grants = RoleGrant.objects.filter(Q(participant=person) | Q(group__in=[*paths]))
    assignments = [
        RoleAssignment(person, grant, paths[grant.group_id] if grant.group_id else ())
        for grant in grants.select_related("role", "group")
    ]
    return sorted(
        assignments,
        key=lambda assignment: (assignment.grant.role.slug, *_path_order(assignment.path)),
    )


def role_holders(role: Role) -> list[RoleAssignment]:
    """Return every participant whom a grant of the role reaches, inactive ones too, by name."""
    if role._state.adding:
        return []
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    graph = _GroupGraph(role.tenant)
    assignments: list[RoleAssignment] = []
    for grant in grants:
        if grant.participant is not None:
            assignments.append(RoleAssignment(grant.participant, grant))
        elif grant.group is not None and grant.group.absent_since is None:
            assignments += _find_group_assignments(grant, grant.group, graph)
    return sorted(
        assignments,
        key=lambda assignment: (
            str(assignment.participant),
            str(assignment.participant.pk),
            assignment.names,
        ),
    )


def _find_group_assignments(
    grant: RoleGrant, group: Group, graph: _GroupGraph
) -> Iterable[RoleAssignment]:
    paths = _find_shortest_paths([group], graph.children)
    members = GroupMembership.objects.filter(
        group__in=[*paths], member_participant__isnull=False, absent_since=None
    ).select_related("member_participant")
    shortest: dict[UUID, tuple[Participant, Path]] = {}
    for member in members:
        person = cast(Participant, member.member_participant)
        path = tuple(reversed(paths[member.group_id]))
        current = shortest.get(person.pk)
        if current is None or _path_order(path) < _path_order(current[1]):
            shortest[person.pk] = (person, path)
    return [RoleAssignment(person, grant, path) for person, path in shortest.values()]


def _path_order(path: Path) -> tuple[int, list[str]]:
    return len(path), [group.name for group in path]


class _GroupGraph:
    """The direct member groups of each group of a tenant, by the ID of the key group."""

    def __init__(self, tenant: Tenant) -> None:
        self.children: dict[UUID, list[Group]] = {}
        self.parents: dict[UUID, list[Group]] = {}
        edges = GroupMembership.objects.filter(
            _PRESENT_EDGE,
            tenant=tenant,
            member_group__isnull=False,
            member_group__absent_since=None,
        ).select_related("group", "member_group")
        for edge in edges.order_by("group__name", "member_group__name", "pk"):
            child = cast(Group, edge.member_group)
            self.children.setdefault(edge.group_id, []).append(child)
            self.parents.setdefault(child.pk, []).append(edge.group)


def _find_shortest_paths(
    starts: Collection[Group], neighbours: dict[UUID, list[Group]]
) -> dict[UUID, Path]:
    """Return the shortest path from a start to each reachable group, by breadth-first search."""
    paths: dict[UUID, Path] = {group.pk: (group,) for group in starts}
    queue = list(paths.values())
    for path in queue:  # The loop appends to the queue.
        for group in neighbours.get(path[-1].pk, ()):
            if group.pk not in paths:
                paths[group.pk] = (*path, group)
                queue.append(paths[group.pk])
    return paths


def default_role_name(slug: str) -> str:
    """Return a name for a role that is known by its slug only."""
    return BUILT_IN.get(slug, slug)
