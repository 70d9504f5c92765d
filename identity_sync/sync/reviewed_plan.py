"""Write the plan of a sync to a file for review, and apply a reviewed one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from identity_sync.errors import SyncStopped
from identity_sync.report import SyncReport
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record.plan_file import (
    PlanWriter,
    open_new_plan,
    read_plan,
    remove_killed_plans,
)
from identity_sync.sync.run import run_sync
from scaiwave.core.operators import Permission


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
            stopped = error
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
