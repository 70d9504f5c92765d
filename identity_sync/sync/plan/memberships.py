"""Plan group memberships. An edge has no ScaiKey ID of its own: its group and member name it."""

from __future__ import annotations

from django.db import connection

from identity_sync.reasons import Reason
from identity_sync.sync.fetch.kinds import MEMBER_TYPES, MEMBERSHIPS
from identity_sync.sync.staging import analyze
from scaiwave.core.sql import execute, fetch_number, sql_list


def map_groups() -> None:
    """Map each staged group to its existing or future row."""
    execute(
        """
        INSERT INTO group_map (scaikey_id, group_id, tenant_id)
        SELECT s_g.scaikey_id, COALESCE(g.id, s_g.new_id), tm.tenant_id
        FROM stage_groups s_g JOIN tenant_map tm ON tm.scaikey_id = s_g.tenant_scaikey_id
        LEFT JOIN sw_groups g ON g.scaikey_id = s_g.scaikey_id AND g.tenant_id = tm.tenant_id
        """
    )


def plan_removals() -> None:
    """Plan to deactivate the edges that are confirmed as ended, and add the others as skipped."""
    _plan_claims("deactivate", f"'{Reason.MEMBER_REMOVED}'", ("confirmed", "waiting", "implied"))
    _plan_claims("deactivate", f"'{Reason.NOT_RETURNED}'", ("returned",))
    _plan_claims("skipped", "c.note", ("postponed", "inconsistent", "off"))


def _plan_claims(action: str, reason: str, states: tuple[str, ...]) -> None:
    for is_group, table, _, column, name in MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
            SELECT %s, '{action}', e.id, e.tenant_id,
                   c.scaikey_id || ' ' || c.member_scaikey_id,
                   m.{name} || ' in ' || g.name, {reason}
            FROM loss_claims c
            JOIN sw_group_memberships e ON e.id = c.row_id
            JOIN sw_groups g ON g.id = e.group_id
            JOIN {table} m ON m.id = e.{column}
            WHERE c.kind = %s AND c.is_group = {is_group} AND c.state IN {sql_list(states)}
            """,
            [MEMBERSHIPS, MEMBERSHIPS],
        )


def count_unseen() -> int:
    """Count the edges of the database in fetched groups that no list showed."""
    sql = (
        "SELECT count(*) FROM loss_claims WHERE kind = %s AND state <> 'refuted' "
        "AND scaikey_id IN (SELECT scaikey_id FROM fetched_group_rows)"
    )
    return fetch_number(sql, [MEMBERSHIPS])


def plan_changes() -> None:
    """Plan edges to add and restore: for existing members, then for new ones of this run."""
    analyze("sync_plan", "tenant_map", "group_map")
    for is_group, table, kind, column, name in MEMBER_TYPES:
        _plan_for_known(is_group, table, column, name)
        if _count_planned_additions(kind):
            _plan_for_new(is_group, kind)


def _plan_for_known(is_group: int, table: str, column: str, name: str) -> None:
    """Plan edges of members that exist: all as additions first; then known ones are restored."""
    execute(
        f"""
        INSERT INTO new_edges (n, is_group, row_id, tenant_id, group_id, member_id)
        SELECT s_e.n, {is_group}, COALESCE(e.id, s_e.new_id), gm.tenant_id, gm.group_id, m.id
        FROM stage_memberships s_e
        JOIN group_map gm ON gm.scaikey_id = s_e.group_scaikey_id
        JOIN {table} m ON m.scaikey_id = s_e.member_scaikey_id AND m.tenant_id = gm.tenant_id
        LEFT JOIN sw_group_memberships e ON e.group_id = gm.group_id AND e.{column} = m.id
        WHERE s_e.is_group = {is_group} AND (e.id IS NULL OR e.absent_since IS NOT NULL)
        """
    )
    restored = execute(
        f"""
        INSERT INTO sync_plan (kind, action, row_id, tenant_id, n, scaikey_id, name, reason,
                               group_id, member_id)
        SELECT %s, 'restore', ne.row_id, ne.tenant_id, ne.n,
               s_e.group_scaikey_id || ' ' || s_e.member_scaikey_id, m.{name},
               '{Reason.MEMBER_RESTORED}', ne.group_id, ne.member_id
        FROM new_edges ne JOIN sw_group_memberships e ON e.id = ne.row_id
        JOIN stage_memberships s_e ON s_e.n = ne.n JOIN {table} m ON m.id = ne.member_id
        WHERE ne.is_group = {is_group}
        """,
        [MEMBERSHIPS],
    )
    if restored:
        execute("DELETE FROM new_edges WHERE row_id IN (SELECT id FROM sw_group_memberships)")


def _count_planned_additions(kind: str) -> int:
    sql = "SELECT count(*) FROM sync_plan WHERE kind = %s AND action = 'add'"
    return fetch_number(sql, [kind])


def _plan_for_new(is_group: int, kind: str) -> None:
    tables = "sync_plan d CROSS JOIN stage_memberships s_e CROSS JOIN group_map gm"
    same_member = "s_e.member_scaikey_id = d.scaikey_id"
    # PostgreSQL joins by hash. SQLite joins in this order.
    if connection.vendor == "sqlite":
        staged = fetch_number(f"SELECT count(*) FROM stage_{kind}")
        if _count_planned_additions(kind) * 2 > staged:  # Most of them are new.
            # In the order of arrival: rows in the order of the members take a third longer.
            tables = (
                "stage_memberships s_e CROSS JOIN group_map gm "
                f"CROSS JOIN stage_{kind} s CROSS JOIN sync_plan d"
            )
            same_member = "s.scaikey_id = s_e.member_scaikey_id AND d.n = s.n"
        else:
            execute(
                "CREATE INDEX IF NOT EXISTS stage_memberships_member "
                "ON stage_memberships (member_scaikey_id)"
            )
    execute(
        f"""
        INSERT INTO new_edges (n, is_group, row_id, tenant_id, group_id, member_id)
        SELECT s_e.n, {is_group}, s_e.new_id, gm.tenant_id, gm.group_id, d.row_id FROM {tables}
        WHERE d.kind = %s AND d.action = 'add' AND s_e.is_group = {is_group} AND {same_member}
          AND gm.scaikey_id = s_e.group_scaikey_id AND gm.tenant_id = d.tenant_id
        """,
        [kind],
    )
