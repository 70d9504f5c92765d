"""What the start page of the admin site shows of tenants, people, usage and operators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.urls import reverse

from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission, get_host_operator
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.jobs.overview import find_worker_problem
from scaiwave.queue.definitions import FAILED, WAITING
from scaiwave.site.formatting import NEAR_LIMIT, Tone, clean_text
from scaiwave.site.overview import (
    Card,
    CardLink,
    Chart,
    Entry,
    EntryList,
    OverviewPart,
    Point,
    Task,
)
from tenants.lookup.status_filters import status_q
from tenants.lookup.subjects import load_participant_names
from tenants.lookup.visibility import visible_participants, visible_tenants
from tenants.models import (
    ACTIVE,
    AuditEntry,
    DailyFigures,
    DoctorRun,
    ParticipantType,
    TokenUsage,
)
from tenants.people.queries.figures import LimitShare, load_shares
from tenants.people.queries.tenants import usage_month
from tenants.roles.rules import describe

if TYPE_CHECKING:
    from scaiwave.queue.heartbeats import WorkerBeat
    from scaiwave.queue.rq_queue import SuiteJob

TENANTS = "admin:tenants_tenant_changelist"
PEOPLE = "admin:tenants_participant_changelist"
USAGE = "admin:tenants_tokenusage_changelist"
VIEW_TENANTS = "tenants.view_tenant"
MAX_ENTRIES = 10
MAX_FAILURES = 5
VIEW_JOBS = "tenants.view_auditentry"
CHARTED_MONTHS = 12
CHARTED_DAYS = 90
_BAD_STATES = (State.WARN.value, State.FAIL.value)
_JUDGED_CHECKS = {"keys", "limits", "scheduler", "search", "sync"}
"""The checks of `doctor` whose problems are tasks already, as they are now."""
MAX_NAMED = 3


def build_tenant_part(now: datetime) -> OverviewPart:
    part = _build_part(get_host_operator(), now)
    processes, doctor = _build_process_part(now), _build_doctor_part()
    return OverviewPart(
        tasks=[*processes.tasks, *part.tasks, *doctor.tasks],
        health=[*processes.health, *doctor.health],
        volumes=part.volumes,
        charts=[*_build_size_charts(now), *part.charts],
        lists=[*processes.lists, *part.lists],
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
    within = None if operator.sees_everything else tenants
    shares = load_shares(tenants.filter(ACTIVE), now, within=within)
    shares.sort(key=lambda each: each.share, reverse=True)
    totals = usage.values_list("month").annotate(total=Sum("total_tokens"))
    months = dict(totals.order_by("-month")[:CHARTED_MONTHS])  # the newest first
    humans = visible_participants(operator).filter(participant_type=ParticipantType.HUMAN)
    month = usage_month(now)
    tokens = f"{months[month]:,}" if month in months else "unknown"
    return OverviewPart(
        tasks=_list_full_tenants(shares),
        volumes=[
            _build_status_card("Active tenants", VIEW_TENANTS, tenants, f"{reverse(TENANTS)}?"),
            _build_status_card(
                "People",
                "tenants.view_participant",
                humans,
                f"{reverse(PEOPLE)}?participant_type__exact=human&",
                details=["Active, without AI and bridges"],
            ),
            Card("AI tokens this month", tokens, _list_usage(month), "tenants.view_tokenusage"),
        ],
        charts=[_build_token_chart(months, now)],
        lists=[_list_nearest(shares), _list_acts(entries)],
    )


def _build_status_card(
    title: str, permission: str, rows: QuerySet[Any], url: str, details: Sequence[str] = ()
) -> Card:
    """Count the active ones, and those who can't sign in. `url` is their list, up to a filter."""
    counts = rows.order_by().aggregate(
        **{each: Count("pk", filter=status_q(each)) for each in ("active", *_BLOCKED)}
    )
    return Card(
        title=title,
        value=f"{counts['active']:,}",
        url=f"{url}status=active",
        permission=permission,
        details=details,
        links=[CardLink(f"{counts[each]:,} {each}", f"{url}status={each}") for each in _BLOCKED],
    )


_BLOCKED = ("suspended", "deactivated")


