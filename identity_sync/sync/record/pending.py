"""Record what became of each removal, and the ones that wait."""

from __future__ import annotations

from datetime import datetime

from identity_sync.models import Limit, PendingRemoval, RemovalState, SyncRun
from identity_sync.sync.confirm.decisions import APPROVED, OPEN, has_open_rows
from identity_sync.sync.fetch.lists import Fetched
from identity_sync.sync.judge.limits import Verdict
from identity_sync.sync.judge.losses import SAME_REMOVAL
from identity_sync.sync.judge.removals import (
    DEPENDENTS,
    count_dependents,
    count_pending,
    iter_removals,
)
from identity_sync.sync.staging import index_filled
from identity_sync.sync.states import SKIPPED, UNDECIDED
from scaiwave.core.sql import batched, datetime_param, execute, fetch_number, sql_list, uuid_param
from scaiwave.ids import new_id
from tenants.models import Tenant


def count_approved(now: datetime) -> int:
    """Count the approved removals that wait all the same: they would leave no super_admin."""
    return fetch_number(
        f"SELECT count(*) FROM removals JOIN sw_pending_removals q ON {SAME_REMOVAL} "
        f"AND {APPROVED} WHERE removals.limit_code = '{Limit.SUPER_ADMIN}' "
        "AND removals.state = 'pending' AND removals.root_id IS NULL",
        [datetime_param(now)],
    )


def record_removals(
    run: SyncRun, verdict: Verdict, *, tenant: Tenant | None, now: datetime
) -> None:
    """Record what became of each removal, in the transaction that applies the plan.

    A row that this run would have found, and did not, has ended.
    """
    fetched = verdict.plan.confirmed.fetched
    if has_open_rows():
        index_filled("removals", "subject_id")
        _end_rows(run, fetched, tenant, now)
    if count_pending():
        for batch in batched(iter_removals(_IS_NEW), 1000):
            for row, _ in batch:
                row.id, row.first_seen_at, row.last_seen_at = new_id(), now, now
            PendingRemoval.objects.bulk_create(row for row, _ in batch)


# A row stays open as long as nothing shows whether its loss would still occur: the run could not
# decide the claim, or has not read what the claim is about.
_SAME = SAME_REMOVAL.replace("q.", "sw_pending_removals.")
_STILL = f"EXISTS (SELECT 1 FROM removals WHERE {{0}} AND {_SAME})"
_IS_UNDECIDED = f"""
    (subject_id IN (SELECT c.row_id FROM loss_claims c
                    WHERE c.state = 'open' OR c.state IN {UNDECIDED})
     OR subject_scaikey_id IN (SELECT u.scaikey_id FROM unusable_records u)
     OR subject_id IN (SELECT r.subject_id FROM removals r
                       WHERE r.state IN ('kept', 'off') OR r.root_id IS NOT NULL
                         AND r.state = 'pending')
     OR kind = 'grants' AND subject_scaikey_id NOT IN (
         SELECT s_p.scaikey_id FROM stage_participants s_p WHERE s_p.roles IS NOT NULL)
         AND EXISTS (SELECT 1 FROM sw_participants p WHERE p.absent_since IS NULL
                     AND p.id = sw_pending_removals.subject_id)
     OR kind = 'memberships' AND EXISTS (
         SELECT 1 FROM sw_group_memberships e JOIN sw_groups g ON g.id = e.group_id
         WHERE e.id = sw_pending_removals.subject_id AND e.absent_since IS NULL
           AND g.absent_since IS NULL
           AND g.id NOT IN (SELECT group_id FROM fetched_group_rows)))
"""
_IN_SCOPE = """
    (tenant_id IS NULL OR tenant_id IN (SELECT tenant_id FROM scope_tenants)
     OR tenant_id IN (SELECT t.id FROM sw_tenants t WHERE t.scaikey_tenant_id IS NULL))
"""
_IS_ANNOUNCED = """
    EXISTS (SELECT 1 FROM announced w WHERE
            w.kind = CASE sw_pending_removals.kind WHEN 'grants' THEN 'participants'
                     WHEN 'memberships' THEN 'groups' ELSE sw_pending_removals.kind END
            AND w.scaikey_id || ' ' =
                substr(sw_pending_removals.subject_scaikey_id || ' ', 1, length(w.scaikey_id) + 1))
"""


def _end_rows(run: SyncRun, fetched: Fetched, tenant: Tenant | None, now: datetime) -> None:
    time, key = datetime_param(now), uuid_param(run.pk)
    execute(
        f"UPDATE sw_pending_removals SET state = '{RemovalState.PENDING}' "
        f"WHERE state IN ('{RemovalState.APPROVED}', '{RemovalState.KEPT}') AND expires_at <= %s",
        [time],
    )
    end = "UPDATE sw_pending_removals SET state = %s, ended_at = %s, ended_by_id = %s"
    is_open = f"state IN {OPEN}"
    is_applied = _STILL.format(f"removals.root_id IS NULL AND removals.state NOT IN {SKIPPED}")
    execute(f"{end} WHERE {is_open} AND {is_applied}", [RemovalState.APPLIED, time, key])
    read = {*fetched.kinds, *(["grants"] if "participants" in fetched.kinds else [])}
    still = _STILL.format("(removals.root_id IS NULL OR removals.state = 'off')")
    where = _IS_ANNOUNCED if fetched.scope.announced_only else _IN_SCOPE
    params = [RemovalState.ENDED, time, key]
    if tenant is not None:
        where, params = "tenant_id = %s", [*params, uuid_param(tenant.pk)]
    execute(
        f"{end} WHERE {where} AND {is_open} AND kind IN {sql_list(sorted(read))} AND NOT {still} "
        f"AND NOT {_IS_UNDECIDED}",
        params,
    )
    waits = _STILL.format("removals.root_id IS NULL AND removals.state IN ('pending', 'kept')")
    execute(
        f"UPDATE sw_pending_removals SET last_seen_at = %s, runs = runs + 1, {_REFRESHED} "
        f"WHERE {is_open} AND {waits}",
        [time],
    )


_ROW = ("sw_pending_removals.kind", "sw_pending_removals.subject_id")
_REFRESHED = ", ".join(f"{name} = {count_dependents(name, *_ROW)}" for name in DEPENDENTS)

_IS_NEW = f"""
    r.state = 'pending' AND NOT EXISTS (
        SELECT 1 FROM sw_pending_removals q WHERE q.state IN {OPEN}
        AND {SAME_REMOVAL.replace("removals.", "r.")})
"""
