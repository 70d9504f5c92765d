"""Skip the removals that a plan sets aside, and the changes that only make sense with them.

Everything else about the same rows is still applied: of a person whose suspension waits, a new name
is written.
"""

from __future__ import annotations

from identity_sync.reasons import Reason
from identity_sync.sync.judge.losses import mark_set_aside
from identity_sync.sync.staging import analyze, index_filled, index_plan_records, index_plan_rows
from identity_sync.sync.states import SKIPPED
from scaiwave.core.sql import execute, fetch

_REASON = f"""
    CASE r.state WHEN 'pending' THEN '{Reason.PENDING}' WHEN 'kept' THEN '{Reason.KEPT}'
                 ELSE r.skip_reason END
"""
_IS_SET_ASIDE = f"r.state IN {SKIPPED} AND r.kind = sync_plan.kind AND r.row_id = sync_plan.row_id"

SKIPPED_TENANTS = "SELECT tenant_id FROM skipped_tenants"


def skip_set_aside() -> int:
    """Skip the removals that are set aside; return how many, without covered ones."""
    index_plan_rows()
    skipped = _skip_removals()
    for kind, column, cause in _KEPT_FIELDS:
        skipped += _keep_field(kind, column, cause)
    skipped += _keep_roles()
    if skipped:
        _skip_consequences()
    return skipped


def _skip_removals() -> int:
    mark_set_aside()
    return execute(
        f"""
        UPDATE sync_plan SET action = 'skipped', reason = {_REASON} FROM removals r
        WHERE sync_plan.action IN ('deactivate', 'move') AND {_IS_SET_ASIDE}
        """
    )


_KEPT_FIELDS = (
    ("partners", "scaikey_status", Reason.CHANGED),
    ("tenants", "scaikey_status", Reason.CHANGED),
    ("tenants", "partner_id", Reason.MOVED),
    ("participants", "scaikey_status", Reason.CHANGED),
)


def _keep_field(kind: str, column: str, cause: Reason) -> int:
    """Leave out a new status or partner; a record without it leaves the row unchanged."""
    rows = (
        f"SELECT r.row_id FROM removals r WHERE r.kind = '{kind}' AND r.cause = '{cause}' "
        f"AND r.destination <> '' AND r.state IN {SKIPPED}"
    )
    kept = execute(
        f"UPDATE stage_{kind} SET {column} = NULL WHERE n IN (SELECT d.n FROM sync_plan d "
        f"WHERE d.kind = '{kind}' AND d.action = 'update' AND d.row_id IN ({rows}))"
    )
    if kept:
        _skip_field(kind, column, rows)
    return kept


def _skip_field(kind: str, field: str, rows: str) -> None:
    """Take a field from the planned updates of rows whose removal is set aside."""
    index_filled("removals", "subject_id")
    # A field may have two causes: what waits for a decision comes before what is refused or off.
    reason = f"""
        (SELECT {_REASON} FROM removals r WHERE r.state IN {SKIPPED}
         AND r.subject_id = sync_plan.row_id
         ORDER BY CASE r.state WHEN 'pending' THEN 1 WHEN 'off' THEN 2 ELSE 3 END LIMIT 1)
    """
    is_new = """
        NOT EXISTS (SELECT 1 FROM sync_plan d WHERE d.kind = sync_plan.kind
                    AND d.row_id = sync_plan.row_id AND d.action = 'skipped')
    """
    where = f"kind = '{kind}' AND action = 'update' AND row_id IN ({rows})"
    _drop_field(field, where, reason, is_new)


def _drop_field(field: str, where: str, reason: str, is_new: str = "0 = 0") -> None:
    """Take a field from planned changes. An update of nothing else is skipped; of another change
    the skipped part is added as a row of its own, if `is_new` is true."""
    execute(
        "UPDATE sync_plan "
        f"SET fields = trim(replace(',' || fields || ',', ',{field},', ','), ',') WHERE {where}"
    )
    is_empty = "(action = 'update' AND fields = '')"
    execute(
        f"""
        INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
        SELECT kind, 'skipped', row_id, tenant_id, scaikey_id, name, {reason}
        FROM sync_plan WHERE {where} AND NOT {is_empty} AND {is_new}
        """
    )
    execute(
        f"UPDATE sync_plan SET action = 'skipped', reason = {reason} WHERE {where} AND {is_empty}"
    )


def _keep_roles() -> int:
    grants = f"SELECT r.row_id FROM removals r WHERE r.kind = 'grants' AND r.state IN {SKIPPED}"
    kept = execute(f"DELETE FROM role_plan WHERE action = 'revoke' AND grant_id IN ({grants})")
    if kept:
        _skip_field(
            "participants",
            "roles",
            f"SELECT r.subject_id FROM removals r WHERE r.kind = 'grants' "
            f"AND r.state IN {SKIPPED} AND r.subject_id NOT IN "
            "(SELECT rp.participant_id FROM role_plan rp)",
        )
    return kept


