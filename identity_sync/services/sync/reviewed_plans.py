"""Write what a sync would do to a file, and apply a plan that was reviewed.

The set of losses of access of a reviewed plan is the permission: exactly these, also where they are
over the removal limit. Each of them is looked up again before it is applied.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from identity_sync.errors import SyncPlanInvalid, SyncStopped
from identity_sync.models import SyncRun
from identity_sync.services.sync.plan_file import PlanHead, open_new_plan, open_plan
from identity_sync.services.sync.plan_writer import PlanWriter
from identity_sync.services.sync.report import SyncReport
from identity_sync.services.sync.run import SyncOptions, run_sync
from scaiwave.auth.operators import Permission


def write_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Write what a sync would do, with every loss of access looked up; nothing else is changed.

    Raises `FileUnwritable` or `DiskFull`, and what `run_sync` raises. After `SyncStopped` the plan
    is written too: it shows what a sync would refuse.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    result: SyncReport | SyncStopped
    with open_new_plan(path) as file:
        try:
            result = run_sync(replace(options, dry_run=True, plan_writer=PlanWriter(file, path)))
        except SyncStopped as error:
            result = error
    if isinstance(result, SyncStopped):
        raise result
    return result


def apply_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Sync as a reviewed plan says: for its tenant, and with exactly its losses of access.

    Raises `SyncPlanUnreadable`, `SyncPlanInvalid`, `SyncPlanExpired`, `SyncPlanChanged`, and what
    `run_sync` raises.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    with open_plan(path, now=datetime.now(UTC)) as reviewed:
        _ensure_own_database(reviewed.head, path)
        tenant = None if reviewed.head.tenant_id is None else str(reviewed.head.tenant_id)
        return run_sync(
            replace(options, tenant=tenant, removals=reviewed.head.removals, reviewed=reviewed)
        )


def _ensure_own_database(head: PlanHead, path: Path) -> None:
    """The run that wrote the plan is in the database that the plan is for."""
    run = SyncRun.objects.filter(pk=head.run_id).first()
    if run is None or run.tenant_id != head.tenant_id:
        raise SyncPlanInvalid(f"{path} is a plan for another database.")
