"""Plan the role grants that ScaiKey reports with people.

assumption: a user's record may have a field `roles` with slugs. A record without it leaves the
person's roles unchanged; if no record has it, nothing here is done. Manual grants are never
changed. A person whose roles change counts as an updated participant with the field `roles`,
because the kinds that a run reports are a contract.
"""

from __future__ import annotations

from identity_sync.reasons import Reason
from identity_sync.sync.confirm.claims import LOST_GRANTS
from identity_sync.sync.staging import analyze, index_plan_rows
from scaiwave.core.sql import execute, fetch_number


def plan_removals() -> None:
    """Plan to revoke the grants from ScaiKey that it no longer reports."""
    execute(
        f"""
        INSERT INTO role_plan (action, participant_id, tenant_id, person_n, grant_id)
        SELECT 'revoke', p.id, p.tenant_id, s_p.n, gr.id FROM {LOST_GRANTS}
          AND NOT EXISTS (SELECT 1 FROM off_tenants ot WHERE ot.tenant_id = p.tenant_id)
        """
    )


def plan_changes() -> None:
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
