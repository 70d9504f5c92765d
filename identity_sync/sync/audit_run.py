"""Record in the audit log who ran a sync, and what it may and did take.

Scheduled runs and those for webhooks are recorded only if someone loses access or has given a
permission, such as `--purge-after` for cron: else the log would consist of them. Runs that change
nothing because they were refused or failed are in the history of runs alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from identity_sync.models import SyncRun, Trigger
from identity_sync.report import SyncReport
from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.record import AuditSubject, record_audit

SUBJECT_TYPE = "syncrun"
_NAMES = {Trigger.CRON: "scheduled", Trigger.WEBHOOK: "webhook"}
_COUNTS = ("added", "updated", "deactivated", "restored", "skipped")


@dataclass(frozen=True)
class RunPermissions:
    """What a run was allowed beyond its usual limits; None for nothing.

    `plan_run_id` is the run that wrote the reviewed plan.
    """

    allow_removals: int | None
    plan_run_id: str | None
    allow_no_super_admin: bool | None
    purge_after_days: int | None


def audit_run(
    run: SyncRun,
    report: SyncReport,
    *,
    operator: Operator,
    permissions: RunPermissions,
    now: datetime,
) -> None:
    """Call it in the transaction that applies the plan."""
    given = {name: value for name, value in asdict(permissions).items() if value is not None}
    if run.trigger != Trigger.MANUAL and not (given or report.has_losses):
        return
    record_audit(
        operator=_name_operator(operator, Trigger(run.trigger)),
        action="sync",
        subject=AuditSubject(
            SUBJECT_TYPE, str(run.pk), run.tenant.slug if run.tenant else "all tenants"
        ),
        tenant=run.tenant,
        now=now,
        details={
            "trigger": run.trigger,
            "outcome": report.outcome,
            "counts": _list_counts(report),
            "losses": {measure: number for measure, number in report.losses.items() if number},
            "permissions": given,
        },
        is_change=False,  # `record_applied` has noted the change.
    )


def _name_operator(operator: Operator, trigger: Trigger) -> Operator:
    """A schedule has no operator but its host; an operator with a token keeps their name."""
    if operator.role is not OperatorRole.HOST or trigger not in _NAMES:
        return operator
    return replace(operator, name=_NAMES[trigger])


def _list_counts(report: SyncReport) -> dict[str, dict[str, int]]:
    counts = {
        kind: {name: numbers[name] for name in _COUNTS if numbers[name]}
        for kind, numbers in report.counts().items()
    }
    return {kind: numbers for kind, numbers in counts.items() if numbers}
