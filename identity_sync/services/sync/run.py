"""`scaiwave sync`: fetch, plan, apply, and a row that says what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, transaction

from identity_sync.errors import SyncConflict, SyncPartial, SyncStopped, TenantNotLinked
from identity_sync.models import SyncRun, Trigger
from identity_sync.services.apply import apply_plan, refresh_statistics
from identity_sync.services.brake import RemovalLimit
from identity_sync.services.sync import history
from identity_sync.services.sync.confirm import confirm_removals
from identity_sync.services.sync.fetch import FetchResult
from identity_sync.services.sync.plan import plan_changes, plan_removals
from identity_sync.services.sync.removal_guard import enforce_removal_limit, partial_error
from identity_sync.services.sync.report import SyncReport
from identity_sync.services.sync.scope import resolve_scope, stage_all
from identity_sync.services.sync.staging import temporary_tables
from identity_sync.services.sync_lock import sync_lock
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.connect import scaikey_client
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.super_admins import GRANT_IT, count_super_admins


@dataclass(frozen=True)
class SyncOptions:
    """What a run is asked to do. `tenant` names the only one it is for, in any way an operator
    may name one; `bars` draws progress; `see_plan` is called while the plan can be read;
    `connect` makes the client, with more or less patience."""

    operator: Operator
    bars: ProgressFactory
    tenant: str | None = None
    dry_run: bool = False
    allow_removals: int | None = None
    trigger: Trigger = Trigger.MANUAL
    see_plan: Callable[[], None] | None = None
    connect: Callable[[Configuration], ScaiKeyClient] = scaikey_client


@dataclass(frozen=True)
class _SyncContext:
    """One run under way; `run` is its row, which a look at the drift has none of."""

    client: ScaiKeyClient
    wish: SyncOptions
    report: SyncReport
    tenant: Tenant | None = None
    run: SyncRun | None = None


def run_sync(wish: SyncOptions) -> SyncReport:
    """Make the local rows equal to ScaiKey's.

    Raises `SyncLocked` when another run is on, `SyncStopped` (with its report) when all or part
    of it was not applied, `UpstreamError` and `AuthError` when ScaiKey could not be read,
    `TenantNotFound` and `TenantNotLinked`. Whatever is raised, the database is as before, or as
    the report says, and the run is kept.
    """
    # An empty name was given, so that it is no wish for everything.
    one_tenant = wish.tenant is not None
    wish.operator.require(Permission.MANAGE_TENANTS if one_tenant else Permission.MANAGE_PLATFORM)
    tenant = None if wish.tenant is None else _linked(resolve_tenant(wish.operator, wish.tenant))
    with wish.connect(settings.CONFIG) as client, sync_lock():
        history.close_interrupted(_now())
        run = history.start_run(
            operator=wish.operator, trigger=wish.trigger, tenant=tenant, now=_now()
        )
        return _kept(_SyncContext(client, wish, SyncReport(run_id=run.pk), tenant, run), run)


def compute_drift(*, operator: Operator, bars: ProgressFactory) -> SyncReport:
    """What a full sync would change right now; nothing is written and no run is kept."""
    operator.require(Permission.VIEW_PLATFORM)
    report = SyncReport(run_id=None)
    wish = SyncOptions(operator, bars, dry_run=True, allow_removals=sys.maxsize)
    with (
        wish.connect(settings.CONFIG) as client,
        suppress(SyncPartial),
    ):  # The report counts the held.
        _run(_SyncContext(client, wish, report))
    return report


def _linked(tenant: Tenant) -> Tenant:
    if tenant.scaikey_tenant_id:
        return tenant
    raise TenantNotLinked(
        f"The tenant {tenant.slug} is not linked to ScaiKey.",
        fix=f"Link it: `scaiwave admin link-tenant {tenant.slug} --scaikey-tenant-id <id>`.",
    )


def _kept(work: _SyncContext, run: SyncRun) -> SyncReport:
    """Run it, and keep what came of it whatever that is."""
    try:
        _run(work)
    except SyncStopped as stopped:
        history.finish_run(run, work.report, now=_now(), error=stopped)
        raise
    except BaseException as caught:
        work.report.fail()
        history.fail_run(run, work.report, now=_now(), error=caught)
        raise
    history.finish_run(run, work.report, now=_now())
    return work.report


def _run(work: _SyncContext) -> None:
    began = time.monotonic()
    client, wish, report = work.client, work.wish, work.report
    try:
        with temporary_tables():
            reach = resolve_scope(client, work.tenant)
            fetched = FetchResult()
            stage_all(client, reach, fetched=fetched, bars=wish.bars)
            present = plan_removals(fetched)
            report.warnings += fetched.warnings()
            report.warnings += confirm_removals(client, reach, present)
            stopped = _apply(work, present)
            if wish.see_plan:
                wish.see_plan()
    finally:
        report.requests = client.requests
        report.duration_seconds = time.monotonic() - began
    if stopped:
        raise stopped


def _apply(work: _SyncContext, present: dict[str, int]) -> SyncStopped | None:
    """Plan the rest, and write it unless the brake objects; returns why not all is written."""
    try:
        # A plan alone writes to temporary tables only, and so needs nobody to wait.
        with nullcontext() if work.wish.dry_run else transaction.atomic():
            return _decide(work, present)
    except IntegrityError as error:
        raise SyncConflict(
            "Somebody else changed the same rows while this sync was writing. Nothing was changed."
        ) from error


def _decide(work: _SyncContext, present: dict[str, int]) -> SyncStopped | None:
    wish, report = work.wish, work.report
    plan = plan_changes(present, tenant=work.tenant)
    report.kinds = plan.kinds
    report.warnings += plan.warnings
    try:
        held = enforce_removal_limit(plan, _brake(wish), report)
    except SyncStopped as refused:
        report.outcome = refused.outcome
        return refused
    report.outcome = "planned" if wish.dry_run else "applied"
    if work.run is not None and report.changed and not wish.dry_run:
        report.warnings += _written()
        history.record_changes(work.run)
        refresh_statistics(report.changed)
    return partial_error(held, plan, report) if held or plan.conflicts else None


def _written() -> list[str]:
    """Apply the plan. What ScaiKey takes from the last super_admin is taken, and warned about."""
    before = count_super_admins()
    apply_plan(_now())
    if not (nobody := before.lost(count_super_admins())):
        return []
    return [f"Since this sync {nobody} is super_admin any more. Grant it to somebody: {GRANT_IT}."]


def _brake(wish: SyncOptions) -> RemovalLimit:
    config = settings.CONFIG
    return RemovalLimit(
        limit=config.get_int("SCAIWAVE_SYNC_REMOVAL_LIMIT"),
        share=config.get_fraction("SCAIWAVE_SYNC_REMOVAL_SHARE"),
        allowed=wish.allow_removals,
    )


def _now() -> datetime:
    return datetime.now(UTC)
