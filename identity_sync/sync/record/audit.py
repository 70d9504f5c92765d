"""Record a sync in the audit log: its operator, its permissions and its losses of access.

Scheduled runs and those for webhooks are recorded only if someone loses access or has given a
permission, such as `--purge-after` for cron: else the log would consist of them. Runs that change
nothing because they were refused or failed are in the history of runs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from identity_sync.errors import SyncStopped
from identity_sync.models import SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.record import history
from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.record import AuditSubject, record_audit

SUBJECT_TYPE = "syncrun"
_NAMES = {Trigger.CRON: "scheduled", Trigger.WEBHOOK: "webhook"}
_COUNTS = ("added", "updated", "deactivated", "restored", "skipped")


def record_applied(
    run: SyncRun,
    report: SyncReport,
    stopped: SyncStopped | None,
    permissions: Mapping[str, str | int | None],
    *,
    operator: Operator,
    now: datetime,
) -> None:
    """Record the end of a run, and audit it, in the transaction that applies its plan.

    `permissions` are the exceptions from its usual limits, or None.
    """
    plan_run_id = permissions["plan_run_id"]
    run.applied_plan_id = None if plan_run_id is None else UUID(str(plan_run_id))
    history.record_applied_end(run, report, now=now, stopped=stopped)
    given = {name: value for name, value in permissions.items() if value is not None}
    if run.trigger != Trigger.MANUAL and not (given or report.has_losses):
        return
    trigger = Trigger(run.trigger)
    # A schedule has no operator but its host; an operator with a token keeps their name.
    if operator.role is OperatorRole.HOST and trigger in _NAMES:
        operator = replace(operator, name=_NAMES[trigger])
    counts = {
        kind: {name: numbers[name] for name in _COUNTS if numbers[name]}
        for kind, numbers in report.counts().items()
    }
    details = {
        "trigger": run.trigger,
        "outcome": report.outcome,
        "counts": {kind: numbers for kind, numbers in counts.items() if numbers},
        "losses": {measure: number for measure, number in report.losses.items() if number},
        "permissions": given,
    }
    subject = AuditSubject(
        SUBJECT_TYPE, str(run.pk), run.tenant.slug if run.tenant else "all tenants"
    )
    record_audit(operator, "sync", subject, now, details, tenant=run.tenant, is_change=False)
