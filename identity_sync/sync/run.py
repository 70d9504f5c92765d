"""Run a sync: fetch, confirm, plan, apply, and record the result.

A sync can also write its plan to a file, and apply a plan that was reviewed. The losses of access
of a reviewed plan are the permission: exactly these, even over the removal limit.
Each of them is looked up again before it is applied.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from identity_sync.errors import (
    LastSuperAdminLost,
    SyncConflict,
    SyncPartial,
    SyncStopped,
    SyncTimedOut,
)
from identity_sync.models import WRITTEN, SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.apply.write import apply_plan, refresh_statistics
from identity_sync.sync.confirm.announced import update_unproven
from identity_sync.sync.confirm.claims import count_kept
from identity_sync.sync.confirm.confirm import Confirmation, Confirmer
from identity_sync.sync.confirm.memberships import EdgeConfirmer
from identity_sync.sync.fetch.announced import stage_targets
from identity_sync.sync.fetch.budget import LookupBudget
from identity_sync.sync.fetch.kinds import count_present
from identity_sync.sync.fetch.lists import FetchResult, stage_all, stage_kept_tenants
from identity_sync.sync.fetch.scope import (
    SyncScope,
    require_whole_scope,
    resolve_linked_tenant,
    resolve_scope,
)
from identity_sync.sync.judge.judge import (
    APPLIED,
    check_removal_limit,
    judge_removals,
    list_counted_losses,
    set_aside_super_admins,
)
from identity_sync.sync.judge.losses import count_losses, count_losses_by_tenant, find_losses
from identity_sync.sync.judge.removals import count_pending, lock_open_rows
from identity_sync.sync.judge.skip import skip_set_aside
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.plan.make_plan import (
    count_plan,
    plan_changes,
    plan_freed_slugs,
    plan_removals,
    unplan_freed_slugs,
)
from identity_sync.sync.plan.plan import Plan
from identity_sync.sync.record import history, pending
from identity_sync.sync.record.audit import audit_run
from identity_sync.sync.record.partial import build_partial_error
from identity_sync.sync.record.phases import PhaseRecorder
from identity_sync.sync.record.plan_file import (
    PlanWriter,
    format_apply_command,
    open_new_plan,
    open_plan,
    remove_killed_plans,
)
from identity_sync.sync.removal_limit import RemovalLimit
from identity_sync.sync.staging import analyze, temporary_tables
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.console.progress import ProgressCallback, ProgressFactory
from scaiwave.core.limits import RunLimits
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.unconfirmed_commits import find_unconfirmed_commit
from scaiwave.extensions import REPORT_PROBLEMS
from scaiwave.ids import new_id
from tenants.lookup.restoration import require_activated
from tenants.models import Tenant
from tenants.roles.queries.super_admins import (
    GRANT_COMMAND,
    count_super_admins,
    find_super_admin_holders,
)


@dataclass
class _SyncContext:
    """One run in progress; `run` and `phases` are None when only drift is measured.

    `is_applied` is true once the plan is written and saved. `present` counts the rows of each kind
    before the run.
    """

    client: ScaiKeyClient
    options: SyncOptions
    report: SyncReport
    limits: RunLimits
    tenant: Tenant | None = None
    run: SyncRun | None = None
    phases: PhaseRecorder | None = None
    is_applied: bool = False
    fetched: FetchResult = field(default_factory=FetchResult)
    present: dict[str, int] = field(default_factory=dict)
    confirmation: Confirmation = field(default_factory=Confirmation)

    def show(self, label: str) -> AbstractContextManager[ProgressCallback]:
        """Show the progress of a part of the phase that is recorded as one."""
        factory = self.phases.inner if self.phases else self.options.progress_factory
        return factory(label)


def run_sync(options: SyncOptions) -> SyncReport:
    """Sync the local rows from ScaiKey, and record the run.

    Raises `SyncLocked` if another run has the lock, `SyncTimedOut`, `DatabaseBlocked` if another
    session of the database keeps a lock, `SyncStopped` (with its report) if all or part
    of the plan was not applied, `UpstreamError` and `AuthError` if ScaiKey could not be read,
    `TenantNotFound` and `TenantNotLinked`. After any error the database is unchanged, or as the
    report describes, and the run is recorded.
    """
    require_activated()
    limits = _build_limits(options.timeout)
    try:
        with limits.enforce():
            return _run_within_limits(options, limits)
    finally:
        _report_problems(options)


def _report_problems(options: SyncOptions) -> None:
    """Report problems by e-mail, unless a signal or the next webhook wants the process to end."""
    error, is_set = sys.exception(), settings.CONFIG.get_str("SCAIWAVE_NOTIFY_EMAIL")
    is_interrupted = error is not None and not isinstance(error, Exception)
    if is_set and not (options.dry_run or options.trigger is Trigger.WEBHOOK or is_interrupted):
        REPORT_PROBLEMS.load()()


def _run_within_limits(options: SyncOptions, limits: RunLimits) -> SyncReport:
    tenant = None
    # An empty name is still a name; it must not select all tenants.
    if options.tenant is None:
        require_whole_scope(options.operator, settings.CONFIG)
    else:
        options.operator.require(Permission.SYNC_TENANTS)
        tenant = resolve_linked_tenant(options.operator, options.tenant)
    if (applied := _find_applied(options)) is not None:
        return applied
    with options.connect(settings.CONFIG) as client, ExitStack() as stack:
        _acquire_lock(stack, options, tenant, limits)
        # Another process may have applied the plan before this one had the lock.
        if (applied := _find_applied(options)) is not None:
            return applied
        history.close_interrupted(timezone.now())
        covered = history.list_unhandled_events() if options.is_full else []
        run = _start_run(options, tenant)
        phases = PhaseRecorder(run, options.progress_factory)
        options = replace(options, progress_factory=phases)
        report = SyncReport(run_id=run.pk)
        context = _SyncContext(client, options, report, limits, tenant, run, phases)
        try:
            return _run_and_record(context, run)
        finally:
            # The lists contain everything that was announced before they were read.
            if run.outcome in WRITTEN:
                history.mark_events_handled(covered, run=run, now=timezone.now())
            if not options.dry_run:
                history.delete_expired_values(timezone.now(), days=_value_days())


def _find_applied(options: SyncOptions) -> SyncReport | None:
    """Return the report if the reviewed plan was applied before. Raises `SyncPlanExpired`."""
    if options.reviewed is None:
        return None
    if (report := options.reviewed.find_report()) is None:
        options.reviewed.ensure_valid_at(timezone.now())
    return report


def _acquire_lock(
    stack: ExitStack, options: SyncOptions, tenant: Tenant | None, limits: RunLimits
) -> None:
    """Acquire the lock of syncs; the end of the time limit during the wait is recorded too."""
    try:
        with limits.translate():
            stack.enter_context(
                sync_lock(
                    wait_seconds=options.wait_seconds,
                    on_waiting=options.on_waiting,
                    lets_others_go_first=options.trigger is Trigger.WEBHOOK,
                    shows_host=options.operator.sees_everything,
                )
            )
    except SyncTimedOut as error:
        run = _start_run(options, tenant)
        report = SyncReport(run_id=run.pk)
        report.fail()
        history.fail_run(run, report, now=timezone.now(), error=error)
        raise


def _start_run(options: SyncOptions, tenant: Tenant | None) -> SyncRun:
    return SyncRun.objects.create(
        id=options.run_id or new_id(),
        tenant=tenant,
        trigger=options.trigger,
        operator=options.operator.name,
        is_dry_run=options.dry_run,
        started_at=timezone.now(),
    )


def write_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Write the plan of a sync, with every loss of access looked up; nothing else is changed.

    Raises `FileUnwritable` or `DiskFull`, and what `run_sync` raises. After `SyncStopped` the plan
    is written too: it shows the refused losses.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    stopped: SyncStopped | None = None
    with open_new_plan(path) as file:
        try:
            report = run_sync(replace(options, dry_run=True, plan_writer=PlanWriter(file, path)))
        except SyncStopped as error:
            stopped, report = error, error.report
    if stopped is not None:
        raise stopped
    return report


def apply_sync_plan(options: SyncOptions, path: Path) -> SyncReport:
    """Sync as a reviewed plan says: for its tenant, and with exactly its losses of access.

    A plan is applied once: a second time returns a report that names the first run. Raises
    `SyncPlanUnreadable`, `SyncPlanInvalid`, `SyncPlanExpired`, `SyncPlanChanged`, `DiskFull`, and
    what `run_sync` raises.
    """
    options.operator.require(Permission.SYNC_TENANTS)
    if not options.dry_run:
        remove_killed_plans(path.parent)
    with open_plan(path) as reviewed:
        tenant = None if reviewed.head.tenant_id is None else str(reviewed.head.tenant_id)
        return run_sync(
            replace(options, tenant=tenant, removals=reviewed.head.with_removals, reviewed=reviewed)
        )


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
    tenant_row = None
    if tenant is not None:
        if not operator.has_permission(Permission.VIEW_PLATFORM):
            operator.require(Permission.SYNC_TENANTS)
        tenant_row = resolve_linked_tenant(operator, tenant)
    elif not operator.has_permission(Permission.VIEW_PLATFORM):
        require_whole_scope(operator, settings.CONFIG)
    report = SyncReport(run_id=None)
    options = SyncOptions(operator, progress_factory, dry_run=True)
    limits = _build_limits(None)
    with (
        limits.enforce(),
        options.connect(settings.CONFIG) as client,
        suppress(SyncPartial, LastSuperAdminLost),  # The report has these counts.
    ):
        _run(_SyncContext(client, options, report, limits, tenant_row))
    return report


def _build_limits(timeout: float | None) -> RunLimits:
    return RunLimits(
        timeout,
        lock_seconds=settings.CONFIG.get_int("SCAIWAVE_SYNC_LOCK_SECONDS"),
        timeout_error=SyncTimedOut,
    )


def _run_and_record(context: _SyncContext, run: SyncRun) -> SyncReport:
    """Run the sync, and record its result in any case."""
    try:
        with context.limits.translate():
            _run(context)
    except SyncStopped as error:
        history.finish_run(run, context.report, now=timezone.now(), error=error)
        raise
    except BaseException as error:
        # The plan may be applied, and only the database's response was lost.
        lost = find_unconfirmed_commit(error)
        is_saved = context.report.outcome in WRITTEN and lost is not None and lost.is_saved is True
        if not (context.is_applied or is_saved):
            context.report.fail()
        history.fail_run(run, context.report, now=timezone.now(), error=error)
        raise
    history.finish_run(run, context.report, now=timezone.now())
    return context.report


def _run(context: _SyncContext) -> None:
    started = time.monotonic()
    client, options, report = context.client, context.options, context.report
    try:
        with temporary_tables():
            # 1. Fetch the lists.
            scope = _fetch(context)
            # 2. Confirm every loss of access by a look-up.
            context.present = count_present(context.fetched.kinds)
            _confirm(context, scope)
            report.warnings += context.fetched.warnings() + context.confirmation.warnings
            # 3. Plan, and apply unless a limit forbids it.
            plan_removals(context.fetched.kinds)
            stopped = _apply(context)
            if options.targets is not None:
                update_unproven(options.targets)
            if options.plan_writer is not None:
                options.plan_writer.write(
                    report, tenant=context.tenant, removals=options.removals, now=timezone.now()
                )
            if options.on_planned:
                options.on_planned()
            if context.run is not None and _value_days() > 0:
                history.record_plan(context.run, report.outcome)
    finally:
        report.requests = client.requests
        report.duration_seconds = time.monotonic() - started
    if stopped:
        raise stopped


def _fetch(context: _SyncContext) -> SyncScope:
    options, client = context.options, context.client
    scope = resolve_scope(client, context.tenant)
    stage_kept_tenants(removals=options.removals)
    if options.targets is not None:
        scope = replace(scope, targets_only=True)
        stage_targets(client, scope, options.targets, fetched=context.fetched)
        return scope
    stage_all(
        client,
        scope,
        fetched=context.fetched,
        progress_factory=options.progress_factory,
        max_unreadable_share=settings.CONFIG.get_fraction("SCAIWAVE_SYNC_UNREADABLE_SHARE"),
    )
    return scope


def _confirm(context: _SyncContext, scope: SyncScope) -> None:
    config, limit = settings.CONFIG, _effective_limit(context.options)
    budget = LookupBudget(None, None)
    if limit.allowed is None:
        budget = LookupBudget(
            config.get_int("SCAIWAVE_SYNC_LOOKUP_LIMIT"),
            config.get_int("SCAIWAVE_SYNC_LOOKUP_SECONDS"),
        )
    progress, result = context.options.progress_factory, context.confirmation
    shared = (context.client, scope, limit, budget, progress, timezone.now(), result)
    Confirmer(*shared).confirm(context.fetched, context.present)
    if "memberships" in context.fetched.kinds:
        EdgeConfirmer(*shared).confirm_edges(context.present["memberships"])


def _apply(context: _SyncContext) -> SyncStopped | None:
    """Plan the rest, and write it unless a limit forbids it; return why a part is not written."""
    if context.phases is not None:
        context.phases.begin("Comparing and writing")
    try:
        # A dry run only writes to temporary tables, so it needs no transaction.
        with nullcontext() if context.options.dry_run else transaction.atomic():
            stopped = _decide(context)
            is_written = context.run is not None and context.report.outcome in WRITTEN
            if context.run is not None and is_written:
                context.report.requests = context.client.requests
                if context.options.reviewed is not None:
                    context.run.applied_plan_id = context.options.reviewed.head.run_id
                history.record_applied(
                    context.run, context.report, now=timezone.now(), stopped=stopped
                )
                options = context.options
                permissions = {
                    "allow_removals": options.allow_removals,
                    "plan_run_id": str(options.reviewed.head.run_id) if options.reviewed else None,
                    "allow_no_super_admin": options.allow_no_super_admin or None,
                    "purge_after_days": options.purge_after_days,
                }
                operator = options.requested_by or options.operator
                audit_run(
                    context.run,
                    context.report,
                    operator=operator,
                    permissions=permissions,
                    now=timezone.now(),
                )
            context.limits.cancel()  # A limit after the commit would report it as failed.
        context.is_applied = is_written
        return stopped
    except IntegrityError as error:
        raise SyncConflict(
            "Another process changed the same rows while this sync was writing. No changes were "
            "made."
        ) from error


def _decide(context: _SyncContext) -> SyncStopped | None:
    options, report = context.options, context.report
    with context.show("Comparing") as progress:
        plan = plan_changes(
            context.present,
            context.confirmation,
            fetched=context.fetched,
            tenant=context.tenant,
            targets_only=options.targets is not None,
            progress=progress,
        )
    if options.plan_path is not None:
        plan.apply_command = format_apply_command(options.plan_path)
    report.kinds = plan.kinds
    report.warnings += plan.warnings
    try:
        if not options.dry_run:
            lock_open_rows()
        judge_removals(plan, _effective_limit(options), report, timezone.now())
        _skip_and_count(context, plan)
        if options.reviewed is not None:
            options.reviewed.ensure_same_removals(report, plan_command=plan.plan_command)
        report.outcome = "planned" if options.dry_run else "applied"
        _write(context, plan)
        if options.plan_writer is not None:
            check_removal_limit(plan, _removal_limit(options), report)
    except SyncStopped as error:
        report.outcome = error.outcome
        return error
    return build_partial_error(plan, report)


def _skip_and_count(context: _SyncContext, plan: Plan) -> None:
    """Skip the removals that wait for a decision, and count the rest."""
    report = context.report
    freed = unplan_freed_slugs()  # A tenant that is skipped now keeps its slug.
    if skip_set_aside() + freed:
        count_plan(plan)
    plan_freed_slugs(plan)
    report.counted_losses = plan.counted_apart + list_counted_losses()
    find_losses(APPLIED)
    report.losses = count_losses()
    report.losses_by_tenant = count_losses_by_tenant()
    report.pending_count = count_pending()
    report.kept_count = count_kept()


def _write(context: _SyncContext, plan: Plan) -> None:
    """Write the plan. What would take the last super_admin away is set aside."""
    try:
        _write_changes(context, plan)
    except LastSuperAdminLost:
        is_reviewed = context.options.plan_path is not None
        if is_reviewed or not set_aside_super_admins(find_super_admin_holders()):
            raise
        _skip_and_count(context, plan)
        _write_changes(context, plan)
    options = context.options
    if options.dry_run or context.run is None:
        return
    pending.record_removals(
        context.run,
        kinds=context.fetched.kinds,
        tenant=context.tenant,
        targets_only=options.targets is not None,
        now=timezone.now(),
    )
    # A run for single records can't tell which other rows are no longer skipped.
    if options.targets is None:
        history.record_skips(context.tenant, timezone.now())


def _write_changes(context: _SyncContext, plan: Plan) -> None:
    """Write the plan. If this raises `LastSuperAdminLost`, nothing is written."""
    options, report = context.options, context.report
    if report.change_count:
        analyze("sync_plan")
    if options.dry_run:
        if report.has_losses:
            with transaction.atomic():  # Rolled back: it only shows who would remain super admin.
                _apply_and_check(context, plan)
                transaction.set_rollback(True)
        return
    if report.change_count:
        with transaction.atomic():
            if context.run is not None:
                history.record_changes(context.run, with_values=_value_days() > 0)
            _apply_and_check(context, plan)
        refresh_statistics(report.change_count)


def _apply_and_check(context: _SyncContext, plan: Plan) -> None:
    options, report = context.options, context.report
    # Not only where losses are counted: the database itself shows who is left.
    may_lose = any(counts.updated + counts.deactivated for counts in report.kinds.values())
    before = count_super_admins() if may_lose or report.has_losses else None
    with context.show("Writing") as progress:
        apply_plan(timezone.now(), report.kinds, progress)
    if before is None or not (loss := before.describe_loss(count_super_admins())):
        return
    if options.allow_no_super_admin:
        report.warnings.append(
            f"This sync leaves {loss}. Grant the role to someone: {GRANT_COMMAND}."
        )
        return
    raise LastSuperAdminLost(
        f"This sync would leave {loss}. No changes were made.",
        report=report,
        fix=f"Grant the role to someone who remains: {GRANT_COMMAND}. To accept it instead: "
        f"`{plan.command} --allow-no-super-admin`.",
    )


def _removal_limit(options: SyncOptions) -> RemovalLimit:
    config = settings.CONFIG
    hours = timedelta(hours=config.get_int("SCAIWAVE_SYNC_REMOVAL_HOURS"))
    return RemovalLimit(
        limit=config.get_int("SCAIWAVE_SYNC_REMOVAL_LIMIT"),
        share=config.get_fraction("SCAIWAVE_SYNC_REMOVAL_SHARE"),
        allowed=options.allow_removals,
        spent=history.count_recent_losses(timezone.now() - hours),
        suspensions=config.get_int("SCAIWAVE_SYNC_SUSPENSION_LIMIT"),
        suspension_share=config.get_fraction("SCAIWAVE_SYNC_SUSPENSION_SHARE"),
    )


def _effective_limit(options: SyncOptions) -> RemovalLimit:
    """Return the limit that is applied. A plan for review has every loss, looked up one by one."""
    limit = _removal_limit(options)
    return limit if options.plan_path is None else replace(limit, allowed=sys.maxsize)


def _value_days() -> int:
    return settings.CONFIG.get_int("SCAIWAVE_SYNC_VALUES_RETENTION_DAYS")
