"""Find every loss of access in a plan: the rows that lose something, and what depends on them.

A removal is a row of the plan that takes access from someone: a person, group, tenant, partner,
group membership or role grant. It is decided on as a whole. `states` names its states.

A loss is a removal or a row that depends on one: the people of a lost tenant, and the memberships
and grants of a lost group. Each kind of loss is a measure. Another is the people affected by any.
"""

from __future__ import annotations

from datetime import datetime

from identity_sync.models import Limit, RemovalState
from identity_sync.reasons import ENDED, SUSPENSIONS, Loss, Reason
from identity_sync.report import LOSSES
from identity_sync.sync.confirm.decisions import APPROVED, KEPT, OPEN
from identity_sync.sync.fetch.kinds import ACTIVE
from identity_sync.sync.staging import analyze, find_off_reason, index_plan_rows
from identity_sync.sync.states import SKIPPED
from scaiwave.core.sql import datetime_param, execute, fetch, fetch_number

AFFECTED = "affected_people"
"""The measure of people who lose a status, a role or a group membership."""

_COLUMNS = (
    "kind, row_id, subject_id, tenant_id, scaikey_id, person_scaikey_id, name, loss, cause, "
    "destination, state, limit_code"
)


def stage_removals(now: datetime) -> bool:
    """Stage the removals of the plan, with their states; return whether there are any."""
    execute("DELETE FROM removals")
    found = sum(_stage_ended(kind, action, loss) for (kind, action), loss in ENDED.items())
    found += sum(_stage_suspended(kind, loss) for kind, loss in SUSPENSIONS.items())
    _stage_tenant_access()
    found += _stage_moved_to_inactive_partners()
    found += execute(_REVOKED_GRANTS)
    if not found:
        return False
    # In a tenant that is not linked no one can sign in, so that nothing can be lost there.
    execute(
        "DELETE FROM removals WHERE tenant_id IN "
        "(SELECT id FROM sw_tenants WHERE scaikey_tenant_id IS NULL)"
    )
    analyze("removals", "sync_plan")
    for sql in (*_STATES, *_STATES_BY_DECISIONS, _COVERED_BY_TENANTS, _COVERED_MEMBERSHIPS):
        execute(sql, [datetime_param(now)] * sql.count("%s"))
    mark_set_aside()
    return True


_PERSON = "CASE WHEN d.kind = 'participants' THEN d.scaikey_id ELSE '' END"


def _stage(
    loss: str,
    destination: str,
    joins: str,
    where: str,
    *,
    cause: str = "d.reason",
    person: str = _PERSON,
) -> int:
    """Stage rows `d` of the plan as removals that are due. All arguments are SQL."""
    return execute(
        f"""
        INSERT INTO removals ({_COLUMNS})
        SELECT d.kind, d.row_id, d.row_id, d.tenant_id, d.scaikey_id, {person}, d.name, {loss},
               {cause}, COALESCE({destination}, ''), 'due', ''
        FROM sync_plan d {joins} WHERE {where}
        """
    )


def _stage_ended(kind: str, action: str, loss: Loss) -> int:
    moved = ENDED.get((kind, "move"), loss)
    # A sync of one tenant only learns that someone is elsewhere now.
    destination = f"CASE WHEN d.reason = '{Reason.MOVED}' THEN d.detail ELSE '' END"
    if action == "move":
        staged = f"FROM stage_{kind} s WHERE s.scaikey_id = d.scaikey_id"
        destination = f"(SELECT s.tenant_scaikey_id {staged})"
    joins, person = "", _PERSON
    if kind == "memberships":
        joins = """
            JOIN sw_group_memberships e ON e.id = d.row_id
            LEFT JOIN sw_participants p ON p.id = e.member_participant_id
        """
        person = "COALESCE(p.scaikey_id, '')"
    return _stage(
        f"CASE WHEN d.reason = '{Reason.MOVED}' THEN '{moved}' ELSE '{loss}' END",
        destination,
        joins,
        f"d.kind = '{kind}' AND d.action = '{action}' AND d.reason <> '{Reason.NOT_RETURNED}'",
        person=person,
    )


