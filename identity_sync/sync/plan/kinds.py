"""Plan the changes of one kind of rows with a ScaiKey ID."""

from __future__ import annotations

from identity_sync.reasons import Reason
from identity_sync.sync.fetch.kinds import TENANTS, EntitySync
from scaiwave.core.sql import execute, is_distinct


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
    """Plan additions, updates and restorations, with the names of the fields that differ."""
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