def _list_full_tenants(shares: list[LimitShare]) -> list[Task]:
    full = [each for each in shares if each.share >= 1]
    if not full:
        return []
    named = [
        f"{each.slug} ({each.share:.0%} {_LIMIT_NAMES[each.name]})" for each in full[:MAX_NAMED]
    ]
    more = ", …" if len(full) > MAX_NAMED else "."
    what = "tenant has reached a limit" if len(full) == 1 else "tenants have reached a limit"
    return [
        Task(
            f"{len(full):,} {what}.",
            VIEW_TENANTS,
            details=[", ".join(named) + more],
            button=f"Show {pluralize(len(full), 'tenant')}",
            url=f"{reverse(TENANTS)}?status=active&limits=full",
        )
    ]


def _list_usage(month: date) -> str:
    return f"{reverse(USAGE)}?month={month:%Y-%m}"


def _build_token_chart(months: dict[date, int], now: datetime) -> Chart:
    """Show twelve months, however few have a value."""
    last = now.year * 12 + now.month - 1
    points = []
    for number in range(last - CHARTED_MONTHS + 1, last + 1):
        month = date(number // 12, number % 12 + 1, 1)
        total = months.get(month)
        values, text = ((), "unknown") if total is None else ((total,), f"{total:,} tokens")
        points.append(Point(f"{month:%Y-%m}", values, text, _list_usage(month)))
    return Chart(
        title="AI tokens by month",
        url=reverse(USAGE),
        permission="tenants.view_tokenusage",
        series=("tokens",),
        points=points,
    )


def _build_doctor_part() -> OverviewPart:
    """Show the last run of `doctor`, which the page never runs itself.

    Findings that the page has judged itself are not tasks again.
    """
    permission = "tenants.view_doctorrun"
    run = DoctorRun.objects.first()
    if run is None:
        url = reverse("admin:tenants_doctorrun_changelist")
        task = Task("The checks of `doctor` have never run.", permission, command="scaiwave doctor")
        return OverviewPart([task], [Card("Doctor", "never run", url, permission, Tone.WARN)])
    url = reverse("admin:tenants_doctorrun_change", args=[run.pk])
    bad = [each for each in run.findings if each["state"] in _BAD_STATES]
    tone = Tone.GOOD if not bad else Tone.WARN if run.is_healthy else Tone.BAD
    value = pluralize(len(bad), "finding") if bad else "no findings"
    card = Card("Doctor", value, url, permission, tone, at=run.ran_at.isoformat(timespec="seconds"))
    others = [each for each in bad if each["check"] not in _JUDGED_CHECKS]
    if not others:
        return OverviewPart(health=[card])
    task = Task(
        f"{pluralize(len(others), 'check')} of `doctor` need{'s' * (len(others) == 1)} attention.",
        permission,
        tone,
        details=[each["message"] for each in others[:MAX_NAMED]],
        button="Show the findings",
        url=url,
        command="scaiwave doctor",
    )
    return OverviewPart([task], [card])


def _build_process_part(now: datetime) -> OverviewPart:
    """Return workers and scheduler, and the failed jobs, as the page of jobs has them.

    Without Redis there is one card: cron does the work.
    """
    url = reverse("admin:jobs")
    if not settings.REDIS_URL:
        return OverviewPart(health=[Card("Background jobs", "run by cron", url, VIEW_JOBS)])
    from scaiwave.operations.jobs.jobs_in_redis import count_jobs, load_jobs
    from scaiwave.queue.connection import open_redis
    from scaiwave.queue.heartbeats import list_schedulers, list_workers

    try:
        with open_redis() as redis:
            workers, schedulers = list_workers(redis), list_schedulers(redis)
            counts = [sum(count_jobs(redis, state).values()) for state in (WAITING, FAILED)]
            failed = load_jobs(redis, FAILED, limit=MAX_FAILURES)
    except ScaiWaveError as error:
        task = Task(error.message, VIEW_JOBS, Tone.BAD, [error.fix])
        return OverviewPart([task], [Card("Workers", "unknown", url, VIEW_JOBS, Tone.BAD)])
    worker_tasks, worker_card = _judge_workers(workers, *counts, now=now)
    is_active = any(beat.is_active for beat in schedulers)
    tone, value = (Tone.GOOD, "running") if is_active else (Tone.BAD, "not detected")
    if not is_active:
        what = "No scheduler is running, so that nothing starts by itself."
        show = {"button": "Show the schedule", "url": url}
        worker_tasks.append(Task(what, VIEW_JOBS, tone, command="scaiwave scheduler", **show))
    failed_url = f"{url}?state=failed#jobs"
    entries = [_describe_failed_job(job, failed_url) for job in failed[:MAX_FAILURES]]
    return OverviewPart(
        tasks=worker_tasks,
        health=[worker_card, Card("Scheduler", value, url, VIEW_JOBS, tone)],
        lists=[list_failures("failed jobs", failed_url, VIEW_JOBS, entries)],
    )


def _judge_workers(
    workers: list[WorkerBeat], waiting: int, failed: int, *, now: datetime
) -> tuple[list[Task], Card]:
    bad = [problem for beat in workers if (problem := find_worker_problem(beat, now))]
    jobs = reverse("admin:jobs")
    links = [
        CardLink(f"{pluralize(waiting, 'job')} waiting", f"{jobs}?state=waiting#jobs"),
        CardLink(f"{failed:,} failed", f"{jobs}?state=failed#jobs"),
    ]
    tasks, tone = [], Tone.GOOD
    if len(bad) == len(workers):
        tone, what = Tone.BAD, "No worker is running, so that jobs wait."
        show = {"button": "Show the jobs", "url": jobs}
        tasks = [Task(what, VIEW_JOBS, tone, bad[:1], command="scaiwave worker", **show)]
    elif bad:
        tone, what = Tone.WARN, f"{len(bad):,} of {len(workers):,} workers need attention."
        tasks = [Task(what, VIEW_JOBS, tone, bad[:1], button="Show the workers", url=jobs)]
    if failed:
        what = "job has failed" if failed == 1 else "jobs have failed"
        button = f"Show {pluralize(failed, 'failed job', 'failed jobs')}"
        tasks += [Task(f"{failed:,} {what}.", VIEW_JOBS, button=button, url=links[1].url)]
    value = f"{len(workers) - len(bad):,} running"
    return tasks, Card("Workers", value, jobs, VIEW_JOBS, tone, links=links)


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


def _describe_failed_job(job: SuiteJob, url: str) -> Entry:
    error = job.last_error
    name = job.id if job.problem else job.name
    if error is not None:
        text, fix = clean_text(error["message"]), clean_text(error["fix"])
    else:
        text, fix = f"It can't be run: {clean_text(job.problem)}." if job.problem else "", ""
    return Entry(
        text=f"{name}: {text or 'it failed without a message.'}",
        url=url,
        details=fix,
        tone=Tone.BAD,
        badge="job failed",
        code=clean_text(error["code"]) if error is not None else "",
        at=job.ended_at.astimezone(UTC).isoformat(timespec="seconds") if job.ended_at else "",
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
            unit="bytes" if name == "storage_bytes" else "",
            points=[
                Point(
                    label=f"{day:%Y-%m-%d}",
                    values=(getattr(recorded[day], name),) if day in recorded else (),
                    text=format_figure(getattr(recorded[day], name))
                    if day in recorded
                    else "not recorded",
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


def _list_nearest(shares: list[LimitShare]) -> EntryList:
    return EntryList(
        title="Nearest to a limit",
        url=f"{reverse(TENANTS)}?status=active",
        permission=VIEW_TENANTS,
        entries=[
            Entry(
                text=each.slug,
                url=reverse("admin:tenants_tenant_change", args=[each.tenant_id]),
                details=_LIMIT_NAMES[each.name],
                tone=Tone.BAD
                if each.share >= 1
                else Tone.WARN
                if each.share >= NEAR_LIMIT
                else Tone.NEUTRAL,
                badge=f"{each.share:.0%}",
            )
            for each in shares[:MAX_ENTRIES]
        ],
        empty="No active tenant uses any of its limits.",
    )


_LIMIT_NAMES = {
    "participants": "of its participants",
    "rooms": "of its rooms",
    "storage_bytes": "of its storage",
    "ai_tokens": "of its AI tokens this month",
}


def _list_acts(entries: QuerySet[AuditEntry]) -> EntryList:
    latest = list(entries.order_by("-at", "-id")[:MAX_ENTRIES])
    names = load_participant_names(latest, describe)
    return EntryList(
        title="Last actions of operators",
        url=reverse("admin:tenants_auditentry_changelist"),
        permission="tenants.view_auditentry",
        entries=[
            Entry(
                text=" ".join(filter(None, (entry.action, entry.details.get("role"), name))),
                url=reverse("admin:tenants_auditentry_change", args=[entry.pk]),
                details=f"by {entry.operator}",
                at=entry.at.isoformat(timespec="seconds"),
            )
            for entry in latest
            for name in [names.get(entry.subject_id, entry.subject_name)]
        ],
        empty="No actions are recorded.",
    )