def _stage_suspended(kind: str, loss: Loss) -> int:
    """Stage active rows whose new status is not active."""
    return _stage(
        f"'{loss}'",
        "s.scaikey_status",
        f"JOIN sw_{kind} p ON p.id = d.row_id JOIN stage_{kind} s ON s.n = d.n",
        f"d.kind = '{kind}' AND d.action = 'update' AND s.scaikey_status NOT IN {ACTIVE} "
        f"AND p.scaikey_status IN {ACTIVE} AND p.suspended_by_hand_at IS NULL",
    )


def _stage_moved_to_inactive_partners() -> int:
    """By the future state of the partners, not by claims: a sync of one tenant makes none."""
    return _stage(
        f"'{Loss.TENANT_SUSPENDED}'",
        "s_t.partner_scaikey_id",
        """
        JOIN sw_tenants t ON t.id = d.row_id JOIN stage_tenants s_t ON s_t.n = d.n
        JOIN partner_access pa ON pa.partner_id = s_t.partner_id AND pa.is_active = 0
        """,
        f"""
        d.kind = 'tenants' AND d.action = 'update'
        AND t.scaikey_status IN {ACTIVE} AND t.suspended_by_hand_at IS NULL
        AND (t.partner_id IS NULL OR s_t.partner_id <> t.partner_id)
        """,
        cause=f"'{Reason.MOVED}'",
    )


# The subject of a grant is the person.
_REVOKED_GRANTS = f"""
    INSERT INTO removals ({_COLUMNS})
    SELECT 'grants', rp.grant_id, rp.participant_id, rp.tenant_id, p.scaikey_id, p.scaikey_id,
           p.display_name, '{Loss.ROLE_TAKEN}', '{Reason.CHANGED}', ro.slug, 'due', ''
    FROM role_plan rp JOIN sw_participants p ON p.id = rp.participant_id
    JOIN sw_role_grants gr ON gr.id = rp.grant_id JOIN sw_roles ro ON ro.id = gr.role_id
    WHERE rp.action = 'revoke'
"""

# An unreadable list of people does not keep a tenant that ScaiKey itself reports as suspended.
_KEEPS = f"(ot.note <> '{Reason.UNREADABLE_LIST}' OR removals.state <> 'suspension')"
_STATES = (
    # They were not looked up in this run.
    """
    UPDATE removals SET state = 'pending', is_unproven = 1
    WHERE subject_id IN (SELECT c.row_id FROM loss_claims c WHERE c.state = 'waiting')
    """,
    f"""
    UPDATE removals SET state = 'suspension' WHERE state = 'due' AND cause = '{Reason.CHANGED}'
    AND loss IN ('{Loss.TENANT_SUSPENDED}', '{Loss.PARTNER_SUSPENDED}')
    AND destination = 'SUSPENDED'
    """,
    f"""
    UPDATE removals SET state = 'announced' WHERE state = 'due' AND kind = 'participants'
    AND loss IN ('{Loss.REMOVED}', '{Loss.SUSPENDED}') AND cause <> '{Reason.TENANT_REMOVED}'
    AND EXISTS (SELECT 1 FROM announced w WHERE w.kind = 'participants' AND w.position >= 0
                AND w.scaikey_id = removals.scaikey_id)
    """,
    f"""
    UPDATE removals SET state = 'off', skip_reason = {find_off_reason("removals")}
    WHERE tenant_id IN (SELECT ot.tenant_id FROM off_tenants ot WHERE {_KEEPS})
       OR kind = 'partners' AND row_id IN (SELECT t.partner_id FROM sw_tenants t
                                           JOIN off_tenants ot ON ot.tenant_id = t.id AND {_KEEPS})
    """,
)

SAME_REMOVAL = (
    "q.subject_id = removals.subject_id AND q.loss = removals.loss AND q.cause = removals.cause "
    "AND q.destination = removals.destination"
)
# An approval or a keep whose time has passed is pending again. A webhook proves by itself.
_STATES_OF_ROWS = f"""
    UPDATE removals SET limit_code = q.limit_code, state = CASE
        WHEN {KEPT} THEN 'kept'
        WHEN {APPROVED} AND removals.state <> 'pending' THEN 'approved'
        WHEN removals.state = 'announced' THEN 'announced' ELSE 'pending' END
    FROM sw_pending_removals q
    WHERE {SAME_REMOVAL} AND removals.state <> 'off' AND q.state IN {OPEN}
"""

