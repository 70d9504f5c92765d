"""Plan what differs between the staged records and the rows: of kinds, memberships and roles.

An edge, a membership in a group, has no ScaiKey ID of its own: its group and member name it.

assumption: a user's record may have a field `roles` with slugs. A record without it leaves the
person's roles unchanged; if no record has it, no role is planned. Manual grants are never changed.
A person whose roles change counts as an updated participant with the field `roles`, because the
kinds that a run reports are a contract.
"""

from __future__ import annotations

from django.db import connection

from identity_sync.reasons import Reason
from identity_sync.sync.confirm.claims import LOST_GRANTS
from identity_sync.sync.fetch.kinds import MEMBER_TYPES, MEMBERSHIPS, TENANTS, EntitySync
from identity_sync.sync.staging import analyze, index_plan_rows
from scaiwave.core.sql import execute, fetch_number, is_distinct, sql_list


def _tenant_join(entity: EntitySync) -> str:
    return "JOIN tenant_map tm ON tm.scaikey_id = s.tenant_scaikey_id" if entity.in_tenant else ""


def _differs(entity: EntitySync, column: str) -> str:
    sent = f"s.{column} IS NOT NULL AND " if column in entity.preserved_columns else ""
    return f"({sent}{is_distinct(f'p.{column}', f's.{column}')})"


def plan_rows(
    entity: EntitySync, action: str, source: str, *, reason: str, detail: str = "NULL"
) -> None:
    """Plan an action for rows `p` of the database; `source` is the SQL that follows FROM."""
    execute(
        f"""
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, scaikey_id, name, reason, detail)
        SELECT '{entity.kind}', '{action}', p.id, {entity.tenant_expression}, p.{entity.identity},
               p.{entity.name_column}, {reason}, {detail}
        FROM {source}
        """
    )


def plan_removals_of(entity: EntitySync) -> None:
    """Plan to deactivate the rows whose removal is confirmed."""
    plan_rows(
        entity,
        "deactivate",
        f"""
        confirmed_removals cr
        JOIN {entity.table} p ON p.{entity.identity} = cr.scaikey_id {entity.scope_join}
        WHERE cr.kind = '{entity.kind}' AND {entity.owned_condition} AND NOT EXISTS
            (SELECT 1 FROM {entity.staging_table} s WHERE s.scaikey_id = cr.scaikey_id)
        """,
        reason="cr.reason",
        detail=f"CASE WHEN cr.reason = '{Reason.MOVED}' THEN cr.detail ELSE '' END",
    )


def plan_moves(entity: EntitySync) -> None:
    """Plan to deactivate the rows that are confirmed to be in another tenant now.

    That tenant need not be known here. People and groups of a tenant that is not linked have no
    access and need no confirmation; they leave it for a tenant that this server has.
    """
    if not entity.in_tenant:
        return
    confirmed = f"""
        loss_claims c JOIN {entity.table} p ON p.id = c.row_id
        JOIN sw_tenants t ON t.id = p.tenant_id
        JOIN {entity.staging_table} s ON s.scaikey_id = c.scaikey_id
        WHERE c.kind = '{entity.kind}' AND c.state IN ('confirmed', 'waiting')
          AND {is_distinct("s.tenant_scaikey_id", "t.scaikey_tenant_id")}
          AND {entity.owned_condition}
    """
    without_link = f"""
        sw_tenants t CROSS JOIN {entity.table} p CROSS JOIN {entity.staging_table} s
        {_tenant_join(entity)}
        WHERE t.scaikey_tenant_id IS NULL AND p.tenant_id = t.id
          AND s.scaikey_id = p.scaikey_id AND {entity.owned_condition}
    """
    for source in (confirmed, without_link):
        plan_rows(entity, "move", source, reason=f"'{Reason.MOVED}'")


