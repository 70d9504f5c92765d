"""What the start page of the admin site shows of tenants, people, usage and operators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from heapq import nlargest
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.urls import reverse
from django.utils.timesince import timesince

from scaiwave.admin.formatting import NEAR_LIMIT, Tone
from scaiwave.admin.overview import Card, Chart, Entry, EntryList, OverviewPart, Point
from scaiwave.auth.operators import Operator, Permission, get_host_operator
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.doctor.findings import State
from scaiwave.errors import ScaiWaveError
from tenants.models import (
    ACTIVE,
    AuditEntry,
    DailyFigures,
    DoctorRun,
    Participant,
    Tenant,
    TokenUsage,
)
from tenants.queries.audit_subjects import load_participant_names
from tenants.queries.figures import LIMITS, build_figures, build_limit
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.tenants import usage_month
from tenants.queries.visibility import visible_participants, visible_tenants

TENANTS = "admin:tenants_tenant_changelist"
VIEW_TENANTS = "tenants.view_tenant"
MAX_ENTRIES = 10
CHARTED_MONTHS = 12
CHARTED_DAYS = 90
REDIS_TIMEOUT_SECONDS = 2.0
_BAD_STATES = (State.WARN.value, State.FAIL.value)
BATCH_SIZE = 2000


def build_tenant_part(now: datetime) -> OverviewPart:
    part = _build_part(get_host_operator(), now)
    return OverviewPart(
        cards=[*part.cards, _build_doctor_card(now), *_build_process_cards()],
        charts=[*_build_size_charts(now), *part.charts],
        lists=part.lists,
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
    nearest = sorted(_iter_near_limits(tenants, now), reverse=True)
    return OverviewPart(
        cards=[
            _build_tenant_card(tenants),
            _build_people_card(visible_participants(operator)),
            _build_limit_card(nearest),
            _build_token_card(usage, now),
        ],
        charts=[_build_token_chart(usage)],
        lists=[_list_nearest(nearest), _list_acts(entries)],
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
        details=[f"{counts['suspended']:,} suspended, {counts['deactivated']:,} deactivated"],
    )


def _build_people_card(people: QuerySet[Participant]) -> Card:
    return Card(
        title="People",
        value=f"{people.filter(MEMBERS).count():,}",
        url=f"{reverse('admin:tenants_participant_changelist')}?status=active"
        "&participant_type__exact=human",
        permission="tenants.view_participant",
        details=["active people"],
    )


def _iter_near_limits(
    tenants: QuerySet[Tenant], now: datetime
) -> Iterator[tuple[float, str, str, UUID]]:
    """Yield share, slug, limit and id for each limit of an active tenant that is almost reached.

    They are chosen here, because a condition in SQL would compute each figure again.
    """
    used = build_figures(LIMITS, now)
    figures = {f"use_of_{name}": figure for name, figure in used.items()}
    limits = {f"limit_of_{name}": build_limit(name) for name in used}
    active = tenants.filter(ACTIVE).annotate(**figures, **limits)
    rows = active.values("pk", "slug", *figures, *limits)
    for row in rows.iterator(chunk_size=BATCH_SIZE):
        for name in used:
            number, limit = row[f"use_of_{name}"], row[f"limit_of_{name}"]
            # The first one uses up a limit of 0.
            if number and limit is not None and number * 5 >= limit * 4:
                yield number / limit if limit else 1.0, row["slug"], name, row["pk"]


def _build_limit_card(nearest: list[tuple[float, str, str, UUID]]) -> Card:
    tenants = {tenant_id for _, _, _, tenant_id in nearest}
    full = {tenant_id for share, _, _, tenant_id in nearest if share >= 1}
    return Card(
        title="Tenants near a limit",
        value=f"{len(tenants):,}",
        url=f"{reverse(TENANTS)}?status=active&limits=near",
        permission=VIEW_TENANTS,
        tone=Tone.BAD if full else Tone.WARN if tenants else Tone.GOOD,
        details=[f"at {NEAR_LIMIT:.0%} or more of a limit; {len(full):,} have reached one"],
    )


def _build_token_card(usage: QuerySet[TokenUsage], now: datetime) -> Card:
    month = usage_month(now)
    total = usage.filter(month=month).aggregate(total=Sum("total_tokens"))["total"]
    return Card(
        title="AI tokens this month",
        value="unknown" if total is None else f"{total:,}",
        url=reverse("admin:tenants_tokenusage_changelist"),
        permission="tenants.view_tokenusage",
        details=[f"{month:%Y-%m}, as of the last fetch from ScaiGrid"],
    )


def _build_token_chart(usage: QuerySet[TokenUsage]) -> Chart:
    months: list[tuple[date, int]] = list(
        usage.values_list("month")
        .annotate(total=Sum("total_tokens"))
        .order_by("-month")[:CHARTED_MONTHS]
    )
    return Chart(
        title="AI tokens by month",
        url=reverse("admin:tenants_tokenusage_changelist"),
        permission="tenants.view_tokenusage",
        series=("tokens",),
        points=[
            Point(label=f"{month:%Y-%m}", values=(total,), text=f"{total:,} tokens")
            for month, total in reversed(months)
        ],
    )


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
        details = [each["message"] for each in bad[:2]] + [f"as of {age} ago"]
    return Card(
        title="Doctor",
        value=value,
        url=reverse("admin:tenants_doctorrun_changelist"),
        permission="tenants.view_doctorrun",
        tone=tone,
        details=details,
        command="" if tone is Tone.GOOD else "scaiwave doctor",
    )


def _build_process_cards() -> list[Card]:
    """Show workers, scheduler and failed jobs; nothing without Redis, where cron does the work."""
    if not settings.REDIS_URL:
        return []
    from scaiwave.jobs.connection import open_redis
    from scaiwave.jobs.heartbeats import list_schedulers, list_workers
    from scaiwave.jobs.queue_state import count_failed_jobs, count_waiting_jobs

    url, permission = reverse("admin:jobs"), "tenants.view_auditentry"
    try:
        with open_redis(timeout=REDIS_TIMEOUT_SECONDS) as redis:
            workers, schedulers = list_workers(redis), list_schedulers(redis)
            failed = sum(count_failed_jobs(redis).values())
            waiting = sum(count_waiting_jobs(redis).values())
    except ScaiWaveError as error:
        return [
            Card(
                "Workers", "unknown", url, permission, Tone.BAD, [error.message], "scaiwave doctor"
            )
        ]
    has_scheduler = any(beat.is_active for beat in schedulers)
    return [
        Card(
            title="Workers",
            value=f"{len(workers):,}",
            url=url,
            permission=permission,
            tone=Tone.GOOD if workers and not failed else Tone.WARN if workers else Tone.BAD,
            details=[f"{waiting:,} jobs wait, {failed:,} have failed"],
            command="scaiwave jobs list" if failed else "" if workers else "scaiwave worker",
        ),
        Card(
            title="Scheduler",
            value="running" if has_scheduler else "not detected",
            url=url,
            permission=permission,
            tone=Tone.GOOD if has_scheduler else Tone.BAD,
            command="" if has_scheduler else "scaiwave scheduler",
        ),
    ]


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


def _list_nearest(nearest: list[tuple[float, str, str, UUID]]) -> EntryList:
    return EntryList(
        title="Nearest to a limit",
        url=f"{reverse(TENANTS)}?status=active&limits=near",
        permission=VIEW_TENANTS,
        entries=[
            Entry(
                text=slug,
                url=reverse("admin:tenants_tenant_change", args=[tenant_id]),
                details=_LIMIT_NAMES[name],
                tone=Tone.BAD if share >= 1 else Tone.WARN,
                badge=f"{share:.0%}",
            )
            for share, slug, name, tenant_id in nlargest(MAX_ENTRIES, nearest)
        ],
        empty="No tenant is near a limit.",
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
