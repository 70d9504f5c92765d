"""The rows that say what runs did: one for each run, and one for each thing it changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection

from identity_sync.models import Outcome, SyncChange, SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.services.staging import BATCH, select
from scaiwave.errors import ScaiWaveError
from scaiwave.ids import new_id
from scaiwave.operators import Operator
from tenants.models import Tenant


def close_interrupted(now: datetime) -> int:
    """Runs that never ended: the lock is ours, so their processes are gone."""
    return SyncRun.objects.filter(outcome=Outcome.RUNNING).update(
        outcome=Outcome.FAILED,
        ended_at=now,
        error_code="SW_SYNC_INTERRUPTED",
        error_message="The process ended before the run did; nothing of it was applied.",
    )


def begin(*, operator: Operator, trigger: Trigger, tenant: Tenant | None, now: datetime) -> SyncRun:
    return SyncRun.objects.create(
        tenant=tenant, trigger=trigger, operator=operator.name, started_at=now
    )


def end(run: SyncRun, report: SyncReport, *, now: datetime, error: BaseException | None) -> None:
    run.outcome = report.outcome
    run.counts = report.counts()
    run.requests = report.requests
    run.ended_at = now
    run.duration_seconds = report.duration_seconds
    run.warnings = report.warnings
    if isinstance(error, ScaiWaveError):
        run.error_code, run.error_message = error.code, error.message
    elif error is not None:
        run.error_code, run.error_message = "SW_INTERNAL", type(error).__name__
    run.save()


# The first run of a tenant is told as counts only: everybody is new, and that says nothing.
_CHANGES = """
    SELECT d.row_id, d.tenant_id, d.kind, d.action, d.scaikey_id, d.name, d.fields, d.reason
    FROM sync_plan d
    WHERE d.row_id > %s AND (d.kind IN ('partners', 'tenants') OR d.tenant_id NOT IN
        (SELECT tenant_id FROM tenant_map WHERE is_first = 1))
    ORDER BY d.row_id LIMIT %s
"""


def changes() -> Iterator[list[tuple[Any, ...]]]:
    """The plan in batches, without first runs."""
    last = "00000000-0000-0000-0000-000000000000"
    if connection.vendor == "sqlite":
        last = last.replace("-", "")
    while rows := select(_CHANGES, [last, BATCH]):
        yield rows
        last = rows[-1][0]


def record_changes(run: SyncRun) -> None:
    for rows in changes():
        SyncChange.objects.bulk_create(
            (
                SyncChange(
                    id=new_id(),
                    run=run,
                    subject_id=row_id,
                    tenant_id=tenant_id,
                    kind=kind,
                    action=action,
                    subject_scaikey_id=scaikey_id,
                    subject_name=name or "",
                    fields=fields or "",
                    reason=reason,
                )
                for row_id, tenant_id, kind, action, scaikey_id, name, fields, reason in rows
            ),
            batch_size=1000,
        )