def plan_changes_of(entity: EntitySync) -> None:
    """Plan additions, updates and restorations, with the names of the fields that differ.

    A tenant is left out if it has no usable slug (`skipped` 1), and a person if others own the row
    with their ScaiKey ID: `guard` is the condition for both.
    """
    differs = " OR ".join(_differs(entity, column) for column in entity.columns)
    fields = " || ".join(
        f"CASE WHEN {_differs(entity, column)} THEN ',{column}' ELSE '' END"
        for column in entity.columns
    )
    tenant, same_tenant, guard = "NULL", "", ""
    if entity.in_tenant:
        tenant, same_tenant = "tm.tenant_id", "AND p.tenant_id = tm.tenant_id"
    if entity is TENANTS:
        tenant, guard = "COALESCE(p.id, s.new_id)", "AND s.skipped <> 1"
    if owned := entity.ownership_condition:
        # One active row may have the ScaiKey ID, so that no row of others may have it.
        guard = f"""
            AND (p.id IS NULL OR ({owned}))
            AND (p.id IS NOT NULL AND p.absent_since IS NULL OR NOT EXISTS (
                SELECT 1 FROM {entity.table} other_p
                WHERE other_p.{entity.identity} = s.scaikey_id AND other_p.absent_since IS NULL
                  AND NOT ({owned.replace("p.", "other_p.")})))
        """
    execute(
        f"""
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
        SELECT %s,
               CASE WHEN p.id IS NULL THEN 'add'
                    WHEN p.absent_since IS NOT NULL THEN 'restore' ELSE 'update' END,
               COALESCE(p.id, s.new_id), {tenant}, s.n, s.scaikey_id, s.{entity.name_column},
               CASE WHEN p.id IS NULL THEN '' ELSE substr({fields}, 2) END,
               CASE WHEN p.id IS NULL THEN '{Reason.ADDED}'
                    WHEN p.absent_since IS NOT NULL THEN '{Reason.RESTORED}'
                    ELSE '{Reason.CHANGED}' END
        FROM {entity.staging_table} s {_tenant_join(entity)}
        LEFT JOIN {entity.table} p ON p.{entity.identity} = s.scaikey_id {same_tenant}
        WHERE (p.id IS NULL OR p.absent_since IS NOT NULL OR {differs}) {guard}
        """,
        [entity.kind],
    )


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


def plan_edge_removals() -> None:
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


def plan_edge_changes() -> None:
    """Plan edges to add and restore: for existing members, then for new ones of this run."""
    analyze("sync_plan", "tenant_map", "group_map")
    for is_group, table, kind, column, name in MEMBER_TYPES:
        _plan_for_known(is_group, table, column, name)
        if _count_planned_additions(kind):
            _plan_for_new(is_group, kind)


def _plan_for_known(is_group: int, table: str, column: str, name: str) -> None:
    """Plan edges of members that exist: all as additions first; then known ones are restored.

    The edges are by far the largest table, so they are compared in one pass.
    """
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


def plan_grant_removals() -> None:
    """Plan to revoke the grants from ScaiKey that it no longer reports."""
    execute(
        f"""
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, grant_id)
        SELECT 'revoke', p.id, p.tenant_id, s_p.n, gr.id FROM {LOST_GRANTS}
          AND NOT EXISTS (SELECT 1 FROM off_tenants ot WHERE ot.tenant_id = p.tenant_id)
        """
    )


def plan_grant_changes() -> None:
    """Plan the new grants, and mark the people whose roles change as updated participants."""
    execute(
        """
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, n)
        SELECT 'grant', COALESCE(p.id, s_p.new_id), tm.tenant_id, s_p.n, s_ro.n
        FROM stage_roles s_ro JOIN stage_participants s_p ON s_p.n = s_ro.person_n
        JOIN tenant_map tm ON tm.scaikey_id = s_p.tenant_scaikey_id
        LEFT JOIN sw_participants p ON p.scaikey_id = s_p.scaikey_id AND p.tenant_id = tm.tenant_id
        LEFT JOIN sw_roles ro ON ro.tenant_id = tm.tenant_id AND ro.slug = s_ro.slug
        LEFT JOIN sw_role_grants gr ON gr.role_id = ro.id AND gr.participant_id = p.id
        WHERE gr.id IS NULL AND (p.participant_type = 'human' OR p.id IS NULL AND EXISTS (
            SELECT 1 FROM sync_plan d
            WHERE d.kind = 'participants' AND d.action = 'add' AND d.n = s_p.n))
        """
    )
    if fetch_number("SELECT EXISTS (SELECT 1 FROM role_plan)"):
        index_plan_rows()
        analyze("role_plan", "sync_plan")
        _plan_updates_of_people()


def _plan_updates_of_people() -> None:
    """Plan an update of every existing person whose roles change; new people are added anyway."""
    execute(
        """
        UPDATE sync_plan SET fields = CASE WHEN fields = '' THEN 'roles' ELSE fields || ',roles' END
        WHERE kind = 'participants' AND action IN ('update', 'restore')
          AND row_id IN (SELECT participant_id FROM role_plan)
        """
    )
    execute(
        f"""
        INSERT INTO sync_plan
            (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
        SELECT 'participants', 'update', p.id, p.tenant_id, s_p.n, s_p.scaikey_id, s_p.display_name,
               'roles', '{Reason.CHANGED}'
        FROM (SELECT DISTINCT participant_id, person_n FROM role_plan) AS changed
        JOIN sw_participants p ON p.id = changed.participant_id
        JOIN stage_participants s_p ON s_p.n = changed.person_n
        LEFT JOIN sync_plan d ON d.kind = 'participants' AND d.row_id = p.id
        WHERE d.row_id IS NULL
        """
    )