# The access of the subject is kept, even if another cause would end it now. When the time has
# passed, a new cause waits as well.
_KEPT_SUBJECTS = f"""
    UPDATE removals SET state = CASE WHEN q.is_valid = 1 THEN 'kept' ELSE 'pending' END,
        limit_code = CASE WHEN q.is_valid = 1 OR limit_code <> '' THEN limit_code
                          ELSE '{Limit.TENANT}' END
    FROM (SELECT subject_id, max(CASE WHEN expires_at > %s THEN 1 ELSE 0 END) AS is_valid
          FROM sw_pending_removals WHERE state = '{RemovalState.KEPT}'
            AND loss <> '{Loss.ROLE_TAKEN}' GROUP BY subject_id) AS q
    WHERE removals.subject_id = q.subject_id AND removals.loss <> '{Loss.ROLE_TAKEN}'
      AND removals.state NOT IN ('off', 'approved')
"""
# A tenant, partner or group with something in it that is kept waits, unless it is approved.
_WITH_KEPT = f"""
    UPDATE removals SET state = 'pending', limit_code = '{Limit.KEPT}'
    WHERE state IN ('due', 'pending') AND (
        kind = 'tenants' AND row_id IN (
            SELECT q.tenant_id FROM sw_pending_removals q
            WHERE q.tenant_id IS NOT NULL AND q.kind <> 'tenants' AND {KEPT} UNION
            SELECT t.id FROM sw_tenants t JOIN sw_pending_removals q ON q.subject_id = t.partner_id
            WHERE {KEPT})
        OR kind = 'partners' AND row_id IN (
            SELECT t.partner_id FROM sw_tenants t JOIN sw_pending_removals q ON q.tenant_id = t.id
            WHERE t.partner_id IS NOT NULL AND {KEPT})
        OR kind = 'groups' AND row_id IN (
            SELECT e.group_id FROM sw_group_memberships e
            JOIN sw_pending_removals q ON q.subject_id = e.id WHERE {KEPT}))
"""
# A webhook about a person does not show whether their tenant is there.
_ANNOUNCED_IN_KEPT_TENANTS = f"""
    UPDATE removals SET state = 'kept' WHERE state = 'announced' AND tenant_id IN (
        SELECT q.subject_id FROM sw_pending_removals q WHERE q.kind = 'tenants' AND {KEPT} UNION
        SELECT t.id FROM sw_tenants t JOIN sw_pending_removals q ON q.subject_id = t.partner_id
        WHERE {KEPT})
"""
_STATES_BY_DECISIONS = (_STATES_OF_ROWS, _KEPT_SUBJECTS, _WITH_KEPT, _ANNOUNCED_IN_KEPT_TENANTS)

_COVERED_BY_TENANTS = f"""
    UPDATE removals SET state = 'covered', root_id = tenant_id
    WHERE kind IN ('participants', 'groups') AND state NOT IN ('off', 'kept')
      AND cause = '{Reason.TENANT_REMOVED}' AND tenant_id IN (
          SELECT r.row_id FROM removals r WHERE r.kind = 'tenants')
"""
# They follow the person or group that is removed or moved.
_MEMBER = f"""
    FROM sw_group_memberships e JOIN removals member_r
      ON member_r.row_id IN (e.member_participant_id, e.member_group_id)
    WHERE e.id = removals.row_id AND member_r.kind IN ('participants', 'groups')
      AND member_r.loss IN ('{Loss.REMOVED}', '{Loss.MOVED}', '{Loss.GROUP_REMOVED}')
"""
_COVERED_MEMBERSHIPS = f"""
    UPDATE removals SET state = 'covered',
        root_id = (SELECT COALESCE(member_r.root_id, member_r.row_id) {_MEMBER} LIMIT 1)
    WHERE kind = 'memberships' AND state <> 'off' AND EXISTS (SELECT 1 {_MEMBER})
"""


def mark_set_aside() -> None:
    """Give covered removals the state of their cause, if that is set aside."""
    execute(
        f"""
        UPDATE removals SET state = r.state, skip_reason = r.skip_reason
        FROM removals r WHERE removals.state = 'covered' AND r.row_id = removals.root_id
          AND r.state IN {SKIPPED}
        """
    )


