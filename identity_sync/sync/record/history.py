"""Record runs, what each one changed, planned and skipped, and which webhook events it handled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import Error, OperationalError, connection, transaction

from identity_sync.errors import SyncStopped
from identity_sync.models import (
    WRITTEN,
    Outcome,
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
    Trigger,
    WebhookEvent,
    WebhookState,
)
from identity_sync.reasons import ON_PURPOSE, POSTPONED, Reason
from identity_sync.report import SyncReport
from identity_sync.sync.record.changes import (
    PlannedChange,
    iter_recorded_changes,
    list_first_changes,
)
from identity_sync.sync.record.prune import delete_batches
from identity_sync.sync.staging import analyze, index_plan_records
from scaiwave.core.completed_work import record_on_commit
from scaiwave.core.errors import ScaiWaveError, TerminationSignal
from scaiwave.core.limits import LimitReached
from scaiwave.core.sql import batched, datetime_param, execute, fetch, sql_list, uuid_param
from scaiwave.ids import new_id
from scaiwave.storage.error_mapping import map_database_error, map_os_error
from tenants.audit.queries.entries import min_uuid7_at
from tenants.counters import increment_counter
from tenants.holds.queries import covers_q
from tenants.models import Tenant

MAX_DELETED_BATCHES = 20
"""Batches of old values that one run deletes."""
MAX_PLANNED_CHANGES = 200
"""Planned changes of each kind that a run records."""
MAX_PLANS = 30
"""Runs whose planned changes are kept."""

logger = logging.getLogger(__name__)


def close_interrupted(now: datetime, *, reason: str = "The process ended during this run.") -> int:
    """Mark runs without an end as failed. The caller has the lock, so they can save nothing."""
    return SyncRun.objects.filter(outcome=Outcome.RUNNING).update(
        outcome=Outcome.FAILED,
        ended_at=now,
        error_code="SW_SYNC_INTERRUPTED",
        error_message=f"{reason} No partial changes were made.",
        phases=[],
    )


def finish_run(
    run: SyncRun, report: SyncReport, *, now: datetime, error: BaseException | None = None
) -> None:
    _fill_end(run, report, now=now, error=error)
    run.duration_seconds = report.duration_seconds
    try:
        _save_end(run, report)
    except OperationalError:
        # The work is done: replace a connection that was lost since.
        if connection.in_atomic_block:
            raise
        connection.close()
        _save_end(run, report)


def _fill_end(
    run: SyncRun, report: SyncReport, *, now: datetime, error: BaseException | None
) -> None:
    """Fill the columns of the end in the row, which is not saved."""
    run.outcome = report.outcome
    if run.outcome not in WRITTEN:
        run.applied_plan_id = None  # The transaction that applied the plan was rolled back.
    run.counts = report.counts()
    run.losses = [[*key, number] for key, number in sorted(report.losses_by_tenant.items())]
    run.counted_losses = report.counted_losses
    run.requests = report.requests
    run.ended_at = now
    run.duration_seconds = (now - run.started_at).total_seconds()
    run.warnings = report.warnings
    run.error_code, run.error_message, run.error_fix = _describe_error(error)
    run.fix_command = error.command if isinstance(error, ScaiWaveError) else ""


def _save_end(run: SyncRun, report: SyncReport) -> None:
    with transaction.atomic():
        run.save()
        if run.outcome not in WRITTEN:
            return
        for kind, counts in report.kinds.items():
            for action in ("added", "updated", "deactivated", "restored"):
                if number := getattr(counts, action):
                    increment_counter(CHANGES_COUNTER, number, kind=kind, action=action)


def record_applied_end(
    run: SyncRun, report: SyncReport, *, now: datetime, stopped: SyncStopped | None
) -> None:
    """Record the end in the transaction that applies the plan.

    If the process ends before `finish_run`, its changes count as made, and its losses for the limit
    of the next run. `stopped` is why a part was not written.
    """
    _fill_end(run, report, now=now, error=stopped)
    # The phases go on until the run has ended.
    names = {field.name for field in SyncRun._meta.concrete_fields} - {"id", "phases"}
    run.save(update_fields=names)
    record_on_commit(
        f"sync: run {run.pk} ({report.outcome})", command=f"scaiwave sync show-run {run.pk}"
    )


CHANGES_COUNTER = "sync_changes"
"""What syncs have changed, by kind and action."""


def fail_run(run: SyncRun, report: SyncReport, *, now: datetime, error: BaseException) -> None:
    """Record the end of a run that failed; also works if the database itself caused the failure.

    What `record_applied_end` has recorded stays: the database saved it without confirming it in
    time.
    """
    if not connection.in_atomic_block and not connection.is_usable():
        connection.close()  # The next statement connects again.
    try:
        is_saved = SyncRun.objects.written().filter(pk=run.pk).exists()
        if not is_saved or report.outcome != Outcome.FAILED:
            finish_run(run, report, now=now, error=error)
    except Error:
        # The next run marks it as interrupted.
        logger.warning("The end of sync run %s could not be recorded.", run.pk)
        connection.close()


def count_recent_losses(since: datetime) -> dict[tuple[str, str], int]:
    """Count the losses of access that runs have applied within limits, by measure and tenant.

    Runs of earlier releases recorded none; of those only the ones for webhooks count.
    """
    runs = SyncRun.objects.written().filter(started_at__gte=since)
    counts: Counter[tuple[str, str]] = Counter()
    rows = runs.values_list("counted_losses", "losses", "trigger")
    for counted, losses, trigger in rows.exclude(losses=[]):
        former = losses if trigger == Trigger.WEBHOOK else []
        for measure, tenant_id, number in former if counted is None else counted:
            counts[measure, tenant_id] += number
    return dict(counts)


def _describe_error(error: BaseException | None) -> tuple[str, str, str]:
    """Return code, message and fix; database and disk errors as operators see them."""
    if error is None:
        return "", "", ""
    if isinstance(error, TerminationSignal):
        return "SW_TERMINATED", "Terminated.", ""
    if isinstance(error, KeyboardInterrupt):
        return "SW_INTERRUPTED", "Interrupted.", ""
    if isinstance(error, SyncStopped | LimitReached):
        return error.code, error.summary, error.fix
    mapped: BaseException | None = error
    if isinstance(error, Error):
        mapped = map_database_error(error)
    elif isinstance(error, OSError):
        mapped = map_os_error(error)
    if isinstance(mapped, ScaiWaveError):
        return mapped.code, mapped.message, mapped.fix
    return "SW_INTERNAL", type(error).__name__, ""


def record_changes(run: SyncRun, *, with_values: bool) -> None:
    """Record the changes of the run, and the rows that it skips for the first time.

    This must be called before the plan is applied, in the same transaction.
    """
    for changes in iter_recorded_changes():
        skipped = [change for change in changes if change.action == "skipped"]
        ids = [change.subject_scaikey_id for change in skipped]
        known = SyncSkip.objects.filter(kind=changes[0].kind, subject_scaikey_id__in=ids)
        known_skips = set(known.values_list("subject_scaikey_id", flat=True))
        recorded = [
            (new_id(), change)
            for change in changes
            if change.action != "skipped" or change.subject_scaikey_id not in known_skips
        ]
        rows = [
            SyncChange(
                id=key,
                run=run,
                # The tenant of a skipped row may be skipped too, and then has no row.
                tenant_id=change.tenant_id
                if change.has_tenant or change.action != "skipped"
                else None,
                fields=",".join(change.fields),
                **_list_columns(change),
            )
            for key, change in recorded
        ]
        SyncChange.objects.bulk_create(rows, batch_size=1000)
        if with_values:
            values = [
                SyncChangeValues(change_id=key, values=change.values)
                for key, change in recorded
                if change.values
            ]
            SyncChangeValues.objects.bulk_create(values, batch_size=1000)


def _list_columns(change: PlannedChange) -> dict[str, Any]:
    """Return the columns that planned and recorded changes share."""
    names = ("kind", "action", "subject_id", "subject_scaikey_id", "subject_name")
    return {name: getattr(change, name) for name in (*names, "reason_code", "detail")}


RECORDED_PLANS = (Outcome.PLANNED, Outcome.REFUSED)
"""The outcomes of runs that make none of their planned changes."""


def record_plan(run: SyncRun, outcome: str) -> None:
    """Record the first changes that the run has planned and not made, for its page.

    The run has done its work, so errors of the database are logged only.
    """
    if outcome not in RECORDED_PLANS:
        return
    try:
        changes = list_first_changes(MAX_PLANNED_CHANGES)
        if not changes:
            return
        with transaction.atomic():
            # Keep the newest plans, and only the last refused run: a schedule repeats those.
            keys = set(
                SyncPlannedChange.objects.order_by().values_list("run", flat=True).distinct()
            )
            replaced = sorted(keys - {run.pk}, reverse=True)[MAX_PLANS - 1 :]
            if outcome != Outcome.PLANNED:
                same = SyncRun.objects.filter(pk__in=keys, tenant=run.tenant, trigger=run.trigger)
                replaced += same.exclude(outcome=Outcome.PLANNED).values_list("pk", flat=True)
            SyncPlannedChange.objects.filter(run__in=replaced).delete()
            SyncPlannedChange.objects.bulk_create(
                _build_planned_row(run, change) for change in changes
            )
    except Error:
        logger.warning("The planned changes of sync run %s could not be recorded.", run.pk)
        if not connection.is_usable():
            connection.close()  # The next statement connects again.


def _build_planned_row(run: SyncRun, change: PlannedChange) -> SyncPlannedChange:
    is_of_person = change.kind in ("participants", "memberships")
    return SyncPlannedChange(
        run=run,
        tenant_id=change.tenant_id if change.has_tenant else None,
        tenant_slug=change.tenant or "",
        is_removal=change.is_removal,
        # The ID of a membership is the group's, followed by the member's.
        person_scaikey_id=change.subject_scaikey_id.rpartition(" ")[2] if is_of_person else "",
        values=change.values,
        **_list_columns(change),
    )


def delete_expired_values(now: datetime, *, days: int) -> int:
    """Delete values of changes that are older than `days`, and return how many; plans too.

    The rest is left to the next run. Values of rows on hold stay. Errors of the database are logged
    only: the run itself has ended.
    """
    oldest = min_uuid7_at(now - timedelta(days=days))
    expired = SyncChangeValues.objects.filter(pk__lt=oldest)
    expired = expired.exclude(covers_q(tenant="change__tenant", person="change__subject_id"))
    try:
        planned = SyncPlannedChange.objects.filter(pk__lt=oldest)
        if planned.exists():
            planned.delete()
        return sum(islice(delete_batches(expired.order_by("pk")), MAX_DELETED_BATCHES))
    except Error:
        logger.warning("Old values of changes could not be deleted; the next sync tries again.")
        return 0


_ON_PURPOSE = sql_list(ON_PURPOSE)
# The runs of a row that was skipped on purpose are counted apart.
_SAME_SKIP = f"""
    d.kind = {{0}}.kind AND d.scaikey_id = {{0}}.subject_scaikey_id
    AND (d.reason IN {_ON_PURPOSE}) = ({{0}}.reason_code IN {_ON_PURPOSE})
