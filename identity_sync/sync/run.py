"""Run a sync: the local rows follow ScaiKey.

Each room of this package does one step. It takes the value of the room before it and returns its
own, which contains the former: `Fetched`, `Confirmed`, `Plan`, `Verdict`. The rows that they count
are in temporary tables (`tables`). No room knows the options of a run or a later room.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from django.db import IntegrityError, transaction
from django.utils import timezone

from identity_sync.errors import LastSuperAdminLost, SyncConflict, SyncStopped
from identity_sync.models import WRITTEN
from identity_sync.report import SyncReport
from identity_sync.sync.apply.write import apply_unless_last_super_admin, refresh_statistics
from identity_sync.sync.confirm.confirm_losses import Confirmed, confirm_losses
from identity_sync.sync.fetch.announced import fetch_announced
from identity_sync.sync.fetch.lists import fetch_lists
from identity_sync.sync.fetch.scope import ScaiKeySource, resolve_scope
from identity_sync.sync.judge.limits import (
    Verdict,
    judge_plan,
    refuse_over_limit,
    set_aside_super_admins,
    skip_waiting,
)
from identity_sync.sync.judge.removals import lock_open_rows
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.plan.make_plan import make_plan
from identity_sync.sync.record import history
from identity_sync.sync.record.audit import record_applied
from identity_sync.sync.record.partial import build_partial_error
from identity_sync.sync.record.pending import record_removals
from identity_sync.sync.record.plan_file import PlanWriter, ReviewedPlan
from identity_sync.sync.session import OpenRun, open_run, report_problems
from identity_sync.sync.staging import analyze, temporary_tables
from tenants.lookup.restoration import require_activated
from tenants.roles.queries.super_admins import find_super_admin_holders


def run_sync(options: SyncOptions) -> SyncReport:
    """Sync the local rows from ScaiKey, and record the run.

    Raises `SyncLocked` if another run has the lock, `SyncTimedOut`, `DatabaseBlocked` if another
    session of the database keeps a lock, `SyncStopped` (with its report) if all or part
    of the plan was not applied, `UpstreamError` and `AuthError` if ScaiKey could not be read,
    `TenantNotFound` and `TenantNotLinked`. After any error the database is unchanged, or as the
    report describes, and the run is recorded.
    """
    require_activated()
    try:
        with ExitStack() as stack:
            # 1. Ask who may sync this, take the lock, and begin a row in the history.
            run = open_run(stack, options)
            if isinstance(run, OpenRun):
                sync(run)
                return run.record.report
            return run  # The reviewed plan was applied before.
    finally:
        report_problems(options)


def sync(run: OpenRun) -> None:
    """Take an open run through its steps, and complete its report."""
    options, record, report = run.options, run.record, run.record.report
    started = time.monotonic()
    try:
        with temporary_tables():
            # 2. Fetch the lists, or the records that webhooks have announced.
            scope = resolve_scope(run.client, run.tenant)
            source = ScaiKeySource(run.client, scope, record.phases, options.permissions.removals)
            if options.announced is None:
                fetched = fetch_lists(source)
            else:
                fetched = fetch_announced(source, options.announced)
            # 3. Confirm every loss of access that they claim by a look-up.
            confirmed = confirm_losses(source, fetched, run.rules.limit, now=run.rules.now)
            report.warnings += [*fetched.iter_warnings(), *confirmed.warnings]
            report.off_count = confirmed.off
            report.undecided, report.new_tenants = confirmed.undecided, fetched.new_tenants
            # 4. Plan, judge and apply in one transaction, which also records the end.
            record.phases.begin("Comparing and writing")
            stopped = _change(run, confirmed)
            # 5. Write, show and record the plan while its tables exist.
            if isinstance(options.plan, PlanWriter):
                options.plan.write(report, source.removals, tenant=run.tenant, now=timezone.now())
            if options.on_planned:
                options.on_planned()
            record.record_plan()
    finally:
        report.requests = run.client.requests
        report.duration_seconds = time.monotonic() - started
    if stopped:
        stopped.report = report
        raise stopped


def _change(run: OpenRun, confirmed: Confirmed) -> SyncStopped | None:
    """Change the rows as ScaiKey has them now; return why a part of that is not done."""
    record, report = run.record, run.record.report
    try:
        # A dry run only writes to temporary tables, so it needs no transaction.
        with nullcontext() if run.options.dry_run else transaction.atomic():
            stopped = _plan_and_write(run, confirmed)
            is_written = report.outcome in WRITTEN
            if record.row is not None and is_written:
                report.requests = run.client.requests
                record_applied(
                    record.row,
                    report,
                    stopped,
                    run.options.describe_permissions(),
                    operator=run.options.asked_by,
                    now=timezone.now(),
                )
            run.limits.cancel()  # A limit after the commit would report it as failed.
    except IntegrityError as error:
        raise SyncConflict(
            "Another process changed the same rows while this sync was writing. No changes were "
            "made."
        ) from error
    record.is_committed = is_written
    return stopped


def _plan_and_write(run: OpenRun, confirmed: Confirmed) -> SyncStopped | None:
    options, rules, report = run.options, run.rules, run.record.report
    # 4a. Compare the staged records with the rows, and name every change.
    with run.record.phases.inner("Comparing") as progress:
        plan = make_plan(confirmed, progress=progress)
    report.kinds, report.warnings = plan.kinds, report.warnings + plan.warnings
    try:
        # 4b. Judge which losses of access wait, and skip those.
        if not options.dry_run:
            lock_open_rows()
        verdict = judge_plan(plan, rules)
        _report_losses(report, verdict)
        if isinstance(options.plan, ReviewedPlan):
            report.plan = options.plan.describe()
            options.plan.ensure_same_removals(plan_command=rules.sync)
        # 4c. Apply the rest. What would take the last super_admin away waits too, except in a plan
        # that is reviewed: it has exactly the losses that it lists.
        report.outcome = "planned" if options.dry_run else "applied"
        try:
            _write(run, verdict)
        except LastSuperAdminLost:
            if options.plan is not None or not set_aside_super_admins(find_super_admin_holders()):
                raise
            verdict = skip_waiting(plan, verdict.apart)
            _report_losses(report, verdict)
            _write(run, verdict)
        # 4d. Record the removals that wait, and the rows that are skipped.
        if run.record.row is not None and not options.dry_run:
            record_removals(run.record.row, verdict, tenant=run.tenant, now=timezone.now())
            # A run for single records can't tell which other rows are no longer skipped.
            if options.announced is None:
                history.record_skips(run.tenant, timezone.now())
        if rules.review is not None:
            refuse_over_limit(verdict, replace(rules, limit=rules.review))
    except SyncStopped as error:
        report.outcome = error.outcome
        report.losses = error.losses or report.losses
        return error
    partial = build_partial_error(verdict, rules, report.outcome)
    if partial is not None and report.outcome == "applied":
        report.outcome = partial.outcome
    return partial


def _report_losses(report: SyncReport, verdict: Verdict) -> None:
    report.losses, report.losses_by_tenant = verdict.losses, verdict.losses_by_tenant
    report.counted_losses, report.pending_count = verdict.counted, verdict.pending


def _write(run: OpenRun, verdict: Verdict) -> None:
    """Write the plan; in a dry run write it and roll back, to see who would remain super_admin.

    If this raises `LastSuperAdminLost`, nothing is written.
    """
    record, report, is_dry_run = run.record, run.record.report, run.options.dry_run
    if report.change_count:
        analyze("sync_plan")
    if not (report.has_losses if is_dry_run else report.change_count):
        return
    with transaction.atomic():
        if record.row is not None and not is_dry_run:
            history.record_changes(record.row, with_values=record.keeps_values)
        with record.phases.inner("Writing") as progress:
            report.warnings += apply_unless_last_super_admin(
                verdict,
                is_allowed=run.options.permissions.allow_no_super_admin,
                command=run.rules.again,
                now=timezone.now(),
                progress=progress,
            )
        if is_dry_run:
            transaction.set_rollback(True)
    if not is_dry_run:
        refresh_statistics(report.change_count)
