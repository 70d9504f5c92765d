"""Who is in which group: planned from pairs, since an edge has no ScaiKey id of its own."""

from __future__ import annotations

from datetime import datetime

from identity_sync.services.sync.entities import datetime_param
from identity_sync.services.sync.staging import analyze, execute, fetch_one

KIND = "memberships"

# The two sorts of member: which flag they are staged with, where they are found, in which column
# an edge keeps them.
_SORTS = (
    (0, "sw_participants", "participants", "member_participant_id", "display_name"),
    (1, "sw_groups", "groups", "member_group_id", "name"),
)


def map_groups() -> None:
    """Say which local group each staged one is, or will be."""
    execute(
        """
        INSERT INTO group_map (scaikey_id, group_id, tenant_id)
        SELECT s.scaikey_id, COALESCE(g.id, s.new_id), t.tenant_id
        FROM stage_groups s JOIN tenant_map t ON t.scaikey_id = s.tenant_scaikey_id
        LEFT JOIN sw_groups g ON g.scaikey_id = s.scaikey_id AND g.tenant_id = t.tenant_id
        """
    )


def map_fetched_groups() -> None:
    """Find our rows of the groups whose members were read: absent ones too, which may return
    and whose edges would be those of old; not those in a tenant that the group has left."""
    analyze("walked_groups")
    execute(
        """
        INSERT INTO walked_rows (group_id, scaikey_id)
        SELECT g.id, w.scaikey_id
        FROM walked_groups w JOIN stage_groups s ON s.scaikey_id = w.scaikey_id
        JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
        JOIN sw_groups g ON g.scaikey_id = w.scaikey_id AND g.tenant_id = t.id
        """
    )
    analyze("walked_rows")


def count_active() -> int:
    """Edges of the walked groups that ScaiKey is responsible for and that are not absent."""
    edges = "walked_rows w JOIN sw_group_memberships e ON e.group_id = w.group_id"
    number = int(fetch_one(f"SELECT count(*) FROM {edges} WHERE e.absent_since IS NULL")[0])
    for _, table, _, column, _ in _SORTS:
        number -= fetch_one(
            f"SELECT count(*) FROM {edges} JOIN {table} m ON m.id = e.{column} "
            "WHERE m.scaikey_id IS NULL AND e.absent_since IS NULL"
        )[0]
    return number


def plan_absent() -> None:
    """Plan to end the edges that the walked groups show no more."""
    for is_group, table, _, column, name in _SORTS:
        execute(
            f"""
            INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
            SELECT %s, 'deactivate', e.id, e.tenant_id, w.scaikey_id || ' ' || m.scaikey_id,
                   m.{name} || ' in ' || g.name, 'not a member in ScaiKey any more'
            FROM walked_rows w
            JOIN sw_group_memberships e ON e.group_id = w.group_id
            JOIN sw_groups g ON g.id = e.group_id
            JOIN {table} m ON m.id = e.{column}
            WHERE e.absent_since IS NULL AND m.scaikey_id IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM stage_memberships s WHERE s.group_scaikey_id = w.scaikey_id
                AND s.member_scaikey_id = m.scaikey_id AND s.is_group = {is_group})
            """,
            [KIND],
        )


def plan_changes() -> None:
    """Plan edges to add and to restore: members we have, then members that this run adds."""
    analyze("sync_plan", "tenant_map", "group_map")
    for is_group, table, kind, column, name in _SORTS:
        _plan_for_known(is_group, table, column, name)
        if _adds(kind):
            _plan_for_new(is_group, kind)


_COLUMNS = """
    INSERT INTO sync_plan (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason,
                           group_id, member_id)
"""


def _plan_for_known(is_group: int, table: str, column: str, name: str) -> None:
    execute(
        f"""
        {_COLUMNS}
        SELECT %s, CASE WHEN e.id IS NULL THEN 'add' ELSE 'restore' END,
               COALESCE(e.id, s.new_id), g.tenant_id, s.n,
               s.group_scaikey_id || ' ' || s.member_scaikey_id, m.{name}, '',
               CASE WHEN e.id IS NULL THEN 'new member in ScaiKey'
                    ELSE 'member again in ScaiKey' END,
               g.group_id, m.id
        FROM stage_memberships s
        JOIN group_map g ON g.scaikey_id = s.group_scaikey_id
        JOIN {table} m ON m.scaikey_id = s.member_scaikey_id AND m.tenant_id = g.tenant_id
        LEFT JOIN sw_group_memberships e ON e.group_id = g.group_id AND e.{column} = m.id
        WHERE s.is_group = {is_group} AND (e.id IS NULL OR e.absent_since IS NOT NULL)
        """,
        [KIND],
    )


def _adds(kind: str) -> bool:
    return bool(
        fetch_one("SELECT count(*) FROM sync_plan WHERE kind = %s AND action = 'add'", [kind])[0]
    )


def _plan_for_new(is_group: int, kind: str) -> None:
    execute(
        "CREATE INDEX IF NOT EXISTS stage_memberships_member "
        "ON stage_memberships (member_scaikey_id)"
    )
    execute(
        f"""
        {_COLUMNS}
        SELECT %s, 'add', s.new_id, g.tenant_id, s.n,
               s.group_scaikey_id || ' ' || s.member_scaikey_id, m.name, '',
               'new member in ScaiKey', g.group_id, m.row_id
        FROM sync_plan m
        JOIN stage_memberships s ON s.member_scaikey_id = m.scaikey_id
        JOIN group_map g ON g.scaikey_id = s.group_scaikey_id AND g.tenant_id = m.tenant_id
        WHERE m.kind = %s AND m.action = 'add' AND s.is_group = {is_group}
        """,
        [KIND, kind],
    )


def deactivate(now: datetime) -> None:
    execute(
        """
        UPDATE sw_group_memberships AS e SET absent_since = %s, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action = 'deactivate' AND e.id = d.row_id
        """,
        [datetime_param(now), datetime_param(now), KIND],
    )


def update(now: datetime) -> None:
    execute(
        """
        UPDATE sw_group_memberships AS e SET absent_since = NULL, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action = 'restore' AND e.id = d.row_id
        """,
        [datetime_param(now), KIND],
    )


def insert(now: datetime) -> None:
    """Write the new edges; members and groups of this run are in their tables by now."""
    for is_group, _, _, column, _ in _SORTS:
        execute(
            f"""
            INSERT INTO sw_group_memberships
                (id, tenant_id, group_id, {column}, created_at, updated_at)
            SELECT d.row_id, d.tenant_id, d.group_id, d.member_id, %s, %s
            FROM sync_plan d JOIN stage_memberships s ON s.n = d.n
            WHERE d.kind = %s AND d.action = 'add' AND s.is_group = {is_group}
            """,
            [datetime_param(now), datetime_param(now), KIND],
        )
