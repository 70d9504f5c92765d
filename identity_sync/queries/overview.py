"""What the start page of the admin site shows of the sync."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, Exists, OuterRef
from django.urls import reverse
from django.utils.timesince import timesince

from identity_sync.models import (
    Outcome,
    Registration,
    RegistrationState,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
)
from identity_sync.queries.judgement import RunScope, get_interval, judge_runs
from identity_sync.queries.run_figures import COLUMNS, build_rows, count_differences
from identity_sync.services.registration.credentials import has_credentials
from identity_sync.services.sync.report import KINDS
from scaiwave.admin.formatting import Tone
from scaiwave.admin.overview import (
    Card,
    Chart,
    Entry,
    EntryList,
    OverviewPart,
    OverviewTable,
    Point,
)
from scaiwave.auth.operators import get_host_operator
from scaiwave.console.text import pluralize

RUNS, SKIPS = "admin:identity_sync_syncrun_changelist", "admin:identity_sync_syncskip_changelist"
VIEW_RUNS, VIEW_SKIPS = "identity_sync.view_syncrun", "identity_sync.view_syncskip"
RUN = "admin:identity_sync_syncrun_change"
OUTCOME_TONES = {
    Outcome.APPLIED: Tone.GOOD,
    Outcome.RUNNING: Tone.INFO,
    Outcome.PARTIAL: Tone.WARN,
    Outcome.REFUSED: Tone.BAD,
    Outcome.FAILED: Tone.BAD,
}
SLOT, SLOTS = timedelta(minutes=10), 144
CHARTED_DAYS = 30
MAX_FAILURES = 5
CHANGED = ("added", "updated", "deactivated", "restored")


def build_sync_part(now: datetime) -> OverviewPart:
    return OverviewPart(
        cards=[_build_sync_card(now), _build_skip_card(), _build_registration_card()],
        tables=[_build_drift_table(now)],
        charts=[_build_run_chart(now), _build_change_chart(now)],
        lists=[_list_failures()],
    )


def _build_sync_card(now: datetime) -> Card:
    scope = RunScope(get_host_operator())
    judgement = judge_runs(scope, config=settings.CONFIG, now=now)
    success = judgement.last_success
    details, command = [], ""
    if judgement.running is not None:
        details.append("A sync is in progress.")
    if judgement.problems:
        details += [problem.message for problem in judgement.problems[:2]]
        command = "scaiwave sync status"
    elif success is not None and success.ended_at is not None:
        interval = get_interval(settings.CONFIG)
        every = timesince(now - interval, now).replace("\xa0", " ")
        due = success.started_at + interval
        details.append(f"The next is expected at {due:%H:%M} UTC, one every {every}.")
    return Card(
        title="Last successful full sync",
        value="never"
        if success is None or success.ended_at is None
        else f"{timesince(success.ended_at, now, depth=1)} ago".replace("\xa0", " "),
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        tone=Tone.BAD if judgement.problems else Tone.GOOD,
        details=details,
        command=command,
    )


def _build_skip_card() -> Card:
    counts = dict(SyncSkip.objects.values_list("kind").annotate(Count("pk")).order_by("kind"))
    last = SyncRun.objects.full().ended().newest_first().first()
    command = last.error_fix.partition("`scaiwave ")[2].partition("`")[0] if last else ""
    return Card(
        title="Skipped by the last sync",
        value=f"{sum(counts.values()):,}",
        url=reverse(SKIPS),
        permission=VIEW_SKIPS,
        tone=Tone.WARN if counts else Tone.GOOD,
        details=[f"{kind}: {number:,}" for kind, number in counts.items()],
        command=f"scaiwave {command}" if command and counts else "",
    )


def _build_drift_table(now: datetime) -> OverviewTable:
    """Show the differences from ScaiKey that the last full sync found, without asking ScaiKey."""
    counted = SyncRun.objects.full().ended().exclude(outcome=Outcome.FAILED)
    planned = SyncPlannedChange.objects.filter(run=OuterRef("pk"))
    run: Any = counted.annotate(has_plan=Exists(planned)).newest_first().first()
    return OverviewTable(
        title="Drift by kind",
        url=reverse(RUNS) if run is None else reverse(RUN, args=[run.pk]),
        permission=VIEW_RUNS,
        columns=("Kind", *COLUMNS),
        rows=[] if run is None else build_rows(run, has_plan=run.has_plan),
        details="" if run is None else _describe_drift(run, now),
        empty="No full sync has compared this server with ScaiKey yet.",
    )


def _describe_drift(run: SyncRun, now: datetime) -> str:
    age = timesince(run.started_at, now, depth=1).replace("\N{NO-BREAK SPACE}", " ")
    found = pluralize(count_differences(run), "difference")
    return f"The full sync of {age} ago found {found}. {_DRIFT_ENDS[Outcome(run.outcome)]}"


_DRIFT_ENDS = {
    Outcome.APPLIED: "They are corrected, except what it skipped.",
    Outcome.PARTIAL: "They are corrected, except what it skipped.",
    Outcome.PLANNED: "It was a dry run, so they remain.",
    Outcome.REFUSED: "It was refused, so they remain.",
}


def _build_registration_card() -> Card:
    last = Registration.objects.newest_first().first()
    state = last.state if last is not None else ""
    is_ready = has_credentials(settings.CONFIG)
    if is_ready:
        value, tone, command = "registered", Tone.GOOD, ""
    elif state == RegistrationState.PENDING:
        value, tone, command = "waiting for approval", Tone.WARN, ""
    else:
        value, tone, command = "not registered", Tone.BAD, "scaiwave sync register --url …"
    return Card(
        title="Registration with ScaiKey",
        value=value,
        url=reverse("admin:identity_sync_registration_changelist"),
        permission="identity_sync.view_registration",
        tone=tone,
        details=[last.scaikey_url] if last is not None else [],
        command=command,
    )


def _build_run_chart(now: datetime) -> Chart:
    """Build a chart with a column for each ten minutes, in which the schedule has one sync."""
    start = now - SLOT * SLOTS
    runs = SyncRun.objects.full().filter(started_at__gt=start, started_at__lte=now)
    # Of several runs in a slot the last one stays.
    slots = {(run.started_at - start) // SLOT: run for run in runs.order_by("started_at", "id")}
    return Chart(
        title="Full syncs of the last 24 hours, by duration",
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        series=("seconds",),
        points=[_build_run_point(slots.get(slot), start + slot * SLOT) for slot in range(SLOTS)],
    )


def _build_run_point(run: SyncRun | None, start: datetime) -> Point:
    if run is None:
        return Point(label=_format_minute(start), values=(0,), text="no full sync")
    seconds = run.duration_seconds
    return Point(
        label=_format_minute(run.started_at),
        values=(seconds or 0.001,),
        text=run.outcome if seconds is None else f"{run.outcome}, {seconds:.1f} s",
        url=reverse("admin:identity_sync_syncrun_change", args=[run.pk]),
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
    return Chart(
        title=f"Changes from ScaiKey, by day, of {CHARTED_DAYS} days",
        url=reverse(RUNS),
        permission=VIEW_RUNS,
        series=KINDS,
        points=[
            Point(
                label=f"{day:%Y-%m-%d}",
                values=[days[day][kind] for kind in KINDS],
                text=_describe_changes(days[day]),
                url=f"{reverse(RUNS)}?{urlencode(_select_day(day))}",
            )
            for day in _iter_days(now)
        ],
    )


def _describe_changes(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {number:,}" for kind, number in counts.items() if number) or "none"


def _iter_days(now: datetime) -> Iterator[date]:
    for ago in range(CHARTED_DAYS - 1, -1, -1):
        yield now.date() - timedelta(days=ago)


def _select_day(day: date) -> dict[str, str]:
    return {"started_at__gte": str(day), "started_at__lt": str(day + timedelta(days=1))}


def _list_failures() -> EntryList:
    failed = SyncRun.objects.filter(outcome__in=[Outcome.FAILED, Outcome.REFUSED, Outcome.PARTIAL])
    return EntryList(
        title="Last failed syncs",
        url=f"{reverse(RUNS)}?outcome__exact={Outcome.FAILED.value}",
        permission=VIEW_RUNS,
        entries=[
            Entry(
                text=f"{run.error_code} {run.error_message}".strip() or run.outcome,
                url=reverse("admin:identity_sync_syncrun_change", args=[run.pk]),
                details=run.error_fix,
                tone=OUTCOME_TONES.get(Outcome(run.outcome), Tone.NEUTRAL),
                badge=run.outcome,
                at=run.started_at.isoformat(timespec="seconds"),
            )
            for run in failed.newest_first()[:MAX_FAILURES]
        ],
        empty="No sync has failed.",
    )
