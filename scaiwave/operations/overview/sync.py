"""What the start page of the admin site shows of the sync."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import BooleanField, Case, Count, Exists, OuterRef, When
from django.urls import reverse
from django.utils.timesince import timesince

from identity_sync.errors import SyncFailing
from identity_sync.models import (
    Outcome,
    Registration,
    RegistrationState,
    SyncPlannedChange,
    SyncRun,
    SyncRunQuerySet,
    SyncSkip,
    WebhookEvent,
    WebhookState,
)
from identity_sync.registration.credentials import has_credentials
from identity_sync.registration.missing import describe_missing_registration
from identity_sync.report import KINDS
from identity_sync.reports.health import judge_sync
from identity_sync.reports.judgement import MAX_FAILURES as MAX_FAILED_RUNS
from identity_sync.reports.judgement import RunScope, get_interval
from identity_sync.reports.run_figures import (
    COLUMNS,
    NOT_APPLIED,
    OUTCOME_TONES,
    build_rows,
    count_differences,
)
from identity_sync.reports.tenant_figures import IS_REMOVAL
from scaiwave.console.text import pluralize
from scaiwave.core.errors import CredentialsIncomplete
from scaiwave.core.operators import get_host_operator
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
)

RUNS, SKIPS = "admin:identity_sync_syncrun_changelist", "admin:identity_sync_syncskip_changelist"
VIEW_RUNS, VIEW_SKIPS = "identity_sync.view_syncrun", "identity_sync.view_syncskip"
RUN = "admin:identity_sync_syncrun_change"
WEBHOOKS = "admin:identity_sync_webhookevent_changelist"
REGISTER = "scaiwave sync register"
SLOT, SLOTS = timedelta(minutes=10), 144
CHARTED_DAYS = 30
MAX_RECENT = 10
_FROM_BEST = (Outcome.PLANNED, Outcome.APPLIED, Outcome.RUNNING, *reversed(NOT_APPLIED))
_LEGEND = (
    ("applied", Tone.GOOD),
    ("partial", Tone.WARN),
    ("refused or failed", Tone.BAD),
    ("running or a dry run", Tone.INFO),
)
CHANGED = ("added", "updated", "deactivated", "restored")


def build_sync_part(now: datetime) -> OverviewPart:
    recent = list(_list_ended()[:MAX_RECENT])
    return OverviewPart(
        cards=[_build_sync_card(recent, now), _build_skip_card(recent), _build_registration_card()],
        tables=[_build_drift_table(recent, now)],
        charts=[_build_run_chart(now), _build_change_chart(now)],
        lists=[_list_failed_syncs(), _list_failed_webhooks()],
    )


def _list_ended() -> SyncRunQuerySet:
    """Return the full runs that have ended, with `has_plan` as `build_rows` needs it."""
    planned = SyncPlannedChange.objects.filter(run=OuterRef("pk"))
    return SyncRun.objects.full().ended().annotate(has_plan=Exists(planned)).newest_first()


def _find_written(runs: Sequence[SyncRun]) -> SyncRun | None:
    """Return the newest run that was not a dry run."""
    return next((run for run in runs if run.outcome != Outcome.PLANNED), None)


def _build_sync_card(recent: Sequence[SyncRun], now: datetime) -> Card:
    scope = RunScope(get_host_operator())
    health = judge_sync(scope, config=settings.CONFIG, now=now)
    judgement = health.judgement
    success = judgement.last_success
    details, command = [], ""
    if judgement.running is not None:
        details.append("A sync is in progress.")
    if health.problems:
        cause = next((run.error_message for run in recent if run.outcome in NOT_APPLIED), "")
        for problem in health.problems[:2]:
            if isinstance(problem, SyncFailing) and cause:
                # The cause instead of codes.
                latest = f"The last {MAX_FAILED_RUNS} full syncs failed. The latest: {cause}"
                details.append(latest)
            else:
                details.append(problem.message)
        command = health.problems[0].command or "scaiwave sync status"
    elif (last := _find_written(recent)) is not None and last.outcome in NOT_APPLIED:
        details.append("The last sync was not applied completely: see the last failures.")
    details += [warning.message for warning in health.warnings]
    if judgement.running is None:
        is_scheduled = health.schedule.source is not None
        details += _describe_next(_find_written(recent) or success, now, is_scheduled=is_scheduled)
    has_succeeded = success is not None and success.ended_at is not None
    return Card(
        title="Last successful full sync",
        value=f"{_format_age(success.ended_at, now)} ago"
        if success is not None and success.ended_at is not None
        else "never",
        url=f"{reverse(RUNS)}?outcome=applied" if has_succeeded else reverse(RUNS),
        permission=VIEW_RUNS,
        tone=Tone.BAD if health.problems else Tone.WARN if health.warnings else Tone.GOOD,
        details=details,
        command=command,
    )


def _describe_next(last: SyncRun | None, now: datetime, *, is_scheduled: bool) -> list[str]:
    """Return when the next full sync is due, one interval after the last one began.

    None is expected if no one starts it.
    """
    if last is None:
        return []
    interval = get_interval(settings.CONFIG)
    every = timesince(now - interval, now).replace("\N{NO-BREAK SPACE}", " ")
    due = last.started_at + interval
    if due >= now and not is_scheduled:
        return []
    day = "" if due.date() == now.date() else f"{due:%Y-%m-%d} "
    when = "was due" if due < now else "is expected"
    return [f"The next {when} at {day}{due:%H:%M} UTC, one every {every}."]


def _format_age(at: datetime, now: datetime) -> str:
    return timesince(at, now, depth=1).replace("\N{NO-BREAK SPACE}", " ")


def _build_skip_card(recent: Sequence[SyncRun]) -> Card:
    """Count removals apart from rows: these are unusable, or need something that another has."""
    is_removal = Case(When(IS_REMOVAL, then=True), default=False, output_field=BooleanField())
    numbers = SyncSkip.objects.order_by("kind").values_list("kind", is_removal)
    counts = {
        (kind, is_removal): number
        for kind, is_removal, number in numbers.annotate(number=Count("pk"))
    }
    last = _find_written(recent)
    command = last.fix_command if last else ""
    total = sum(counts.values())
    details = []  # such as "8 removals: participants 7, groups 1"
    for removes, noun in ((True, "removal"), (False, "record")):
        kinds = {kind: number for (kind, removed), number in counts.items() if removed is removes}
        if kinds:
            listed = ", ".join(f"{kind} {number:,}" for kind, number in kinds.items())
            details.append(f"{pluralize(sum(kinds.values()), noun)}: {listed}")
    return Card(
        title="Skipped by the last sync",
        value=f"{total:,}",
        url=reverse(SKIPS),
        permission=VIEW_SKIPS,
        tone=Tone.WARN if counts else Tone.GOOD,
        details=details,
        command=(command or "scaiwave sync --dry-run -v 2") if counts else "",
    )


def _build_drift_table(recent: Sequence[SyncRun], now: datetime) -> OverviewTable:
    """Show the differences from ScaiKey that the last full sync found, without asking ScaiKey."""
    run: Any = next((run for run in recent if run.outcome != Outcome.FAILED), None)
    if run is None and recent:
        run = _list_ended().exclude(outcome=Outcome.FAILED).first()
    details = ""
    if run is not None:
        found = pluralize(count_differences(run), "difference")
        age = _format_age(run.started_at, now)
        details = f"The full sync of {age} ago found {found}. {_DRIFT_ENDS[Outcome(run.outcome)]}"
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
    Outcome.APPLIED: "They are corrected, except for skipped rows.",
    Outcome.PARTIAL: "They are corrected, except for skipped rows.",
    Outcome.PLANNED: "It was a dry run, so they remain.",
    Outcome.REFUSED: "It was refused, so they remain.",
}


def _build_registration_card() -> Card:
    last = Registration.objects.newest_first().first()
    value, tone, details, command = _describe_registration(last)
    return Card(
        title="Registration with ScaiKey",
        value=value,
        url=reverse("admin:identity_sync_registration_changelist"),
        permission="identity_sync.view_registration",
        tone=tone,
        details=[*details, *([last.scaikey_url] if last is not None else [])],
        command=command,
    )


def _describe_registration(last: Registration | None) -> tuple[str, Tone, list[str], str]:
    """Return value, tone, details and command, as `describe_missing_registration` judges."""
    is_pending = last is not None and last.state == RegistrationState.PENDING
    if has_credentials(settings.CONFIG):
        waiting = ["A request for other credentials waits for approval."] if is_pending else []
        return "registered", Tone.GOOD, waiting, REGISTER if is_pending else ""
    problem = describe_missing_registration(settings.CONFIG)
    if isinstance(problem, CredentialsIncomplete):
        return "credentials incomplete", Tone.BAD, [problem.message], REGISTER
    if last is None:
        return "not registered", Tone.BAD, [], f"{REGISTER} --url …"
    match last.state:
        case RegistrationState.PENDING:
            how = "A ScaiKey administrator has to approve the request. Run this afterwards."
            return "waiting for approval", Tone.WARN, [how], REGISTER
        case RegistrationState.APPROVED:
            how = (
                "ScaiKey has approved the request, but this server has no credentials. Restore "
                "the configuration file, or run this to fetch them or to register again."
            )
            return "approved, credentials missing", Tone.BAD, [how], REGISTER
        case RegistrationState.REJECTED:
            reason = last.rejection_reason.rstrip(".") or "no reason given"
            how = "Resolve it with a ScaiKey administrator. Then run this to apply again."
            return f"rejected: {reason}", Tone.BAD, [how], REGISTER
        case _:
            how = f"The last request is {last.state.lower()}. Run this to apply again."
            return "not registered", Tone.BAD, [how], REGISTER


def _build_run_chart(now: datetime) -> Chart:
    """Build a chart with a column for each ten minutes, in which the schedule has one sync."""
    start = now - SLOT * SLOTS
    runs = SyncRun.objects.full().filter(started_at__gt=start, started_at__lte=now)
    slots: dict[int, SyncRun] = {}
    for run in runs.order_by("started_at", "id"):
        slot = (run.started_at - start) // SLOT
        # Of several runs in a slot that with the worst outcome stays, and of equal ones the last.
        if slot not in slots or _rank(run) >= _rank(slots[slot]):
            slots[slot] = run
    return Chart(
        title="Full syncs of the last 24 hours, by duration",
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        series=("seconds",),
        points=[_build_run_point(slots.get(slot), start + slot * SLOT) for slot in range(SLOTS)],
        tones=_LEGEND,
    )


def _rank(run: SyncRun) -> int:
    return _FROM_BEST.index(Outcome(run.outcome))


def _build_run_point(run: SyncRun | None, start: datetime) -> Point:
    if run is None:
        return Point(label=_format_minute(start), values=(0,), text="no full sync")
    seconds = run.duration_seconds
    return Point(
        label=_format_minute(run.started_at),
        values=(seconds or 0.001,),
        text=run.outcome if seconds is None else f"{run.outcome}, {seconds:.1f} s",
        url=reverse(RUN, args=[run.pk]),
        tone=OUTCOME_TONES.get(Outcome(run.outcome), Tone.NEUTRAL),
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
    failed = SyncRun.objects.filter(outcome__in=NOT_APPLIED)
    entries = [_describe_failed_sync(run) for run in failed.newest_first()[:MAX_FAILURES]]
    url = f"{reverse(RUNS)}?outcome=not_applied"
    return list_failures("failed syncs", url, VIEW_RUNS, entries)


def _describe_failed_sync(run: SyncRun) -> Entry:
    what = (
        "It was applied, except for skipped rows."
        if run.outcome == Outcome.PARTIAL
        else ("It ended without a message.")
    )
    return Entry(
        text=run.error_message or what,
        url=reverse(RUN, args=[run.pk]),
        details=run.error_fix or f"`scaiwave sync show-run {run.pk}` shows its changes.",
        tone=OUTCOME_TONES[Outcome(run.outcome)],
        badge=f"sync {run.outcome}",
        code=run.error_code,
        at=run.started_at.astimezone(UTC).isoformat(timespec="seconds"),
    )


def _list_failed_webhooks() -> EntryList:
    failed = WebhookEvent.objects.filter(state=WebhookState.FAILED)
    events = failed.order_by("-received_at", "-id")[:MAX_FAILURES]
    entries = [
        Entry(
            text=f"{event.event_type} {event.scaikey_id}: "
            f"{event.error_message or 'It failed without a message.'}",
            url=reverse("admin:identity_sync_webhookevent_change", args=[event.pk]),
            details="The next full sync reads the record again: `scaiwave sync`.",
            tone=Tone.BAD,
            badge="webhook failed",
            code=event.error_code,
            at=event.received_at.astimezone(UTC).isoformat(timespec="seconds"),
        )
        for event in events
    ]
    url = f"{reverse(WEBHOOKS)}?state__exact={WebhookState.FAILED.value}"
    return list_failures("failed webhooks", url, "identity_sync.view_webhookevent", entries)
