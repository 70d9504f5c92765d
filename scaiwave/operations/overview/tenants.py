"""What the start page of the admin site shows of tenants, people, usage and operators."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from heapq import nlargest
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.urls import reverse
from django.utils.timesince import timesince

from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission, get_host_operator
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.jobs.overview import find_worker_problem
from scaiwave.site.formatting import NEAR_LIMIT, Tone, clean_text
from scaiwave.site.overview import Card, CardLink, Chart, Entry, EntryList, OverviewPart, Point
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.subjects import load_participant_names
from tenants.lookup.visibility import visible_participants, visible_tenants
from tenants.models import (
    ACTIVE,
    AuditEntry,
    DailyFigures,
    DoctorRun,
    Tenant,
    TokenUsage,
)
from tenants.people.queries.figures import LIMITS, build_figures, build_limit
from tenants.people.queries.tenants import usage_month

if TYPE_CHECKING:
    from scaiwave.operations.jobs.job_pages import JobPage
    from scaiwave.operations.jobs.queue_state import QueuedJob
    from scaiwave.queue.heartbeats import SchedulerBeat, WorkerBeat

TENANTS = "admin:tenants_tenant_changelist"
USAGE = "admin:tenants_tokenusage_changelist"
VIEW_TENANTS = "tenants.view_tenant"
MAX_ENTRIES = 10
MAX_FAILURES = 5
VIEW_JOBS = "tenants.view_auditentry"
CHARTED_MONTHS = 12
CHARTED_DAYS = 90
REDIS_TIMEOUT_SECONDS = 2.0
_BAD_STATES = (State.WARN.value, State.FAIL.value)
BATCH_SIZE = 2000


def build_tenant_part(now: datetime) -> OverviewPart:
    part = _build_part(get_host_operator(), now)
    cards, failures = _build_process_parts(now)
    return OverviewPart(
        cards=[*part.cards, _build_doctor_card(now), *cards],
        charts=[*_build_size_charts(now), *part.charts],
        lists=[*failures, *part.lists],
    )


def build_limited_part(operator: Operator, now: datetime) -> OverviewPart:
    """Return what an operator sees who is limited to some tenants: figures of these alone."""
    operator.require(Permission.VIEW)
    return _build_part(operator, now)


def _build_part(operator: Operator, now: datetime) -> OverviewPart:
    tenants = visible_tenants(operator)
    usage, entries = TokenUsage.objects.all(), AuditEntry.objects.all()
    if not operator.sees_everything:
        usage = usage.filter(tenant__in=tenants)
        keys = tenants.values_list("pk", flat=True)
        entries = entries.filter(tenant_id__in=[str(key) for key in keys])
    shares = list(_iter_shares(tenants, now))
    totals = usage.values_list("month").annotate(total=Sum("total_tokens"))
    months = dict(totals.order_by("-month")[:CHARTED_MONTHS])  # the newest first
    people = visible_participants(operator).filter(MEMBERS).count()
    people_url = reverse("admin:tenants_participant_changelist")
    return OverviewPart(
        cards=[
            _build_tenant_card(tenants),
            Card(
                title="People",
                value=f"{people:,}",
                url=f"{people_url}?status=active&participant_type__exact=human",
                permission="tenants.view_participant",
                details=["Active people, without AI and bridges."],
            ),
            _build_limit_card(shares),
            _build_token_card(months, now),
        ],
        charts=[
            Chart(
                title="AI tokens by month",
                url=reverse(USAGE),
                permission="tenants.view_tokenusage",
                series=("tokens",),
                points=[
                    Point(f"{month:%Y-%m}", (total,), f"{total:,} tokens", _list_usage(month))
                    for month, total in reversed(months.items())
                ],
            )
        ],
        lists=[_list_nearest(shares), _list_acts(entries)],
    )


def _build_tenant_card(tenants: QuerySet[Tenant]) -> Card:
    counts = tenants.aggregate(
        active=Count("pk", filter=ACTIVE),
        suspended=Count("pk", filter=status_q("suspended")),
        deactivated=Count("pk", filter=status_q("deactivated")),
    )
    return Card(
        title="Active tenants",
        value=f"{counts['active']:,}",
        url=f"{reverse(TENANTS)}?status=active",
        permission=VIEW_TENANTS,
        links=[
            CardLink(f"{counts[status]:,} {status}", f"{reverse(TENANTS)}?status={status}")
            for status in ("suspended", "deactivated")
        ],
    )


def _iter_shares(
    tenants: QuerySet[Tenant], now: datetime
) -> Iterator[tuple[float, str, str, UUID]]:
    """Yield each active tenant with the greatest share that it uses of a limit.

    Yields share, slug, limit and id. The greatest is chosen here, because SQL would compute each
    figure again.
    """
    used = build_figures(LIMITS, now)
    figures = {f"use_of_{name}": figure for name, figure in used.items()}
    limits = {f"limit_of_{name}": build_limit(name) for name in used}
    active = tenants.filter(ACTIVE).annotate(**figures, **limits)
    rows = active.values("pk", "slug", *figures, *limits)
    for row in rows.iterator(chunk_size=BATCH_SIZE):
        shares = ((_divide(row[f"use_of_{name}"], row[f"limit_of_{name}"]), name) for name in used)
        share, name = max(shares, default=(0.0, ""))
        if share:
            yield share, row["slug"], name, row["pk"]


def _divide(number: int | None, limit: int | None) -> float:
    """Return the share of a limit, 0 without one. The first one uses up a limit of 0."""
    if not number or limit is None:
        return 0.0
    return number / limit if limit else 1.0


def _build_limit_card(shares: list[tuple[float, str, str, UUID]]) -> Card:
    near = sum(share >= NEAR_LIMIT for share, *_ in shares)
    full = sum(share >= 1 for share, *_ in shares)
    address = f"{reverse(TENANTS)}?status=active&limits="
    return Card(
        title="Tenants near a limit",
        value=f"{near:,}",
        url=f"{address}near",
        permission=VIEW_TENANTS,
        tone=Tone.BAD if full else Tone.WARN if near else Tone.GOOD,
        links=[CardLink(f"{full:,} at a limit", f"{address}full")],
        details=[f"They use {NEAR_LIMIT:.0%} or more of a limit."],
    )


def _build_token_card(months: dict[date, int], now: datetime) -> Card:
    month = usage_month(now)
    return Card(
        title="AI tokens this month",
        value=f"{months[month]:,}" if month in months else "unknown",
        url=_list_usage(month),
        permission="tenants.view_tokenusage",
        details=[f"Of {month:%Y-%m}, as ScaiGrid last reported."],
        command="" if month in months else "scaiwave admin refresh-usage",
    )


def _list_usage(month: date) -> str:
    return f"{reverse(USAGE)}?month={month:%Y-%m}"


def _build_doctor_card(now: datetime) -> Card:
    """Show the last run of `doctor`, which the page never runs itself."""
    run = DoctorRun.objects.first()
    if run is None:
        value, tone, details = "never", Tone.WARN, []
    else:
        bad = [each for each in run.findings if each["state"] in _BAD_STATES]
        tone = Tone.GOOD if not bad else Tone.WARN if run.is_healthy else Tone.BAD
        value = pluralize(len(bad), "finding") if bad else "all is well"
        age = timesince(run.ran_at, now, depth=1).replace("\N{NO-BREAK SPACE}", " ")
        details = [each["message"] for each in bad[:2]] + [f"It last ran {age} ago."]
    return Card(
        title="Doctor",
        value=value,
        url=reverse("admin:tenants_doctorrun_changelist")
        if run is None
        else reverse("admin:tenants_doctorrun_change", args=[run.pk]),
        permission="tenants.view_doctorrun",
        tone=tone,
        details=details,
        command="" if tone is Tone.GOOD else "scaiwave doctor",
    )


def _build_process_parts(now: datetime) -> tuple[list[Card], list[EntryList]]:
    """Return the cards of workers and scheduler, and the failed jobs, as the page of jobs has them.

    Without Redis there is one card: cron does the work.
    """
    url = reverse("admin:jobs")
    if not settings.REDIS_URL:
        details = ["Without Redis there are no workers: cron runs the commands of the schedule."]
        return [Card("Background jobs", "run by cron", url, VIEW_JOBS, details=details)], []
    from scaiwave.operations.jobs.job_pages import read_job_page
    from scaiwave.operations.jobs.queue_state import JobState
    from scaiwave.queue.connection import open_redis
    from scaiwave.queue.heartbeats import list_schedulers, list_workers

    try:
        with open_redis(timeout=REDIS_TIMEOUT_SECONDS) as redis:
            workers, schedulers = list_workers(redis), list_schedulers(redis)
            failed = read_job_page(redis, JobState.FAILED, number=1, size=MAX_FAILURES)
    except ScaiWaveError as error:
        card = Card("Workers", "unknown", url, VIEW_JOBS, Tone.BAD, [error.message])
        return [replace(card, command="scaiwave doctor")], []
    cards = [_build_worker_card(workers, failed, now), _build_scheduler_card(schedulers)]
    failed_url = f"{url}?state=failed#jobs"
    entries = [_describe_failed_job(job, failed_url) for job in failed.jobs]
    return cards, [list_failures("failed jobs", failed_url, VIEW_JOBS, entries)]


def _build_worker_card(workers: list[WorkerBeat], page: JobPage, now: datetime) -> Card:
    from scaiwave.operations.jobs.queue_state import JobState

    bad = sum(bool(find_worker_problem(beat, now)) for beat in workers)
    waiting, failed = page.counts[JobState.WAITING], page.counts[JobState.FAILED]
    jobs = reverse("admin:jobs")
    if bad == len(workers):
        tone, command = Tone.BAD, "scaiwave worker"
    else:
        tone = Tone.WARN if bad or failed else Tone.GOOD
        command = "scaiwave jobs list" if failed else ""
    return Card(
        title="Workers",
        value=f"{bad:,} of {len(workers):,} need attention" if bad else f"{len(workers):,}",
        url=jobs,
        permission=VIEW_JOBS,
        tone=tone,
        links=[
            CardLink(f"{pluralize(waiting, 'job')} waiting", f"{jobs}?state=waiting#jobs"),
            CardLink(f"{failed:,} failed", f"{jobs}?state=failed#jobs"),
        ],
        command=command,
    )


def _build_scheduler_card(schedulers: list[SchedulerBeat]) -> Card:
    is_active = any(beat.is_active for beat in schedulers)
    return Card(
        title="Scheduler",
        value="running" if is_active else "not detected",
        url=reverse("admin:jobs"),
        permission=VIEW_JOBS,
        tone=Tone.GOOD if is_active else Tone.BAD,
        details=[] if is_active else ["Without a scheduler no sync starts by itself."],
        command="" if is_active else "scaiwave scheduler",
    )


def list_failures(name: str, url: str, permission: str, entries: list[Entry]) -> EntryList:
    """Return a part of the list of failures: each app adds its own."""
    return EntryList(
        title="Last failures",
        url=url,
        permission=permission,
        entries=entries,
        empty="No failures are recorded.",
        name=name,
        latest=MAX_FAILURES,
    )


def _describe_failed_job(job: QueuedJob, url: str) -> Entry:
    """What Redis has is untrusted: anyone who reaches it may have written the texts."""
    record = job.record
    error = record.error if record is not None else None
    name = record.definition.name if record is not None else clean_text(job.id)
    if error is not None:
        text, fix = clean_text(error["message"]), clean_text(error["fix"])
    else:
        text, fix = f"It can't be run: {clean_text(job.problem)}." if job.problem else "", ""
    ended_at = record.ended_at if record is not None else None
    return Entry(
        text=f"{name}: {text or 'it failed without a message.'}",
        url=url,
        details=fix or f"`scaiwave jobs show {shlex.quote(clean_text(job.id))}` shows the job.",
        tone=Tone.BAD,
        badge="job failed",
        code=clean_text(error["code"]) if error is not None else "",
        at=ended_at.astimezone(UTC).isoformat(timespec="seconds") if ended_at else "",
    )


def _build_size_charts(now: datetime) -> list[Chart]:
    first = now.date() - timedelta(days=CHARTED_DAYS - 1)
    recorded = {each.day: each for each in DailyFigures.objects.filter(day__gte=first)}
    days = [first + timedelta(days=number) for number in range(CHARTED_DAYS)]
    return [
        Chart(
            title=f"{title}, over {CHARTED_DAYS} days",
            url=reverse("admin:tenants_dailyfigures_changelist"),
            permission="tenants.view_dailyfigures",
            series=(name,),
            points=[
                Point(
                    label=f"{day:%Y-%m-%d}",
                    values=(getattr(recorded[day], name) if day in recorded else 0,),
                    text=format_figure(getattr(recorded[day], name)) if day in recorded else "-",
                )
                for day in days
            ],
        )
        for title, name, format_figure in (
            ("People", "members", "{:,}".format),
            ("Rooms", "rooms", "{:,}".format),
            ("Storage", "storage_bytes", format_bytes),
        )
    ]


def _list_nearest(shares: list[tuple[float, str, str, UUID]]) -> EntryList:
    return EntryList(
        title="Nearest to a limit",
        url=f"{reverse(TENANTS)}?status=active",
        permission=VIEW_TENANTS,
        entries=[
            Entry(
                text=slug,
                url=reverse("admin:tenants_tenant_change", args=[tenant_id]),
                details=_LIMIT_NAMES[name],
                tone=Tone.BAD if share >= 1 else Tone.WARN if share >= NEAR_LIMIT else Tone.NEUTRAL,
                badge=f"{share:.0%}",
            )
            for share, slug, name, tenant_id in nlargest(MAX_ENTRIES, shares)
        ],
        empty="No active tenant uses any of its limits.",
    )


_LIMIT_NAMES = {
    "participants": "of its participants (people, AI and bridges)",
    "rooms": "of its rooms",
    "storage_bytes": "of its storage",
    "ai_tokens": "of its AI tokens this month",
}


def _list_acts(entries: QuerySet[AuditEntry]) -> EntryList:
    latest = list(entries.order_by("-at", "-id")[:MAX_ENTRIES])
    names = load_participant_names(latest)
    return EntryList(
        title="Last actions of operators",
        url=reverse("admin:tenants_auditentry_changelist"),
        permission="tenants.view_auditentry",
        entries=[
            Entry(
                text=f"{entry.action} {names.get(entry.subject_id, entry.subject_name)}".strip(),
                url=reverse("admin:tenants_auditentry_change", args=[entry.pk]),
                details=f"by {entry.operator}",
                at=entry.at.isoformat(timespec="seconds"),
            )
            for entry in latest
        ],
        empty="No actions are recorded.",
    )
