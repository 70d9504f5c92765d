"""Find indirect members of groups. The database stores only direct memberships.

Groups nest to any depth (ScaiKey docs, reference/api/groups). UNION drops rows that were reached
before, so that cycles of groups end. Groups and memberships that are removed from ScaiKey lead
nowhere.

SQL aliases: `edge` is a direct membership, `grp` a group, `person` a participant, `role_grant` a
grant; `up`, `down` and `inside` collect the groups that were reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from scaiwave.core.sql import fetch, to_uuid, uuid_param
from tenants.models import Group, GroupMembership, Participant, Tenant

ViaGroups = dict[UUID, set[UUID]]
"""For each group or participant that was reached, the groups of the first or last direct edge."""

_PARTICIPANT_GROUPS_SQL = """
WITH RECURSIVE up (group_id, through_id) AS (
    SELECT edge.group_id, edge.group_id
    FROM sw_group_memberships edge JOIN sw_groups grp ON grp.id = edge.group_id
    WHERE edge.member_participant_id = %s
      AND edge.absent_since IS NULL AND grp.absent_since IS NULL
  UNION
    SELECT edge.group_id, up.through_id
    FROM up
    JOIN sw_group_memberships edge ON edge.member_group_id = up.group_id
    JOIN sw_groups grp ON grp.id = edge.group_id
    WHERE edge.absent_since IS NULL AND grp.absent_since IS NULL
)
SELECT group_id, through_id FROM up
"""

# Includes groups that are removed from ScaiKey. Their own members stay unchanged, while their
# memberships in other groups end and come back with them.
_RESTORABLE_GROUPS_SQL = """
WITH RECURSIVE up (group_id) AS (
    SELECT edge.group_id FROM sw_group_memberships edge
    WHERE edge.member_participant_id = %s AND edge.absent_since IS NULL
  UNION
    SELECT edge.group_id
    FROM up
    JOIN sw_groups inside ON inside.id = up.group_id
    JOIN sw_group_memberships edge ON edge.member_group_id = up.group_id
    WHERE edge.absent_since IS NULL OR inside.absent_since IS NOT NULL
)
SELECT group_id FROM up
"""

_GROUP_MEMBERS_SQL = """
WITH RECURSIVE down (group_id, through_id) AS (
    SELECT edge.member_group_id, edge.member_group_id
    FROM sw_group_memberships edge JOIN sw_groups grp ON grp.id = edge.member_group_id
    WHERE edge.group_id = %s AND edge.member_group_id <> edge.group_id
      AND edge.absent_since IS NULL AND grp.absent_since IS NULL
  UNION
    SELECT edge.member_group_id, down.through_id
    FROM down
    JOIN sw_group_memberships edge ON edge.group_id = down.group_id
    JOIN sw_groups grp ON grp.id = edge.member_group_id
    WHERE edge.member_group_id <> %s
      AND edge.absent_since IS NULL AND grp.absent_since IS NULL
)
SELECT edge.member_participant_id, down.through_id
FROM down JOIN sw_group_memberships edge ON edge.group_id = down.group_id
WHERE edge.member_participant_id IS NOT NULL AND edge.absent_since IS NULL
UNION
SELECT edge.member_participant_id, edge.group_id
FROM sw_group_memberships edge
WHERE edge.group_id = %s
  AND edge.member_participant_id IS NOT NULL AND edge.absent_since IS NULL
"""

# Repeats in SQL which participants are active; a test compares it with the model.
_IS_ACTIVE = """
    edge.absent_since IS NULL AND person.absent_since IS NULL
    AND person.suspended_by_hand_at IS NULL AND person.scaikey_status IN ('', 'ACTIVE')
