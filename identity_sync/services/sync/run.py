"""`scaiwave sync`: fetch, confirm, plan, apply, and a row that records the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, transaction

from identity_sync.errors import (
    LastSuperAdminLost,
    SyncConflict,
    SyncLocked,
    SyncPartial,
    SyncStopped,
    TenantNotLinked,
)
from identity_sync.models import SyncRun, Trigger
from identity_sync.services.sync import history
from identity_sync.services.sync.confirm import Confirmation, Confirmer, LookupBudget
from identity_sync.services.sync.fetch import FetchResult, stage_all
from identity_sync.services.sync.memberships import EdgeConfirmer
from identity_sync.services.sync.plan import (
    Plan,
    apply_plan,
    count_plan,
    count_present,
    plan_changes,
    plan_removals,
    refresh_statistics,
)
from identity_sync.services.sync.removal_limit import (
    RemovalLimit,
    enforce_removal_limit,
    format_allowance,
)
from identity_sync.services.sync.report import SyncReport
from identity_sync.services.sync.scope import SyncScope, resolve_scope
from identity_sync.services.sync.staging import temporary_tables
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.connect import scaikey_client
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory
from scaiwave.locks import process_lock
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.super_admins import GRANT_COMMAND, count_super_admins


@dataclass(frozen=True)
class SyncOptions:
    """What a run is asked to do.

    `tenant` names the only one it is for, in any way an operator may name one; `bars` draws
    progress; `allow_removals` lets that many losses of access through, `allow_no_super_admin` a
    plan that leaves nobody super_admin; `on_planned` is called while the plan can be read;
    `connect` makes the client, with more or less patience.
    """

    operator: Operator
    bars: ProgressFactory
    tenant: str | None = None
    dry_run: bool = False
    allow_removals: int | None = None
    allow_no_super_admin: bool = False
    trigger: Trigger = Trigger.MANUAL
    on_planned: Callable[[], None] | None = None
    connect: Callable[[Configuration], ScaiKeyClient] = scaikey_client


@dataclass(frozen=True)
class _SyncContext:
    """One run in progress; `run` is its row, None when only drift is measured."""

    client: ScaiKeyClient
    options: SyncOptions
    report: SyncReport
    tenant: Tenant | None = None
    run: SyncRun | None = None


@contextmanager
def sync_lock() -> Iterator[None]:
    """Hold the lock. Raises `SyncLocked` at once when another run has it."""
    with process_lock("sync") as free:
        if not free:
            raise SyncLocked("Another sync is running.")
        yield


def run_sync(options: SyncOptions) -> SyncReport:
    """Make the local rows equal to ScaiKey's.

    Raises `SyncLocked` when another run holds the lock, `SyncStopped` (with its report) when all or
    part of it was not applied, `UpstreamError` and `AuthError` when ScaiKey could not be read,
    `TenantNotFound` and `TenantNotLinked`. Whatever is raised, the database is as before, or as
    the report says, and the run is kept.
    """
    # An empty name is still a name; it must not select all tenants.
    one_tenant = options.tenant is not None
    options.operator.require(
        Permission.MANAGE_TENANTS if one_tenant else Permission.MANAGE_PLATFORM
    )
    tenant = None
    if options.tenant is not None:
        tenant = _require_linked(resolve_tenant(options.operator, options.tenant))
    with options.connect(settings.CONFIG) as client, sync_lock():
        history.close_interrupted(_now())
        run = history.start_run(
            operator=options.operator, trigger=options.trigger, tenant=tenant, now=_now()
        )
        context = _SyncContext(client, options, SyncReport(run_id=run.pk), tenant, run)
        return _run_and_record(context, run)


def compute_drift(*, operator: Operator, bars: ProgressFactory) -> SyncReport:
    """What a full sync would change right now; nothing is written and no run is kept."""
    operator.require(Permission.VIEW_PLATFORM)
    report = SyncReport(run_id=None)
    options = SyncOptions(operator, bars, dry_run=True, allow_removals=sys.maxsize)
    with (
        options.connect(settings.CONFIG) as client,
        suppress(SyncPartial, LastSuperAdminLost),  # The report counts what they are about.
    ):
        _run(_SyncContext(client, options, report))
    return report


def _require_linked(tenant: Tenant) -> Tenant:
    if tenant.scaikey_tenant_id:
        return tenant
    raise TenantNotLinked(
        f"Tenant {tenant.slug} is not linked to ScaiKey.",
        fix=f"Link it: `scaiwave admin link-tenant {tenant.slug} --scaikey-tenant-id <id>`.",
    )


def _run_and_record(context: _SyncContext, run: SyncRun) -> SyncReport:
    """Run it, and keep the result whatever it is."""
    try:
        _run(context)
    except SyncStopped as stopped:
        history.finish_run(run, context.report, now=_now(), error=stopped)
        raise
    except BaseException as caught:
        context.report.fail()
        history.fail_run(run, context.report, now=_now(), error=caught)
        raise
    history.finish_run(run, context.report, now=_now())
    return context.report


def _run(context: _SyncContext) -> None:
    began = time.monotonic()
    client, options, report = context.client, context.options, context.report
    try:
        with temporary_tables():
            # 1. Fetch the lists.
            scope = resolve_scope(client, context.tenant)
            fetched = FetchResult()
            stage_all(client, scope, fetched=fetched, bars=options.bars)
            # 2. Confirm by id what they would take from anybody.
            present = count_present(fetched.walked)
            confirmation = _confirm(context, scope, fetched, present)
            report.warnings += fetched.warnings() + confirmation.warnings
            # 3. Plan, and apply unless something forbids it.
            plan_removals(fetched.walked)
            unusable = sum(map(len, fetched.unusable.values()))
            stopped = _apply(context, present, confirmation, unusable)
            if options.on_planned:
                options.on_planned()
    finally:
        report.requests = client.requests
        report.duration_seconds = time.monotonic() - began
    if stopped:
        raise stopped


def _confirm(
    context: _SyncContext, scope: SyncScope, fetched: FetchResult, present: dict[str, int]
) -> Confirmation:
    config, limit = settings.CONFIG, _removal_limit(context.options)
    budget = LookupBudget(None, None)
    if limit.allowed is None:
        budget = LookupBudget(
            config.get_int("SCAIWAVE_SYNC_LOOKUP_LIMIT"),
            config.get_int("SCAIWAVE_SYNC_LOOKUP_SECONDS"),
        )
    confirmer = Confirmer(context.client, scope, limit, budget, context.options.bars)
    confirmer.confirm(fetched, present)
    if "memberships" in fetched.walked:
        edges = EdgeConfirmer(context.client, limit, budget, scope.tenant_only, confirmer.result)
        edges.confirm(present["memberships"])
    return confirmer.result


def _apply(
    context: _SyncContext, present: dict[str, int], confirmation: Confirmation, unusable: int
) -> SyncStopped | None:
    """Plan the rest, and write it unless a limit forbids it; returns why not all is written."""
    try:
        # A plan alone writes to temporary tables only, and so makes no other process wait.
        with nullcontext() if context.options.dry_run else transaction.atomic():
            return _decide(context, present, confirmation, unusable)
    except IntegrityError as error:
        raise SyncConflict(
            "Another process changed the same rows while this sync was writing. No changes were "
            "made."
        ) from error


def _decide(
    context: _SyncContext, present: dict[str, int], confirmation: Confirmation, unusable: int
) -> SyncStopped | None:
    options, report = context.options, context.report
    plan = plan_changes(present, confirmation, unusable=unusable, tenant=context.tenant)
    report.kinds = plan.kinds
    report.warnings += plan.warnings
    try:
        skipped_tenants = enforce_removal_limit(
            plan,
            _removal_limit(options),
            report,
            assumed_tenants=confirmation.assumed_tenants,
        )
        if skipped_tenants:
            count_plan(plan)
        report.outcome = "planned" if options.dry_run else "applied"
        _write(context, plan)
    except SyncStopped as refused:
        report.outcome = refused.outcome
        return refused
    return _partial_error(skipped_tenants, plan, report)


def _write(context: _SyncContext, plan: Plan) -> None:
    """Write the plan. Raises `LastSuperAdminLost`, and then nothing is written."""
    options, report = context.options, context.report
    if options.dry_run:
        if report.has_losses:
            with transaction.atomic():  # Only to see who would be left.
                _apply_and_check(context, plan)
                transaction.set_rollback(True)
        return
    if report.changed:
        with transaction.atomic():
            _apply_and_check(context, plan)
        if context.run is not None:
            history.record_changes(context.run)
        refresh_statistics(report.changed)
    if context.run is not None:
        history.record_skips(context.tenant, _now())


def _apply_and_check(context: _SyncContext, plan: Plan) -> None:
    options, report = context.options, context.report
    before = count_super_admins() if report.has_losses else None
    apply_plan(_now())
    if before is None or not (lost := before.lost(count_super_admins())):
        return
    if options.allow_no_super_admin:
        report.warnings.append(
            f"Since this sync {lost} is super_admin. Grant it to somebody: {GRANT_COMMAND}."
        )
        return
    raise LastSuperAdminLost(
        f"After this sync {lost} would be super_admin. No changes were made.",
        report=report,
        fix=f"Grant it to somebody who stays: {GRANT_COMMAND}. Or accept it: "
        f"`{plan.command} --allow-no-super-admin`.",
    )


def _partial_error(
    skipped_tenants: list[str], plan: Plan, report: SyncReport
) -> SyncPartial | None:
    """How a run ends that leaves something out, or None."""
    reasons, fixes = [], []
    if skipped_tenants:
        reasons.append(
            f"Skipped {plan.skipped_losses:,} losses of access in {', '.join(skipped_tenants)}: "
            "over the removal limit of the tenant"
        )
        total = sum(report.losses.values()) + plan.skipped_losses
        fixes.append("If they are right, " + format_allowance(plan, total))
    if plan.inconsistent:
        kinds = ", ".join(dict.fromkeys(plan.inconsistent))
        reasons.append(
            f"Removals of {kinds} stopped, because ScaiKey's list leaves out what ScaiKey still has"
        )
        fixes.append(
            "Run `scaiwave sync` again later; if it stays so, report to the operators of ScaiKey "
            "that its lists are inconsistent."
        )
    if plan.conflicts:
        slugs = ", ".join(conflict.slug for conflict in plan.conflicts)
        reasons.append(f"Skipped tenants whose slug is taken here: {slugs}")
        fixes += [conflict.fix for conflict in plan.conflicts]
    if plan.unusable:
        reasons.append(f"Skipped {plan.unusable:,} unusable records")
        fixes.append("Report them to the operators of ScaiKey; the warnings name them.")
    if not reasons:
        return None
    done = report.outcome
    if done == "applied":
        report.outcome = SyncPartial.outcome
    return SyncPartial(
        f"{'. '.join(reasons)}. Everything else is {done}.", report=report, fix=" ".join(fixes)
    )


def _removal_limit(options: SyncOptions) -> RemovalLimit:
    config = settings.CONFIG
    return RemovalLimit(
        limit=config.get_int("SCAIWAVE_SYNC_REMOVAL_LIMIT"),
        share=config.get_fraction("SCAIWAVE_SYNC_REMOVAL_SHARE"),
        allowed=options.allow_removals,
    )


def _now() -> datetime:
    return datetime.now(UTC)
