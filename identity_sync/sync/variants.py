"""What else is made of a sync: its drift, a plan to review and apply, and a purge after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from identity_sync.errors import (
    LastSuperAdminLost,
    SyncPartial,
    SyncPurgeLimitExceeded,
    SyncStopped,
)
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.scope import authorise_sync, resolve_linked_tenant
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record.plan_file import (
    PlanWriter,
    open_new_plan,
    read_plan,
    remove_killed_plans,
)
from identity_sync.sync.record.run_record import PhaseRecorder, RunRecord
from identity_sync.sync.run import run_sync, sync
from identity_sync.sync.session import OpenRun, build_limits, build_rules
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator, Permission
from tenants.errors import PurgeLimitExceeded
from tenants.lookup.restoration import require_activated
from tenants.people.purge_participant import purge_participants


def compute_drift(
    *,
    operator: Operator,
    progress_factory: ProgressFactory,
    tenant: str | None = None,
    before_activation: bool = False,
) -> SyncReport:
    """Return the changes of a sync now; nothing is written and no run is recorded.

    It takes the permission for that sync, or to view the platform. `before_activation` permits it
    on a restored server, to whose operator it is shown first.
    """
    if not before_activation:
        require_activated()
    if not operator.has_permission(Permission.VIEW_PLATFORM):
        row = authorise_sync(operator, tenant)
    else:
        row = None if tenant is None else resolve_linked_tenant(operator, tenant)
    options = SyncOptions(operator, dry_run=True, progress_factory=progress_factory)
    record = RunRecord(None, SyncReport(run_id=None), PhaseRecorder(None, progress_factory))
    limits = build_limits(None)
    with (
        limits.enforce(),
        options.connect(settings.CONFIG) as client,
        suppress(SyncPartial, LastSuperAdminLost),  # The report has these counts.
    ):
        sync(OpenRun(options, row, client, limits, build_rules(options, row), record))
    return record.report


def write_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Write the plan of a sync, with every loss of access looked up; nothing else is changed.

    Raises `FileUnwritable` or `DiskFull`, and what `run_sync` raises. After `SyncStopped` the plan
    is written too: it shows the refused losses.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    with open_new_plan(path) as file:
        try:
            return run_sync(replace(options, dry_run=True, plan=PlanWriter(file, path)))
        except SyncStopped as error:
            stopped = error  # Raised below: an exception in here would delete the file.
    raise stopped


def apply_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Sync as a reviewed plan says: for its tenant, and with exactly its losses of access.

    A plan is applied once: a second time returns a report that names the first run. Raises
    `SyncPlanUnreadable`, `SyncPlanInvalid`, `SyncPlanExpired`, `SyncPlanChanged`, `DiskFull`, and
    what `run_sync` raises.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    if not options.dry_run:
        remove_killed_plans(path.parent)
    reviewed = read_plan(path)
    tenant = None if reviewed.head.tenant_id is None else str(reviewed.head.tenant_id)
    permissions = replace(options.permissions, removals=reviewed.head.with_removals)
    return run_sync(replace(options, tenant=tenant, permissions=permissions, plan=reviewed))


def sync_and_purge(
    options: SyncOptions, *, days: int, confirm: Callable[[str], None]
) -> SyncReport:
    """Sync, then purge everyone within its scope who was removed at least `days` days ago.

    The sync restores those who have returned first. A sync that was refused, or applied in part,
    purges no one. `confirm` gets the question to ask before the sync, and raises if the answer is
    not yes. Raises `SyncPurgeLimitExceeded` (with the report of the sync, which is applied), and
    what `run_sync` raises.
    """
    options.operator.require(Permission.MANAGE_TENANTS)
    if not options.dry_run:
        confirm(
            "After the sync this erases the name, e-mail address and avatar of everyone who was "
            f"removed from ScaiKey at least {days} days ago. This can't be undone."
        )
    report = run_sync(
        replace(options, permissions=replace(options.permissions, purge_after_days=days))
    )
    try:
        result = purge_participants(
            operator=options.operator,
            days=days,
            limit=settings.CONFIG.get_int("SCAIWAVE_PURGE_LIMIT"),
            tenant=options.tenant,
            confirm=lambda question: None,  # Confirmed before the sync.
            now=timezone.now(),
            progress_factory=options.progress_factory,
            dry_run=options.dry_run,
        )
    except PurgeLimitExceeded as error:
        stopped = SyncPurgeLimitExceeded(
            f"The sync was {report.outcome}. {error.message}", fix=error.fix
        )
        stopped.report = report
        raise stopped from None
    report.purge = dict(result.rest)
    return report
