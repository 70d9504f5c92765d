"""What the start page of the admin site shows of the sync."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.timesince import timesince

from identity_sync.errors import (
    RemovalsPending,
    RemovalsPostponed,
    SyncFailing,
    SyncOverdue,
    SyncSkipsRepeated,
)
from identity_sync.models import (
    FAILED_Q,
    WRITTEN,
    Outcome,
    SyncPlannedChange,
    SyncRun,
    SyncRunQuerySet,
    WebhookEvent,
    WebhookState,
)
from identity_sync.registration.missing import RegistrationProgress, find_progress
from identity_sync.report import KINDS
from identity_sync.reports.health import SyncHealth, judge_sync
from identity_sync.reports.judgement import RunScope, describe_approved, find_pending, get_interval
from identity_sync.reports.run_figures import (
    COLUMNS,
    NOT_APPLIED,
    OUTCOME_TONES,
    build_rows,
    count_differences,
)
from identity_sync.reports.schedule import Schedule
from scaiwave.console.text import pluralize
from scaiwave.core.errors import NotRegistered, ScaiWaveError
from scaiwave.core.operators import Operator, Permission, get_host_operator
from scaiwave.operations.overview.tenants import MAX_FAILURES, list_failures
from scaiwave.site.formatting import Tone
from scaiwave.site.overview import (
    Card,
    Chart,
    Entry,
    EntryList,
    OverviewPart,
    OverviewTable,
    Point,
    Task,
)

RUNS, SKIPS = "admin:identity_sync_syncrun_changelist", "admin:identity_sync_syncskip_changelist"
VIEW_RUNS = "identity_sync.view_syncrun"
CHANGES = "admin:identity_sync_syncchange_changelist"
RUN = "admin:identity_sync_syncrun_change"
WEBHOOKS = "admin:identity_sync_webhookevent_changelist"
REGISTER = "scaiwave sync register"
SLOT, SLOTS = timedelta(minutes=10), 144
CHARTED_DAYS = 30
_FROM_BEST = (Outcome.PLANNED, Outcome.APPLIED, Outcome.RUNNING, *reversed(NOT_APPLIED))
_LEGEND = (
    ("applied", Tone.GOOD),
    ("partial", Tone.WARN),
    ("refused or failed", Tone.BAD),
    ("running or a dry run", Tone.INFO),
)
CHANGED = ("added", "updated", "deactivated", "restored")


def build_sync_part(now: datetime) -> OverviewPart:
    scope = RunScope(get_host_operator())
    health = judge_sync(scope, config=settings.CONFIG, now=now)
    approved = describe_approved(scope, now)
    registration = find_progress(settings.CONFIG)
    return OverviewPart(
        tasks=_list_tasks(scope, health, approved, registration, now),
        health=[
            _build_sync_card(health, approved, now),
            _build_registration_card(registration),
        ],
        tables=[_build_drift_table(now)],
        charts=[_build_run_chart(now), _build_change_chart(now)],
        lists=[_list_failed_syncs(), _list_failed_webhooks()],
    )


def build_limited_sync_part(operator: Operator, now: datetime) -> OverviewPart:
    """Return the last sync of the tenants of an operator who is limited to them, and the removals
    that wait there. Other problems of the sync are not theirs to solve."""
    operator.require(Permission.VIEW)
    scope = RunScope(operator)
    health = judge_sync(scope, config=settings.CONFIG, now=now)
    approved = describe_approved(scope, now)
    card = _build_sync_card(replace(health, warnings=[]), approved, now)
    tasks = [*list_pending(scope, now), *_list_approved(approved)]
    return OverviewPart(tasks=tasks, health=[replace(card, url=reverse(CHANGES))])


def _list_ended() -> SyncRunQuerySet:
    """Return the full runs that have ended, with `has_plan` as `build_rows` needs it."""
    planned = SyncPlannedChange.objects.filter(run=OuterRef("pk"))
    return SyncRun.objects.full().ended().annotate(has_plan=Exists(planned)).newest_first()


def _list_tasks(
    scope: RunScope,
    health: SyncHealth,
    approved: str,
    registration: RegistrationProgress,
    now: datetime,
) -> list[Task]:
    """Return each problem once, with a button where a page or an act resolves it."""
    tasks = []
    for problem in health.problems:
        match problem:
            case RemovalsPending():
                tasks += list_pending(scope, now)
            case SyncFailing():
                tasks.append(_describe_failing(problem, health.judgement.latest))
            case SyncOverdue():
                tasks.append(_make_task(problem, **_offer_sync()))
            case SyncSkipsRepeated():
                skips = {"button": "Show the skipped rows", "url": reverse(SKIPS)}
                tasks.append(_make_task(problem, tone=Tone.WARN, **skips))
            case RemovalsPostponed():
                postponed = f"{reverse(SKIPS)}?is_postponed__exact=1"
                skips = {"button": "Show the postponed removals", "url": postponed}
                tasks.append(_make_task(problem, [problem.fix], **skips))
            case NotRegistered():
                _, tone, how = _describe_progress(registration)
                command = f"{REGISTER} --url …" if registration.last is None else REGISTER
                details = [how] if how else []
                tasks.append(_make_task(problem, details, tone=tone, command=command))
            case _:
                tasks.append(_make_task(problem, [problem.fix]))
    tasks += _list_approved(approved)
    # With Redis the page judges the scheduler itself.
    is_known = bool(settings.REDIS_URL) and not health.schedule.clock_problem
    warnings = [each for each in health.warnings if each.check != "scheduler" or not is_known]
    for warning in warnings:
        fields: dict[str, Any] = {"details": [warning.fix]}
        if warning.ends_with_sync:
            fields = {"command": "scaiwave sync", **_offer_sync()}
        tasks.append(Task(warning.message, VIEW_RUNS, **fields))
    return tasks


def list_pending(scope: RunScope, now: datetime) -> list[Task]:
    """Return the task to review what waits for a decision, if there is any."""
    problem = find_pending(scope, now)
    if problem is None:
        return []
    return [
        Task(
            problem.message,
            "identity_sync.view_pendingremoval",
            Tone.BAD,
            button=f"Review {pluralize(problem.details['removals'], 'removal')}",
            url=reverse("admin:identity_sync_pendingremoval_changelist"),
            command=problem.command,
        )
    ]


def _list_approved(text: str) -> list[Task]:
    permission = "identity_sync.view_pendingremoval"
    return [Task(text, permission, command="scaiwave sync", **_offer_sync())] if text else []


def _offer_sync() -> dict[str, Any]:
    return {"button": "Sync now", "url": reverse("admin:act", args=["sync"]), "act": "sync"}


def _make_task(problem: ScaiWaveError, details: Sequence[str] = (), **fields: Any) -> Task:
    values = {"tone": Tone.BAD, "command": problem.command, **fields}
    return Task(problem.message, VIEW_RUNS, details=details, **values)


def _describe_failing(problem: SyncFailing, last: SyncRun | None) -> Task:
    """Name the cause instead of codes, with its fix."""
    if last is None or not last.error_message:
        return _make_task(problem, [problem.fix])
    return Task(
        f"{problem.details['what']}. The latest: {last.error_message}",
        VIEW_RUNS,
        Tone.BAD,
        [last.error_fix],
        button="Open the last run",
        url=reverse(RUN, args=[last.pk]),
        command=problem.command,
    )


_ABOUT_ROWS = (RemovalsPending, RemovalsPostponed, SyncSkipsRepeated)
"""Problems of some rows, while syncs succeed."""


def _build_sync_card(health: SyncHealth, approved: str, now: datetime) -> Card:
    """Return the state of the sync. What makes it yellow is a detail, for there may be no task."""
    judgement = health.judgement
    success, latest = judgement.last_success, judgement.latest
    ended_at = success.ended_at if success is not None else None
    has_failed = latest is not None and latest.outcome not in WRITTEN
    is_broken = not all(isinstance(problem, _ABOUT_ROWS) for problem in health.problems)
    if judgement.running is not None:
        value = "in progress"
    elif is_broken or has_failed:
        value = "not up to date since" if ended_at else "never successful"
    else:
        is_partial = health.problems or approved
        value = "applied, except for skipped rows" if is_partial else "up to date"
    details = [] if judgement.running else _describe_next(latest, health.schedule, now)
    failure = f"The last full sync failed: {latest.error_code}." if latest and has_failed else ""
    found = [each.message for each in health.problems] + [each.message for each in health.warnings]
    reasons = list(filter(None, (failure, approved, *found)))
    details += [] if is_broken else reasons
    return Card(
        title="Sync",
        value=value,
        url=f"{reverse(RUNS)}?outcome=applied" if ended_at else reverse(RUNS),
        permission=VIEW_RUNS,
        tone=Tone.GOOD if not reasons else Tone.BAD if is_broken else Tone.WARN,
        details=details,
        at=ended_at.isoformat(timespec="seconds") if ended_at else "",
    )


def _describe_next(last: SyncRun | None, schedule: Schedule, now: datetime) -> list[str]:
    """Return when the next full sync is due, one interval after the last one began.

    None is expected if no one starts it.
    """
    if schedule.redis_problem is not None:
        return ["Until Redis answers, no scheduler starts a sync."]
    due = last.started_at + get_interval(settings.CONFIG) if last else now
    if now - due >= timedelta(minutes=1):
        return [f"The next was due {_format_age(due, now)} ago."]
    if last is None or schedule.source is None:
        return []
    is_now = due - now < timedelta(minutes=1)
    return [f"The next is due {'now' if is_now else f'in {_format_age(now, due)}'}."]


def _format_age(at: datetime, now: datetime) -> str:
    return timesince(at, now, depth=1).replace("\N{NO-BREAK SPACE}", " ")


def _build_drift_table(now: datetime) -> OverviewTable:
    """Show the differences from ScaiKey that the last full sync found, without asking ScaiKey."""
    run: Any = _list_ended().exclude(outcome=Outcome.FAILED).first()
    details = ""
    if run is not None:
        found, end = "no differences.", ""
        if count := count_differences(run):
            found = pluralize(count, "difference")
            skipped = sum(counts.get("skipped", 0) for counts in run.get_counts().values())
            end = f": {count - skipped:,} corrected, {skipped:,} skipped."
            end = _DRIFT_ENDS.get(Outcome(run.outcome), end)
        details = f"The full sync of {_format_age(run.started_at, now)} ago found {found}{end}"
    return OverviewTable(
        title="Drift by kind",
        url=reverse(RUNS) if run is None else reverse(RUN, args=[run.pk]),
        permission=VIEW_RUNS,
        columns=("Kind", *COLUMNS),
        rows=[] if run is None else build_rows(run, has_plan=run.has_plan),
        details=details,
        empty="No full sync has compared this server with ScaiKey yet.",
    )


_DRIFT_ENDS = {
    Outcome.PLANNED: ". It was a dry run, so they remain.",
    Outcome.REFUSED: ". It was refused, so they remain.",
}


def _build_registration_card(progress: RegistrationProgress) -> Card:
    value, tone, _ = _describe_progress(progress)
    return Card(
        title="Registration with ScaiKey",
        value=value,
        url=reverse("admin:identity_sync_registration_changelist"),
        permission="identity_sync.view_registration",
        tone=tone,
        details=[progress.last.scaikey_url] if progress.last is not None else [],
    )


def _describe_progress(progress: RegistrationProgress) -> tuple[str, Tone, str]:
    """Return how far the registration has come, its tone, and what to do before the command."""
    match progress.kind:
        case "registered":
            return "registered", Tone.GOOD, ""
        case "incomplete":
            return "credentials incomplete", Tone.BAD, ""
        case "unregistered":
            return "not registered", Tone.BAD, ""
        case "pending":
            how = "A ScaiKey administrator has to approve the request. Run this afterwards."
            return "waiting for approval", Tone.WARN, how
        case "saved":
            how = "ScaiKey has approved the request. Run this to configure the saved credentials."
            return "approved, not configured", Tone.BAD, how
        case "approved":
            how = (
                "ScaiKey has approved the request, but this server has no credentials. Restore "
                "the configuration file, or run this to fetch them or to register again."
            )
            return "approved, credentials missing", Tone.BAD, how
        case "rejected":
            how = "Resolve it with a ScaiKey administrator. Then run this to apply again."
            return f"rejected: {progress.reason}", Tone.BAD, how
        case _:
            how = f"The last request is {progress.kind}. Run this to apply again."
            return "not registered", Tone.BAD, how


def _build_run_chart(now: datetime) -> Chart:
    """Build a chart with a column for each ten minutes, the time between two scheduled syncs."""
    start = now - SLOT * SLOTS
    runs = SyncRun.objects.full().filter(started_at__gt=start, started_at__lte=now)
    # Without refused dry runs, and runs that the operator stopped.
    runs = runs.filter(FAILED_Q | ~Q(outcome__in=(Outcome.FAILED, Outcome.REFUSED)))
    slots: defaultdict[int, list[SyncRun]] = defaultdict(list)
    for run in runs.order_by("-started_at", "-id"):
        slots[(run.started_at - start) // SLOT].append(run)
    return Chart(
        title="Full syncs of the last 24 hours, the longest of each ten minutes",
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        series=("seconds",),
        points=[_build_run_point(slots[slot], start + slot * SLOT) for slot in range(SLOTS)],
        tones=_LEGEND,
        unit="s",
    )


def _build_run_point(runs: list[SyncRun], start: datetime) -> Point:
    """Show the longest duration, and the run with the worst outcome, of equal ones the last."""
    if not runs:
        return Point(
            label=_format_minute(start), values=(), text="no full sync", at=start.isoformat()
        )
    run = max(runs, key=lambda each: _FROM_BEST.index(Outcome(each.outcome)))
    seconds = max(each.duration_seconds or 0.0 for each in runs)
    text = f"{run.outcome}, {seconds:.1f} s" if seconds else run.outcome
    if len(runs) > 1:
        text = f"{len(runs)} syncs, the worst {run.outcome}, the longest {seconds:.1f} s"
    return Point(
        label=_format_minute(run.started_at),
        at=run.started_at.isoformat(),
        values=(seconds or 0.001,),
        text=text,
        url=reverse(RUN, args=[run.pk]),
        tone=OUTCOME_TONES.get(Outcome(run.outcome), Tone.INFO),
    )


def _format_minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _build_change_chart(now: datetime) -> Chart:
    days: defaultdict[date, Counter[str]] = defaultdict(Counter)
    runs = SyncRun.objects.written().filter(started_at__gt=now - timedelta(days=CHARTED_DAYS))
    for started_at, counts in runs.values_list("started_at", "counts").iterator():
        for kind, numbers in counts.items():
            days[started_at.date()][kind] += sum(numbers.get(name, 0) for name in CHANGED)
    points = []
    for ago in range(CHARTED_DAYS - 1, -1, -1):
        day = now.date() - timedelta(days=ago)
        changed = [f"{kind} {number:,}" for kind, number in days[day].items() if number]
        query = {"started_at__gte": str(day), "started_at__lt": str(day + timedelta(days=1))}
        points.append(
            Point(
                label=f"{day:%Y-%m-%d}",
                values=[days[day][kind] for kind in KINDS],
                text=", ".join(changed) or "none",
                url=f"{reverse(RUNS)}?{urlencode(query)}",
            )
        )
    return Chart(
        title=f"Changes from ScaiKey, by day, of {CHARTED_DAYS} days",
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        series=KINDS,
        points=points,
    )


def _list_failed_syncs() -> EntryList:
    """List runs that failed or were refused. Skipped rows of partial syncs are tasks instead."""
    failed = SyncRun.objects.filter(FAILED_Q)
    entries = [
        Entry(
            text=run.error_message or "It ended without a message.",
            url=reverse(RUN, args=[run.pk]),
            details=run.error_fix,
            tone=OUTCOME_TONES[Outcome(run.outcome)],
            badge=f"sync {run.outcome}",
            code=run.error_code,
            at=run.started_at.astimezone(UTC).isoformat(timespec="seconds"),
        )
        for run in failed.newest_first()[:MAX_FAILURES]
    ]
    url = f"{reverse(RUNS)}?outcome=failures"
    return list_failures("failed syncs", url, VIEW_RUNS, entries)


def _list_failed_webhooks() -> EntryList:
    failed = WebhookEvent.objects.filter(state=WebhookState.FAILED)
    events = failed.order_by("-received_at", "-id")[:MAX_FAILURES]
    entries = [
        Entry(
            text=f"{event.event_type} {event.scaikey_id}: "
            f"{event.error_message or 'It failed without a message.'}",
            url=reverse("admin:identity_sync_webhookevent_change", args=[event.pk]),
            details="The next full sync reads the record again.",
            tone=Tone.BAD,
            badge="webhook failed",
            code=event.error_code,
            at=event.received_at.astimezone(UTC).isoformat(timespec="seconds"),
        )
        for event in events
    ]
    url = f"{reverse(WEBHOOKS)}?state__exact={WebhookState.FAILED.value}"
    return list_failures("failed webhooks", url, "identity_sync.view_webhookevent", entries)
