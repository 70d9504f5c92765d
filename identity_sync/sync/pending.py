"""Pending removals in a run: which claims they answer, and what becomes of each.

A claim with a waiting row is not looked up again, unless someone has approved the row. Then it
is looked up whatever the budget is, and applied if it is still true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from identity_sync.models import OPEN_STATES, Limit, PendingRemoval, RemovalState, SyncRun
from identity_sync.reasons import SUSPENSIONS, Loss
from identity_sync.sync.losses import SAME_REMOVAL
from identity_sync.sync.staging import BATCH, index_filled
from scaiwave.core.sql import (
    batched,
    datetime_param,
    execute,
    fetch,
    fetch_column,
    fetch_number,
    to_uuid,
    uuid_param,
)
from scaiwave.ids import new_id
from tenants.models import Tenant

_OPEN = ", ".join(f"'{state}'" for state in OPEN_STATES)
APPROVED = f"(q.state = '{RemovalState.APPROVED}' AND q.expires_at > %s)"
_KEPT = f"(q.state = '{RemovalState.KEPT}' AND q.expires_at > %s)"
_NOT_APPROVED = f"(q.state IN ({_OPEN}) AND NOT {APPROVED})"

_REMOVED = ", ".join(
    f"'{loss}'"
    for loss in (Loss.REMOVED, Loss.GROUP_REMOVED, Loss.TENANT_REMOVED, Loss.PARTNER_REMOVED)
)
_MOVED = ", ".join(f"'{loss}'" for loss in (Loss.MOVED, Loss.GROUP_REMOVED, Loss.TENANT_SUSPENDED))
_SUSPENDED = ", ".join(f"'{loss}'" for loss in SUSPENSIONS.values())


def _is_same_claim(kind: str) -> str:
    """SQL for whether a row is about the claim of the list."""
    staged = f"(SELECT s.{{}} FROM stage_{kind} s WHERE s.scaikey_id = loss_claims.scaikey_id)"
    conditions = [f"loss_claims.is_absent = 1 AND q.loss IN ({_REMOVED}) AND q.destination = ''"]
    if kind != "partners":
        place = "partner_scaikey_id" if kind == "tenants" else "tenant_scaikey_id"
        conditions.append(
            f"loss_claims.is_absent = 0 AND loss_claims.is_moved = 1 AND q.loss IN ({_MOVED}) "
            f"AND q.destination = {staged.format(place)}"
        )
    if kind != "groups":
        conditions.append(
            "loss_claims.is_absent = 0 AND loss_claims.is_moved = 0 "
            f"AND loss_claims.is_inactive = 1 AND q.loss IN ({_SUSPENDED}) "
            f"AND q.destination = {staged.format('scaikey_status')}"
        )
    return f"q.subject_id = loss_claims.row_id AND ({' OR '.join(conditions)})"


def match_claims(kind: str, *, now: datetime, only_kept: bool) -> None:
    """Assume the open claims that rows answer; with `only_kept` only rows that are kept.

    What a webhook names was looked up already.
    """
    if not _has_open_rows():
        return
    state = _KEPT if only_kept else _NOT_APPROVED
    row = f"FROM sw_pending_removals q WHERE {state} AND {_is_same_claim(kind)}"
    matched = execute(
        f"""
        UPDATE loss_claims SET state = 'assumed', note = (SELECT q.cause {row} LIMIT 1)
        WHERE kind = %s AND state = 'open' AND EXISTS (SELECT 1 {row}) AND row_id NOT IN (
            SELECT q.subject_id FROM sw_pending_removals q WHERE {APPROVED}) AND NOT EXISTS (
            SELECT 1 FROM targets w WHERE w.kind = 'participants' AND w.position >= 0
            AND w.kind = loss_claims.kind AND w.scaikey_id = loss_claims.scaikey_id)
        """,
        [datetime_param(now), kind, *[datetime_param(now)] * 2],
    )
    if matched:
        execute(
            "INSERT INTO confirmed_removals (kind, scaikey_id, reason) SELECT kind, scaikey_id, "
            "note FROM loss_claims WHERE kind = %s AND state = 'assumed' AND is_absent = 1",
            [kind],
        )


def match_role_claims(*, now: datetime, only_kept: bool) -> None:
    """Assume the open claims about people of whom each lost role has a row."""
    state = _KEPT if only_kept else _NOT_APPROVED
    execute(
        f"""
        UPDATE loss_claims SET state = 'assumed'
        WHERE kind = 'participants' AND state = 'open' AND role_losses > 0 AND role_losses = (
            SELECT count(*) FROM sw_pending_removals q WHERE {state}
            AND q.subject_id = loss_claims.row_id AND q.loss = '{Loss.ROLE_TAKEN}'
            AND q.destination NOT IN (
                SELECT s_ro.slug FROM stage_participants s_p
                JOIN stage_roles s_ro ON s_ro.person_n = s_p.n
                WHERE s_p.scaikey_id = loss_claims.scaikey_id))
        """,
        [datetime_param(now)],
    )


def match_edge_claims(*, now: datetime, only_kept: bool) -> None:
    state = _KEPT if only_kept else _NOT_APPROVED
    execute(
        "UPDATE edge_claims SET state = 'assumed' WHERE state = 'open' AND edge_id IN "
        f"(SELECT q.subject_id FROM sw_pending_removals q WHERE {state} "
        "AND q.kind = 'memberships')",
        [datetime_param(now)],
    )


def lock_open_rows() -> None:
    """Wait for decisions that are being written; later ones wait for this transaction."""
    list(PendingRemoval.objects.select_for_update().open().order_by("pk").values_list("pk"))


def count_pending() -> int:
    """Count the removals of the plan that wait, each with what depends on it."""
    sql = "SELECT count(*) FROM removals WHERE state = 'pending' AND root_id IS NULL"
    return fetch_number(sql)


def count_approved(now: datetime) -> int:
    """Count the approved removals that wait all the same: they would leave no super_admin."""
    return fetch_number(
        f"SELECT count(*) FROM removals JOIN sw_pending_removals q ON {SAME_REMOVAL} "
        f"AND {APPROVED} WHERE removals.limit_code = '{Limit.SUPER_ADMIN}' "
        "AND removals.state = 'pending' AND removals.root_id IS NULL",
        [datetime_param(now)],
    )


def has_last_super_admin() -> bool:
    sql = f"SELECT 1 FROM removals WHERE limit_code = '{Limit.SUPER_ADMIN}' AND state = 'pending'"
    return bool(fetch(sql))


def list_pending_tenants() -> list[str]:
    """Return the slugs of the tenants with pending removals, sorted."""
    return fetch_column(
        "SELECT DISTINCT t.slug FROM removals r JOIN sw_tenants t ON t.id = r.tenant_id "
        "WHERE r.state = 'pending' AND r.root_id IS NULL ORDER BY t.slug"
    )


def _has_open_rows() -> bool:
    return bool(fetch(f"SELECT 1 FROM sw_pending_removals q WHERE q.state IN ({_OPEN}) LIMIT 1"))


def record_removals(
    run: SyncRun, *, kinds: Iterable[str], tenant: Tenant | None, targets_only: bool, now: datetime
) -> None:
    """Record what became of each removal, in the transaction that applies the plan.

    A row that this run would have found, and did not, has ended. `kinds` are the kinds that the
    run has read.
    """
    if _has_open_rows():
        index_filled("removals", "subject_id")
        _end_rows(run, kinds, tenant, targets_only, now)
    if count_pending():
        for batch in batched(iter_removals(_IS_NEW), 1000):
            for row, _ in batch:
                row.id, row.first_seen_at, row.last_seen_at = new_id(), now, now
            PendingRemoval.objects.bulk_create(row for row, _ in batch)


_SAME = SAME_REMOVAL.replace("q.", "sw_pending_removals.")
_STILL = f"EXISTS (SELECT 1 FROM removals WHERE {{0}} AND {_SAME})"
_UNDECIDED = """
    (subject_id IN (SELECT c.row_id FROM loss_claims c
                    WHERE c.state IN ('postponed', 'inconsistent', 'kept', 'open'))
     OR subject_id IN (SELECT ec.edge_id FROM edge_claims ec
                       WHERE ec.state IN ('postponed', 'inconsistent', 'kept', 'open'))
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
_IS_TARGET = """
    EXISTS (SELECT 1 FROM targets w WHERE
            w.kind = CASE sw_pending_removals.kind WHEN 'grants' THEN 'participants'
                     WHEN 'memberships' THEN 'groups' ELSE sw_pending_removals.kind END
            AND w.scaikey_id || ' ' =
                substr(sw_pending_removals.subject_scaikey_id || ' ', 1, length(w.scaikey_id) + 1))
"""


def _end_rows(
    run: SyncRun, kinds: Iterable[str], tenant: Tenant | None, targets_only: bool, now: datetime
) -> None:
    time, key = datetime_param(now), uuid_param(run.pk)
    execute(
        f"UPDATE sw_pending_removals SET state = '{RemovalState.PENDING}' "
        f"WHERE state IN ('{RemovalState.APPROVED}', '{RemovalState.KEPT}') AND expires_at <= %s",
        [time],
    )
    end = "UPDATE sw_pending_removals SET state = %s, ended_at = %s, ended_by_id = %s"
    is_open = f"state IN ({_OPEN})"
    is_applied = _STILL.format(
        "removals.root_id IS NULL AND removals.state NOT IN ('pending', 'kept', 'off')"
    )
    execute(f"{end} WHERE {is_open} AND {is_applied}", [RemovalState.APPLIED, time, key])
    read = {*kinds, "grants"} if "participants" in kinds else set(kinds)
    names = ", ".join(f"'{kind}'" for kind in sorted(read))
    still = _STILL.format("(removals.root_id IS NULL OR removals.state = 'off')")
    where = _IS_TARGET if targets_only else _IN_SCOPE
    params = [RemovalState.ENDED, time, key]
    if tenant is not None:
        where, params = "tenant_id = %s", [*params, uuid_param(tenant.pk)]
    execute(
        f"{end} WHERE {where} AND {is_open} AND kind IN ({names}) AND NOT {still} "
        f"AND NOT {_UNDECIDED}",
        params,
    )
    waits = _STILL.format("removals.root_id IS NULL AND removals.state IN ('pending', 'kept')")
    execute(
        f"UPDATE sw_pending_removals SET last_seen_at = %s, runs = runs + 1, {_REFRESHED} "
        f"WHERE {is_open} AND {waits}",
        [time],
    )


_DEPENDENTS = {
    "people": "sw_participants WHERE absent_since IS NULL AND scaikey_id IS NOT NULL AND {}",
    "roles": "sw_role_grants WHERE {}",
    "memberships": "sw_group_memberships WHERE absent_since IS NULL AND {}",
}


def _count_dependents(column: str, kind: str, key: str) -> str:
    """SQL for the number of rows that depend on a tenant, partner or group."""
    conditions = {
        "tenants": f"tenant_id = {key}",
        "partners": f"tenant_id IN (SELECT t.id FROM sw_tenants t WHERE t.partner_id = {key})",
    }
    if column != "people":
        conditions["groups"] = f"group_id = {key}"
    cases = " ".join(
        f"WHEN '{name}' THEN (SELECT count(*) FROM {_DEPENDENTS[column].format(condition)})"
        for name, condition in conditions.items()
    )
    return f"CASE {kind} {cases} ELSE 0 END"


_ROW = ("sw_pending_removals.kind", "sw_pending_removals.subject_id")
_REFRESHED = ", ".join(f"{name} = {_count_dependents(name, *_ROW)}" for name in _DEPENDENTS)
_COUNTS = ", ".join(_count_dependents(name, "r.kind", "r.row_id") for name in _DEPENDENTS)
_COLUMNS = (
    *("tenant_id", "kind", "subject_id", "subject_scaikey_id", "person_scaikey_id"),
    *("subject_name", "loss", "cause", "destination", "limit_code", *_DEPENDENTS),
)
_KEY = "r.subject_id, r.loss, r.cause, r.destination"
_REMOVALS = f"""
    SELECT r.tenant_id, r.kind, r.subject_id, r.scaikey_id, r.person_scaikey_id, r.name, r.loss,
           r.cause, r.destination, r.limit_code, {_COUNTS}, t.slug
    FROM (SELECT * FROM removals r WHERE r.root_id IS NULL AND ({{condition}})
          AND ({_KEY}) > (%s, %s, %s, %s) ORDER BY {_KEY} LIMIT %s) AS r
    LEFT JOIN sw_tenants t ON t.id = r.tenant_id ORDER BY {_KEY}
"""
_IS_NEW = f"""
    r.state = 'pending' AND NOT EXISTS (
        SELECT 1 FROM sw_pending_removals q WHERE q.state IN ({_OPEN})
        AND {SAME_REMOVAL.replace("removals.", "r.")})
"""


def iter_removals(condition: str) -> Iterator[tuple[PendingRemoval, str | None]]:
    """Yield the removals that meet a condition about `r` as rows that are not saved, each with the
    slug of its tenant; what follows from another removal is left out."""
    index_filled("removals", "subject_id")
    sql = _REMOVALS.format(condition=condition)
    last = (uuid_param(UUID(int=0)), "", "", "")
    while rows := fetch(sql, [*last, BATCH]):
        for *values, slug in rows:
            removal = PendingRemoval(**dict(zip(_COLUMNS, values, strict=True)))
            removal.subject_id = to_uuid(removal.subject_id)
            removal.tenant_id = removal.tenant_id and to_uuid(removal.tenant_id)
            yield removal, slug
            last = uuid_param(removal.subject_id), removal.loss, removal.cause, removal.destination
