"""Record in the audit log who ran a sync, and what it may and did take.

Scheduled runs and those for webhooks are recorded only if someone loses access or has given a
permission: else the log would consist of them. Runs that change nothing because they were refused
or failed are in the history of runs alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from identity_sync.models import SyncRun, Trigger
from identity_sync.report import SyncReport
from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.record import AuditSubject, record_audit

if TYPE_CHECKING:
    from identity_sync.sync.run import SyncOptions

SUBJECT_TYPE = "syncrun"
SCHEDULED = "scheduled"
_NAMES = {Trigger.CRON: SCHEDULED, Trigger.WEBHOOK: "webhook"}
_COUNTS = ("added", "updated", "deactivated", "restored", "skipped")


def audit_run(run: SyncRun, report: SyncReport, options: SyncOptions, *, now: datetime) -> None:
    """Call it in the transaction that applies the plan."""
    permissions = _list_permissions(options)
    if run.trigger != Trigger.MANUAL and not (permissions or report.has_losses):
        return
    record_audit(
        operator=_get_operator(options),
        action="sync",
        subject=AuditSubject(
            SUBJECT_TYPE, str(run.pk), run.tenant.slug if run.tenant else "all tenants"
        ),
        tenant=run.tenant,
        now=now,
        details={
            "trigger": options.trigger.value,
            "outcome": report.outcome,
            "counts": _list_counts(report),
            "losses": {measure: number for measure, number in report.losses.items() if number},
            "permissions": permissions,
        },
        is_change=False,  # `record_applied` has noted the change.
    )


def _get_operator(options: SyncOptions) -> Operator:
    """A schedule has no operator but its host; whoever has a token keeps their name."""
    operator = options.requested_by or options.operator
    if operator.role is not OperatorRole.HOST or options.trigger not in _NAMES:
        return operator
    return replace(operator, name=_NAMES[options.trigger])


def _list_permissions(options: SyncOptions) -> dict[str, Any]:
    given = {
        "allow_removals": options.allow_removals,
        "plan_run_id": None if options.reviewed is None else str(options.reviewed.head.run_id),
        "allow_no_super_admin": options.allow_no_super_admin or None,
        "purge_after_days": options.purge_after_days,
    }
    return {name: value for name, value in given.items() if value is not None}


def _list_counts(report: SyncReport) -> dict[str, dict[str, int]]:
    counts = {
        kind: {name: numbers[name] for name in _COUNTS if numbers[name]}
        for kind, numbers in report.counts().items()
    }
    return {kind: numbers for kind, numbers in counts.items() if numbers}