"""
_STILL_SKIPPED = f"""
    EXISTS (SELECT 1 FROM sync_plan d WHERE d.action = 'skipped'
            AND {_SAME_SKIP.format("sw_sync_skips")})
"""


def record_skips(tenant: Tenant | None, now: datetime) -> None:
    """Record since when each row is skipped, and delete the records of other rows.

    A run for one tenant deletes only skips of that tenant.
    """
    new = fetch(
        f"""
        SELECT d.kind, d.scaikey_id, t.id, d.name, d.reason, d.detail FROM sync_plan d
        LEFT JOIN sw_tenants t ON t.id = d.tenant_id  -- a skipped tenant may have no row
        WHERE d.action = 'skipped' AND NOT EXISTS (
            SELECT 1 FROM sw_sync_skips sk WHERE {_SAME_SKIP.format("sk")})
        """
    )
    if not new and not SyncSkip.objects.exists():
        return
    index_plan_records()
    analyze("sync_plan")
    where, params = "", []
    if tenant is not None:
        where, params = "AND tenant_id = %s", [uuid_param(tenant.pk)]
    execute(f"DELETE FROM sw_sync_skips WHERE NOT {_STILL_SKIPPED} {where}", params)
    execute(
        f"UPDATE sw_sync_skips SET runs = runs + 1, last_skipped_at = %s WHERE {_STILL_SKIPPED}",
        [datetime_param(now)],
    )
    rows = [
        SyncSkip(
            id=new_id(),
            tenant_id=tenant_id,
            kind=kind,
            subject_scaikey_id=scaikey_id,
            subject_name=name or "",
            reason_code=code,
            detail=detail or "",
            is_postponed=code in POSTPONED,
            first_skipped_at=now,
            last_skipped_at=now,
        )
        for kind, scaikey_id, tenant_id, name, code, detail in new
    ]
    SyncSkip.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)


def describe_unreadable(limit: int) -> list[str]:
    """Return texts about lists that can't be read: name, tenant, cause, since when."""
    rows = fetch(
        f"""
        SELECT d.name, COALESCE(t.slug, s_t.slug), d.detail, sk.first_skipped_at, sk.runs
        FROM sync_plan d LEFT JOIN sw_tenants t ON t.id = d.tenant_id
        LEFT JOIN stage_tenants s_t ON t.id IS NULL AND s_t.new_id = d.tenant_id
        LEFT JOIN sw_sync_skips sk ON sk.kind = d.kind AND sk.subject_scaikey_id = d.scaikey_id
        WHERE d.action = 'skipped'
          AND d.reason IN ('{Reason.UNREADABLE}', '{Reason.UNREADABLE_LIST}')
          AND d.detail IS NOT NULL ORDER BY d.kind, 2, d.name, d.scaikey_id LIMIT %s
        """,
        [limit],
    )
    texts = []
    for name, slug, cause, since, runs in rows:
        history = f"; {runs:,} runs since {str(since)[:16]} UTC" if runs and runs > 1 else ""
        place = f" in {slug}" if slug else ""
        texts.append(f"{name}{place} ({cause.rstrip('.')}{history})")
    return texts


def list_unhandled_events() -> list[UUID]:
    """Return the keys of the events that a full sync covers if it starts to read now."""
    unhandled = (WebhookState.PENDING, WebhookState.FAILED)
    return list(WebhookEvent.objects.filter(state__in=unhandled).values_list("pk", flat=True))


def mark_events_handled(pks: Iterable[UUID], *, run: SyncRun, now: datetime) -> None:
    for batch in batched(pks):
        WebhookEvent.objects.filter(pk__in=batch).update(
            state=WebhookState.HANDLED,
            ended_at=now,
            run=run,
            next_attempt_at=None,
            error_code="",
            error_message="",
        )
