"""`scaiwave sync`: fetch, plan, apply, and a row that says what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from identity_sync.errors import SyncPartial, SyncStopped, TenantNotLinked
from identity_sync.models import SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.services import history
from identity_sync.services.apply import apply_plan
from identity_sync.services.brake import Brake
from identity_sync.services.confirm import confirm_absent, confirm_members_absent
from identity_sync.services.connect import connect
from identity_sync.services.fetch import Fetched
from identity_sync.services.hold import check_brake
from identity_sync.services.plan import Plan, plan_changes, plan_removals
from identity_sync.services.reach import Bars, Reach, find_reach, stage_everything
from identity_sync.services.staging import create_tables, drop_tables
from identity_sync.services.sync_lock import sync_lock
from scaiwave.clients.scaikey import ScaiKeyClient
from scaiwave.operators import Operator, Permission
from tenants.models import Tenant


@dataclass(frozen=True)
class Wish:
    """What a run is asked to do. `bars` draws progress; `see_plan` is called with it, unapplied."""

    operator: Operator
    bars: Bars
    tenant: Tenant | None = None
    dry_run: bool = False
    allow_removals: int | None = None
    trigger: Trigger = Trigger.MANUAL
    see_plan: Callable[[], None] | None = None


def run_sync(wish: Wish) -> SyncReport:
    """Make the local rows equal to ScaiKey's.

    Raises `SyncLocked` when another run is on, `SyncStopped` (with its report) when the brake
    stopped all or part of it, `UpstreamError` and `AuthError` when ScaiKey could not be read.
    Whatever is raised, the database is as before, or as the report says, and the run is kept.
    """
    wish.operator.require(Permission.MANAGE_TENANTS if wish.tenant else Permission.MANAGE_PLATFORM)
    if wish.tenant and not wish.tenant.scaikey_tenant_id:
        raise TenantNotLinked(
            f"The tenant {wish.tenant.slug} is not linked to ScaiKey.",
            fix=f"Link it: `scaiwave admin link-tenant {wish.tenant.slug} "
            "--scaikey-tenant-id <id>`.",
        )
    with connect(settings.CONFIG) as client, sync_lock():
        history.close_interrupted(_now())
        run = history.begin(
            operator=wish.operator, trigger=wish.trigger, tenant=wish.tenant, now=_now()
        )
        return _kept(run, client, wish)


def measure_drift(*, operator: Operator, bars: Bars) -> SyncReport:
    """What a full sync would change right now; nothing is written and no run is kept."""
    operator.require(Permission.VIEW_PLATFORM)
    report = SyncReport(run_id=None)
    with connect(settings.CONFIG) as client:
        wish = Wish(operator, bars, dry_run=True, allow_removals=sys.maxsize)
        _run(client, wish, report, run=None)
    return report


def _kept(run: SyncRun, client: ScaiKeyClient, wish: Wish) -> SyncReport:
    """Run it, and keep what came of it whatever that is."""
    report = SyncReport(run_id=run.pk)
    error: BaseException | None = None
    try:
        _run(client, wish, report, run=run)
    except BaseException as caught:
        error = caught
        report.outcome = caught.outcome if isinstance(caught, SyncStopped) else "failed"
        raise
    finally:
        history.end(run, report, now=_now(), error=error)
    return report


def _run(client: ScaiKeyClient, wish: Wish, report: SyncReport, *, run: SyncRun | None) -> None:
    began = time.monotonic()
    create_tables()
    try:
        reach = find_reach(client, wish.tenant)
        fetched = Fetched()
        stage_everything(client, reach, fetched=fetched, bars=wish.bars)
        present = plan_removals(fetched)
        report.warnings += fetched.warnings() + _confirm(client, reach, fetched)
        try:
            _apply(wish, report, run, present)
        except SyncStopped:
            _show_plan(wish)
            raise
        _show_plan(wish)
    finally:
        report.requests = client.requests
        report.duration_seconds = time.monotonic() - began
        drop_tables()


def _show_plan(wish: Wish) -> None:
    if wish.see_plan:
        wish.see_plan()


def _confirm(client: ScaiKeyClient, reach: Reach, fetched: Fetched) -> list[str]:
    warnings = []
    for kind in fetched.walked:
        if kind == "memberships":
            kept = confirm_members_absent(client)
        else:
            kept = confirm_absent(client, kind, params=reach.params)
        if kept:
            warnings.append(
                f"{kept} {kind} are missing from ScaiKey's list, yet ScaiKey still has them; "
                "they are left as they are."
            )
    return warnings


def _apply(
    wish: Wish,
    report: SyncReport,
    run: SyncRun | None,
    present: dict[str, int],
) -> None:
    # A plan alone writes to temporary tables only, and so needs nobody to wait.
    with nullcontext() if wish.dry_run else transaction.atomic():
        plan = plan_changes(present)
        report.kinds = plan.kinds
        report.warnings += plan.warnings
        held = check_brake(plan, _brake(wish), report, hold_tenants=wish.tenant is None)
        if not wish.dry_run and run is not None:
            apply_plan(_now())
            history.record_changes(run)
    report.outcome = "planned" if wish.dry_run else "applied"
    if held:
        raise _partial(held, plan, report)


def _partial(held: list[str], plan: Plan, report: SyncReport) -> SyncPartial:
    number = sum(counts.held for counts in plan.kinds.values())
    return SyncPartial(
        f"The brake holds back {number:,} removals in {', '.join(held)}; everything else is "
        f"{report.outcome}.",
        report=report,
        fix="If they really left, let them go: `scaiwave sync --allow-removals "
        f"{plan.removals + number}`. Look first: `scaiwave sync --dry-run -v 2` lists them.",
    )


def _brake(wish: Wish) -> Brake:
    config = settings.CONFIG
    return Brake(
        limit=config.number("SCAIWAVE_SYNC_REMOVAL_LIMIT"),
        share=config.share("SCAIWAVE_SYNC_REMOVAL_SHARE"),
        allowed=wish.allow_removals,
    )


def _now() -> datetime:
    return datetime.now(UTC)
