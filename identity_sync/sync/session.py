"""Open a run: who may start it, its limits, the lock of syncs, and its row in the history."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from identity_sync.errors import SyncRequestInvalid, SyncTimedOut
from identity_sync.models import SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.scope import authorise_sync
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record import history
from identity_sync.sync.record.plan_file import PlanWriter, ReviewedPlan, format_apply_command
from identity_sync.sync.record.run_record import RunRecord, record_failed_start, record_run
from identity_sync.sync.rules import RemovalLimit, Rules
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.core.limits import RunLimits
from scaiwave.extensions import REPORT_PROBLEMS
from scaiwave.ids import new_id
from tenants.models import Tenant


@dataclass
class OpenRun:
    """A run that has the lock, or measures drift. `run` takes it through its steps.

    The rooms never get it, but only the part of it that they need.
    """

    options: SyncOptions
    tenant: Tenant | None
    client: ScaiKeyClient
    limits: RunLimits
    rules: Rules
    record: RunRecord


def open_run(stack: ExitStack, options: SyncOptions) -> OpenRun | SyncReport:
    """Return the run that is open until the stack is closed, which also records its end.

    Returns the report of the former run if that applied the reviewed plan. Raises
    `InsufficientPermission`, `TenantNotFound`, `TenantNotLinked`, `SyncLocked`, `SyncTimedOut`,
    `SyncPlanExpired`, `SyncRequestInvalid`, and the errors of the client.
    """
    limits = build_limits(options.pace.timeout)
    stack.enter_context(limits.enforce())
    tenant = authorise_sync(options.operator, options.tenant)
    if (applied := _find_applied(options)) is not None:
        return applied
    client = stack.enter_context(options.connect(settings.CONFIG))
    _acquire_lock(stack, options, tenant, limits)
    # Another process may have applied the plan before this one had the lock.
    if (applied := _find_applied(options)) is not None:
        return applied
    row = _build_row(options, tenant)
    if options.request and SyncRun.objects.filter(pk=row.pk).exists():
        raise SyncRequestInvalid(f"The requested sync {row.pk} has run already.")
    is_full = tenant is None and options.announced is None and not options.dry_run
    record = stack.enter_context(
        record_run(row, options.progress_factory, limits, covers_events=is_full)
    )
    return OpenRun(options, tenant, client, limits, build_rules(options, tenant), record)


def build_limits(timeout: float | None) -> RunLimits:
    return RunLimits(
        timeout,
        lock_seconds=settings.CONFIG.get_int("SCAIWAVE_SYNC_LOCK_SECONDS"),
        timeout_error=SyncTimedOut,
    )


def build_rules(options: SyncOptions, tenant: Tenant | None) -> Rules:
    """Return what the run may take. A plan for review has every loss, looked up one by one."""
    config, now = settings.CONFIG, timezone.now()
    hours = timedelta(hours=config.get_int("SCAIWAVE_SYNC_REMOVAL_HOURS"))
    limit = RemovalLimit(
        limit=config.get_int("SCAIWAVE_SYNC_REMOVAL_LIMIT"),
        share=config.get_fraction("SCAIWAVE_SYNC_REMOVAL_SHARE"),
        allowed=options.permissions.allow_removals,
        spent=history.count_recent_losses(now - hours),
        suspensions=config.get_int("SCAIWAVE_SYNC_SUSPENSION_LIMIT"),
        suspension_share=config.get_fraction("SCAIWAVE_SYNC_SUSPENSION_SHARE"),
    )
    slug = tenant.slug if tenant else None
    if options.plan is None:
        return Rules(limit, now, slug)
    apply = format_apply_command(options.plan.path)
    review = limit if isinstance(options.plan, PlanWriter) else None
    return Rules(replace(limit, allowed=sys.maxsize), now, slug, apply, review)


def _find_applied(options: SyncOptions) -> SyncReport | None:
    """Return the report if the reviewed plan was applied before. Raises `SyncPlanExpired`."""
    if not isinstance(options.plan, ReviewedPlan):
        return None
    if (report := options.plan.find_report()) is None:
        options.plan.ensure_valid_at(timezone.now())
    return report


def _acquire_lock(
    stack: ExitStack, options: SyncOptions, tenant: Tenant | None, limits: RunLimits
) -> None:
    """Acquire the lock of syncs; the end of the time limit during the wait is recorded too."""
    try:
        with limits.translate():
            stack.enter_context(
                sync_lock(
                    wait_seconds=options.pace.wait_seconds,
                    on_waiting=options.pace.on_waiting,
                    lets_others_go_first=options.trigger is Trigger.WEBHOOK,
                    shows_host=options.operator.sees_everything,
                )
            )
    except SyncTimedOut as error:
        record_failed_start(_build_row(options, tenant), error)
        raise


def _build_row(options: SyncOptions, tenant: Tenant | None) -> SyncRun:
    return SyncRun(
        id=options.request.run_id if options.request else new_id(),
        tenant=tenant,
        trigger=options.trigger,
        operator=options.operator.name,
        is_dry_run=options.dry_run,
        started_at=timezone.now(),
    )


def report_problems(options: SyncOptions) -> None:
    """Report problems by e-mail, unless a signal or the next webhook wants the process to end."""
    error, is_set = sys.exception(), settings.CONFIG.get_str("SCAIWAVE_NOTIFY_EMAIL")
    is_interrupted = error is not None and not isinstance(error, Exception)
    if is_set and not (options.dry_run or options.trigger is Trigger.WEBHOOK or is_interrupted):
        REPORT_PROBLEMS.load()()