def _skip_consequences() -> None:
    """Skip the changes that only make sense together with a skipped loss."""
    index_plan_rows()
    index_plan_records()
    analyze("sync_plan")
    # A person or group that stays in one tenant can't be added to another.
    execute(
        """
        UPDATE sync_plan SET action = 'skipped', reason = %s
        WHERE action IN ('add', 'restore') AND kind IN ('participants', 'groups') AND EXISTS (
            SELECT 1 FROM sync_plan d WHERE d.kind = sync_plan.kind AND d.action = 'skipped'
            AND d.scaikey_id = sync_plan.scaikey_id AND d.tenant_id <> sync_plan.tenant_id)
        """,
        [Reason.PENDING],
    )
    never_added = (
        "SELECT d.row_id FROM sync_plan d WHERE d.action = 'skipped' AND d.n IS NOT NULL "
        "AND d.kind IN ('participants', 'groups') AND NOT EXISTS (SELECT 1 FROM sw_participants p "
        "WHERE p.id = d.row_id AND p.absent_since IS NULL) AND NOT EXISTS (SELECT 1 FROM sw_groups "
        "g WHERE g.id = d.row_id AND g.absent_since IS NULL)"
    )
    for column in ("member_id", "group_id"):
        execute(
            "DELETE FROM sync_plan WHERE kind = 'memberships' AND action = 'restore' "
            f"AND {column} IN ({never_added})"
        )
        execute(f"DELETE FROM new_edges WHERE {column} IN ({never_added})")
    execute(f"DELETE FROM role_plan WHERE action = 'grant' AND participant_id IN ({never_added})")
    # Leave the slug of a tenant to it that is not removed after all; and so on. A tenant that would
    # have received it keeps its own. A new one is not added, and the people and groups who have
    # moved to it stay where they are.
    execute("DELETE FROM skipped_tenants")
    while execute(_STAGE_BLOCKED_TENANTS):
        _keep_own_slugs()
        _skip_new_tenants()
        execute("DELETE FROM skipped_tenants")
    execute(_KEEP_MOVED, [Reason.SLUG_IN_USE] * 2)
    _skip_removals()


def _keep_own_slugs() -> None:
    blocked = (
        f"kind = 'tenants' AND action IN ('update', 'restore') AND row_id IN ({SKIPPED_TENANTS})"
    )
    execute(
        "UPDATE stage_tenants SET slug = (SELECT t.slug FROM sw_tenants t "
        "WHERE t.scaikey_tenant_id = stage_tenants.scaikey_id) "
        f"WHERE n IN (SELECT n FROM sync_plan WHERE {blocked})"
    )
    _drop_field("slug", blocked, f"'{Reason.SLUG_IN_USE}'")


def _skip_new_tenants() -> None:
    new = (
        "SELECT d.row_id FROM sync_plan d WHERE d.kind = 'tenants' AND d.action = 'add' "
        f"AND d.row_id IN ({SKIPPED_TENANTS})"
    )
    if not fetch(f"{new} LIMIT 1"):
        return
    execute(f"DELETE FROM skipped_tenants WHERE tenant_id NOT IN ({new})")
    execute(
        "UPDATE sync_plan SET action = 'skipped', reason = %s "
        f"WHERE tenant_id IN ({SKIPPED_TENANTS})",
        [Reason.SLUG_IN_USE],
    )
    execute(f"DELETE FROM role_plan WHERE tenant_id IN ({SKIPPED_TENANTS})")
    execute(_SKIP_NEW_EDGES, [Reason.SLUG_IN_USE])
    execute(f"DELETE FROM new_edges WHERE tenant_id IN ({SKIPPED_TENANTS})")


# The slug belongs to a tenant that is not removed and gets no other one.
_STAGE_BLOCKED_TENANTS = """
    INSERT INTO skipped_tenants (tenant_id)
    SELECT DISTINCT d.row_id FROM sync_plan d JOIN stage_tenants s_t ON s_t.n = d.n
    JOIN sw_tenants t ON t.slug = s_t.slug AND t.id <> d.row_id
    WHERE d.kind = 'tenants' AND d.action IN ('add', 'update', 'restore')
      AND t.absent_since IS NULL AND NOT EXISTS (
        SELECT 1 FROM sync_plan other_d WHERE other_d.kind = 'tenants' AND other_d.row_id = t.id
        AND (other_d.action = 'deactivate' OR
             other_d.action = 'update' AND ',' || other_d.fields || ',' LIKE '%%,slug,%%'))
"""

_KEEP_MOVED = f"""
    UPDATE removals SET state = 'off', skip_reason = %s
    WHERE kind IN ('participants', 'groups') AND state NOT IN {SKIPPED}
      AND EXISTS (SELECT 1 FROM sync_plan d JOIN sync_plan other_d ON other_d.kind = d.kind
                  AND other_d.scaikey_id = d.scaikey_id AND other_d.tenant_id <> d.tenant_id
                  WHERE d.action = 'move' AND d.kind = removals.kind
                    AND d.row_id = removals.row_id
                    AND other_d.action = 'skipped' AND other_d.reason = %s)
"""

_SKIP_NEW_EDGES = """
    INSERT INTO sync_plan (kind, action, row_id, tenant_id, n, scaikey_id, name, reason)
    SELECT 'memberships', 'skipped', ne.row_id, ne.tenant_id, ne.n,
           s_e.group_scaikey_id || ' ' || s_e.member_scaikey_id,
           COALESCE(s_p.display_name, s_g.name), %s
    FROM new_edges ne JOIN stage_memberships s_e ON s_e.n = ne.n
    LEFT JOIN stage_participants s_p ON s_e.is_group = 0 AND s_p.scaikey_id = s_e.member_scaikey_id
    LEFT JOIN stage_groups s_g ON s_e.is_group = 1 AND s_g.scaikey_id = s_e.member_scaikey_id
    WHERE ne.tenant_id IN (SELECT tenant_id FROM skipped_tenants)
"""