"""

_PARENTS_SQL = """
SELECT DISTINCT edge.group_id FROM sw_group_memberships edge
WHERE edge.group_id IN ({marks}) AND edge.member_group_id IS NOT NULL AND edge.absent_since IS NULL
"""

# For groups without groups in them, which are most: the recursion below hides from PostgreSQL how
# few rows it leads to. CROSS JOIN keeps SQLite from beginning with all participants.
_ACTIVE_DIRECT_MEMBERS_SQL = """
SELECT edge.group_id, COUNT(*)
FROM sw_group_memberships edge CROSS JOIN sw_participants person
WHERE edge.group_id IN ({marks}) AND person.id = edge.member_participant_id AND {is_active}
GROUP BY edge.group_id
"""

_ACTIVE_MEMBERS_SQL = """
WITH RECURSIVE inside (top_id, group_id) AS (
    SELECT grp.id, grp.id FROM sw_groups grp WHERE grp.id IN ({marks})
  UNION
    SELECT inside.top_id, edge.member_group_id
    FROM inside
    JOIN sw_group_memberships edge ON edge.group_id = inside.group_id
    JOIN sw_groups grp ON grp.id = edge.member_group_id
    WHERE edge.absent_since IS NULL AND grp.absent_since IS NULL
)
SELECT inside.top_id, COUNT(DISTINCT person.id)
FROM inside CROSS JOIN sw_group_memberships edge CROSS JOIN sw_participants person
WHERE edge.group_id = inside.group_id AND person.id = edge.member_participant_id AND {is_active}
GROUP BY inside.top_id
"""

_ROLE_HOLDERS_SQL = """
WITH RECURSIVE inside (role_id, group_id) AS (
    SELECT role_grant.role_id, role_grant.group_id
    FROM sw_role_grants role_grant JOIN sw_groups grp ON grp.id = role_grant.group_id
    JOIN sw_roles role ON role.id = role_grant.role_id
    WHERE grp.absent_since IS NULL AND role.tenant_id = %s
  UNION
    SELECT inside.role_id, edge.member_group_id
    FROM inside
    JOIN sw_group_memberships edge ON edge.group_id = inside.group_id
    JOIN sw_groups grp ON grp.id = edge.member_group_id
    WHERE edge.absent_since IS NULL AND grp.absent_since IS NULL
), holder (role_id, person_id) AS (
    SELECT role_grant.role_id, role_grant.participant_id
    FROM sw_role_grants role_grant JOIN sw_roles role ON role.id = role_grant.role_id
    WHERE role_grant.participant_id IS NOT NULL AND role.tenant_id = %s
  UNION
    SELECT inside.role_id, edge.member_participant_id
    FROM inside JOIN sw_group_memberships edge ON edge.group_id = inside.group_id
    WHERE edge.member_participant_id IS NOT NULL AND edge.absent_since IS NULL
)
SELECT holder.role_id, COUNT(*)
FROM holder JOIN sw_participants person ON person.id = holder.person_id
WHERE person.absent_since IS NULL
  AND person.suspended_by_hand_at IS NULL AND person.scaikey_status IN ('', 'ACTIVE')
GROUP BY holder.role_id
"""

# Without statistics PostgreSQL assumes that a column has 200 distinct values. It uses the index
# for a few values, but would read the whole table for many.
_GROUPS_PER_QUERY = 10


def effective_groups(participant: Participant) -> ViaGroups:
    """Return every group that the participant is in, with the direct groups that lead there.

    A direct group leads to itself.
    """
    return _collect_via(fetch(_PARTICIPANT_GROUPS_SQL, [uuid_param(participant.pk)]))


def restorable_groups(participant: Participant) -> set[UUID]:
    """Return every group that the participant is in, or would be in if ScaiKey restored removed
    groups."""
    return {to_uuid(key) for (key,) in fetch(_RESTORABLE_GROUPS_SQL, [uuid_param(participant.pk)])}


def effective_members(group: Group) -> ViaGroups:
    """Return every participant in the group, with the member groups that lead to them.

    For a direct member this is the group itself.
    """
    return _collect_via(fetch(_GROUP_MEMBERS_SQL, [uuid_param(group.pk)] * 3))


def active_member_counts(group_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Count the active participants in each of up to 500 groups, including nested groups.

    Groups without active participants are left out.
    """
    parents = [to_uuid(key) for (key,) in _fetch_for(_PARENTS_SQL, group_ids)]
    others = list(set(group_ids).difference(parents))
    counts = [
        *_fetch_for(_ACTIVE_DIRECT_MEMBERS_SQL, others),
        *_fetch_for(_ACTIVE_MEMBERS_SQL, parents),
    ]
    return {to_uuid(key): count for key, count in counts}


def _fetch_for(sql: str, group_ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
    if not group_ids:
        return []
    marks = ", ".join(["%s"] * len(group_ids))
    return fetch(sql.format(marks=marks, is_active=_IS_ACTIVE), [*map(uuid_param, group_ids)])


def role_holder_counts(tenant: Tenant) -> dict[UUID, int]:
    """Count the active participants who hold each role of a tenant, directly or through groups.

    Roles without active holders are left out.
    """
    return {
        to_uuid(key): count for key, count in fetch(_ROLE_HOLDERS_SQL, [uuid_param(tenant.pk)] * 2)
    }


def find_group_members(group_ids: Iterable[UUID], *, with_absent: bool = False) -> set[UUID]:
    """Return the ids of all participants in these groups and in the groups nested in them.

    Use it instead of one recursive statement where PostgreSQL may have no statistics, as after a
    bulk insert in the same transaction. It then takes `absent_since IS NULL` for a rare condition,
    and reads a whole table for it, again for every row of another one. So each statement here
    selects by keys alone, and Python checks the rest.
    """
    members: set[UUID] = set()
    pending, visited = set(group_ids), set[UUID]()
    while pending:
        batch = list(islice(pending, _GROUPS_PER_QUERY))
        visited.update(batch)
        groups = Group.objects.filter(pk__in=batch).values_list("pk", "absent_since")
        present = [key for key, absent_since in groups if with_absent or absent_since is None]
        for edge in GroupMembership.objects.filter(group__in=present):
            if edge.absent_since is not None and not with_absent:
                continue
            if edge.member_participant_id is not None:
                members.add(edge.member_participant_id)
            elif edge.member_group_id is not None:
                pending.add(edge.member_group_id)
        pending -= visited
    return members


def _collect_via(rows: list[tuple[Any, ...]]) -> ViaGroups:
    via: ViaGroups = {}
    for key, direct_group in rows:
        via.setdefault(to_uuid(key), set()).add(to_uuid(direct_group))
    return via