def stage_losses(condition: str) -> None:
    """Stage the losses of the removals that meet a condition about `r`, in SQL."""
    execute("DELETE FROM losses")
    execute("DELETE FROM affected_through_groups")
    execute(
        f"""
        INSERT INTO losses (kind, tenant_id, row_id)
        SELECT DISTINCT CASE r.kind WHEN 'participants' THEN 'people' ELSE r.kind END,
               r.tenant_id, r.row_id
        FROM removals r WHERE {condition}
        """
    )
    _stage_tenant_access()
    execute(_PEOPLE_OF_LOST_TENANTS.format(condition=condition))
    for kind, table, column in _GROUP_DEPENDENTS:
        execute(
            f"""
            INSERT INTO losses (kind, tenant_id, row_id)
            SELECT '{kind}', p.tenant_id, p.id
            FROM losses lo JOIN {table} p ON p.{column} = lo.row_id
            WHERE lo.kind = 'groups' {"AND p.absent_since IS NULL" if kind == "memberships" else ""}
              AND NOT EXISTS (SELECT 1 FROM losses other_lo
                              WHERE other_lo.row_id = p.id AND other_lo.kind = '{kind}')
            """
        )
    execute(_AFFECTED_THROUGH_GROUPS)


def _stage_tenant_access() -> None:
    """Stage which tenants give their people access, before and after the plan.

    That takes a tenant and a partner that are active, and each may change or be changed for
    another in the same run.
    """
    execute("DELETE FROM partner_access")
    execute("DELETE FROM tenant_access")
    if fetch(
        "SELECT 1 FROM sync_plan WHERE kind IN ('partners', 'tenants') "
        "AND action IN ('update', 'restore', 'deactivate') LIMIT 1"
    ):
        index_plan_rows()
        execute(_PARTNER_ACCESS)
        execute(_TENANT_ACCESS)


def _is_active(row: str, staged: str, plan: str) -> str:
    """SQL for whether a row will be active after the plan."""
    status = f"COALESCE({staged}.scaikey_status, {row}.scaikey_status)"
    return (
        f"({row}.suspended_by_hand_at IS NULL AND COALESCE({plan}.action, '') <> 'deactivate' "
        f"AND ({row}.absent_since IS NULL OR {plan}.action = 'restore') "
        f"AND {status} IN {ACTIVE})"
    )


def _was_active(row: str) -> str:
    return (
        f"({row}.suspended_by_hand_at IS NULL AND {row}.absent_since IS NULL "
        f"AND {row}.scaikey_status IN {ACTIVE})"
    )


_PLANNED = "d.action IN ('update', 'restore', 'deactivate')"

# An approval does not cover the people of a tenant that moves to the partner afterwards.
_PARTNER_ACCESS = f"""
    INSERT INTO partner_access (partner_id, was_active, is_active)
    SELECT pr.id, CASE WHEN {_was_active("pr")} THEN 1 ELSE 0 END,
           CASE WHEN {_is_active("pr", "s_pr", "d")} AND pr.id NOT IN (
               SELECT q.subject_id FROM sw_pending_removals q WHERE q.kind = 'partners'
               AND q.state IN {OPEN}) THEN 1 ELSE 0 END
    FROM sw_partners pr
    LEFT JOIN sync_plan d ON d.kind = 'partners' AND d.row_id = pr.id AND {_PLANNED}
    LEFT JOIN stage_partners s_pr ON s_pr.n = d.n
    UNION ALL
    SELECT d.row_id, 0,
           CASE WHEN COALESCE(s_pr.scaikey_status, '') IN {ACTIVE} THEN 1 ELSE 0 END
    FROM sync_plan d JOIN stage_partners s_pr ON s_pr.n = d.n
    WHERE d.kind = 'partners' AND d.action = 'add'
"""

_TENANT_ACCESS = f"""
    INSERT INTO tenant_access (tenant_id, was_active, is_active)
    SELECT t.id,
           CASE WHEN {_was_active("t")} AND COALESCE(old_pa.was_active, 1) = 1 THEN 1 ELSE 0 END,
           CASE WHEN {_is_active("t", "s_t", "d")} AND COALESCE(new_pa.is_active, 1) = 1
                THEN 1 ELSE 0 END
    FROM sw_tenants t
    LEFT JOIN sync_plan d ON d.kind = 'tenants' AND d.row_id = t.id AND {_PLANNED}
    LEFT JOIN stage_tenants s_t ON s_t.n = d.n
    LEFT JOIN partner_access old_pa ON old_pa.partner_id = t.partner_id
    LEFT JOIN partner_access new_pa ON new_pa.partner_id = COALESCE(s_t.partner_id, t.partner_id)
"""

LOST_TENANTS = "SELECT tenant_id FROM tenant_access WHERE was_active = 1 AND is_active = 0"

# Where both the tenant and its partner are lost, either removal alone takes the access.
_PEOPLE_OF_LOST_TENANTS = f"""
    INSERT INTO losses (kind, tenant_id, row_id)
    SELECT 'people', p.tenant_id, p.id
    FROM sw_participants p JOIN sw_tenants t ON t.id = p.tenant_id
    WHERE p.tenant_id IN ({LOST_TENANTS}) AND p.participant_type = 'human'
      AND t.scaikey_tenant_id IS NOT NULL AND {_was_active("p")}
      AND NOT EXISTS (SELECT 1 FROM losses lo WHERE lo.row_id = p.id AND lo.kind = 'people')
      AND EXISTS (SELECT 1 FROM removals r
                  WHERE r.row_id IN (t.id, t.partner_id) AND r.kind IN ('tenants', 'partners')
                    AND ({{condition}}))
"""

_GROUP_DEPENDENTS = (
    ("memberships", "sw_group_memberships", "group_id"),
    ("memberships", "sw_group_memberships", "member_group_id"),
    ("grants", "sw_role_grants", "group_id"),
)


def count_losses() -> dict[str, int]:
    rows = fetch("SELECT kind, count(*) FROM losses GROUP BY kind")
    return dict.fromkeys(LOSSES, 0) | {kind: int(number) for kind, number in rows}


_AFFECTED = """
    SELECT tenant_id, row_id AS person_id FROM losses WHERE kind = 'people'
    UNION
    SELECT lo.tenant_id, gr.participant_id
    FROM losses lo JOIN sw_role_grants gr ON gr.id = lo.row_id
    WHERE lo.kind = 'grants' AND gr.participant_id IS NOT NULL
    UNION
    SELECT lo.tenant_id, e.member_participant_id
    FROM losses lo JOIN sw_group_memberships e ON e.id = lo.row_id
    WHERE lo.kind = 'memberships' AND e.member_participant_id IS NOT NULL
    UNION
    SELECT tenant_id, person_id FROM affected_through_groups
"""

_AFFECTED_THROUGH_GROUPS = """
    WITH RECURSIVE lost (tenant_id, group_id) AS (
        SELECT lo.tenant_id, e.member_group_id
        FROM losses lo JOIN sw_group_memberships e ON e.id = lo.row_id
        WHERE lo.kind = 'memberships' AND e.member_group_id IS NOT NULL
        UNION
        SELECT lost.tenant_id, e.member_group_id
        FROM lost JOIN sw_group_memberships e ON e.group_id = lost.group_id
        WHERE e.member_group_id IS NOT NULL AND e.absent_since IS NULL
    )
    INSERT INTO affected_through_groups (tenant_id, person_id)
    SELECT DISTINCT lost.tenant_id, e.member_participant_id
    FROM lost JOIN sw_group_memberships e ON e.group_id = lost.group_id
    WHERE e.member_participant_id IS NOT NULL AND e.absent_since IS NULL
"""
"""The people in a group that is no longer a member of another, and so may lose its roles."""


def count_affected() -> int:
    """Count the people who are affected by any loss."""
    return fetch_number(f"SELECT count(DISTINCT person_id) FROM ({_AFFECTED}) AS a")


def count_losses_by_tenant() -> dict[tuple[str, str], int]:
    """Count the losses by measure and tenant; a partner has no tenant."""
    rows = fetch(
        "SELECT kind, tenant_id, count(*) FROM losses GROUP BY kind, tenant_id UNION ALL "
        f"SELECT '{AFFECTED}', tenant_id, count(*) FROM ({_AFFECTED}) AS a GROUP BY tenant_id"
    )
    return {(kind, str(tenant_id or "")): int(number) for kind, tenant_id, number in rows}
