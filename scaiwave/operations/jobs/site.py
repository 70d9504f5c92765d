"""The page of the jobs in Redis, with the acts for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.jobs.manage import CLEARABLE, delete_job, retry_job
from scaiwave.operations.jobs.overview import (
    JobOverview,
    ScheduledJob,
    list_schedule,
    load_job_overview,
)
from scaiwave.operations.jobs.queries import build_job_row, show_job
from scaiwave.queue.definitions import STATES
from scaiwave.queue.errors import JobNotFound, RedisNotConfigured
from scaiwave.queue.jobs import JOBS as DEFINITIONS
from scaiwave.site.access import sees_everything
from scaiwave.site.acts import (
    Act,
    ActLink,
    RowSource,
    build_operator,
    find_act,
    identify_account,
    list_act_links,
    register_acts,
)
from scaiwave.site.formatting import Tone, clean_text
from scaiwave.site.menu import Section
from scaiwave.site.pages import SitePage, register_page
from scaiwave.storage.error_mapping import translate_errors
from tenants.lookup.serializers import Row

ONCE = {definition.name for definition in DEFINITIONS.values() if definition.runs_once}
"""Jobs that can't be run again: the page of their run offers that, as a new request."""
TONES = {"running": Tone.INFO, "waiting": Tone.NEUTRAL, "failed": Tone.BAD}


@dataclass(frozen=True)
class ListedJob:
    """A job as the page lists it."""

    row: Row

    @property
    def pk(self) -> str:
        return str(self.row["id"])

    def __str__(self) -> str:
        return self.pk

    @property
    def is_repeatable(self) -> bool:
        name = self.row["name"]
        return self.row["state"] == "failed" and bool(name) and name not in ONCE

    @property
    def is_deletable(self) -> bool:
        return self.row["state"] in CLEARABLE


class JobSource(RowSource):
    title = "Jobs"

    @property
    def url(self) -> str:
        return reverse("admin:jobs")

    def is_visible(self, request: HttpRequest) -> bool:
        return sees_everything(request)

    def find_row(self, request: HttpRequest, row_id: str) -> ListedJob | None:
        try:
            return ListedJob(show_job(operator=_get_reader(request), job_id=row_id))
        except JobNotFound:
            return None


JOBS = JobSource()


def _get_reader(request: HttpRequest) -> Operator:
    """Return the account as an operator that may look, even if it may not act."""
    return replace(identify_account(request), granted=frozenset({Permission.VIEW_PLATFORM}))


register_acts(
    Act(
        "jobs retry",
        "Run again",
        JOBS,
        lambda call: retry_job(operator=call.operator, job_id=call.row.pk, now=call.now),
        is_offered=lambda job: job.is_repeatable,
        get_note=lambda job: "Puts the job to the end of its queue, where a worker runs it again.",
    )
)
register_acts(
    Act(
        "jobs delete",
        "Delete",
        JOBS,
        lambda call: delete_job(
            operator=call.operator, job_id=call.row.pk, confirm=call.confirm, now=call.now
        ),
        is_offered=lambda job: job.is_deletable,
        is_destructive=True,
        get_note=lambda job: "The scheduler enqueues its jobs again when they are due.",
    )
)


def show_jobs(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Show the processes, a page of the jobs, and the schedule; without Redis, the last alone."""
    state = request.GET.get("state", "")
    state = state if state in STATES else ""
    overview, error = _load(request, state)
    schedule = (
        overview.schedule
        if overview is not None
        else list_schedule(
            operator=_get_reader(request), config=settings.CONFIG, schedulers=(), runs={}
        )
    )
    has_redis = not isinstance(error, RedisNotConfigured)
    context = {
        **site.each_context(request),
        "title": JOBS.title,
        "error": error if has_redis else None,
        "has_redis": has_redis,
        "overview": overview,
        "schedule": [(job, _find_start_link(request, job)) for job in schedule],
        **(_build_list(request, overview, state) if overview is not None else {}),
    }
    return TemplateResponse(request, "tenants/admin/jobs.html", context)


def _load(request: HttpRequest, state: str) -> tuple[JobOverview | None, ScaiWaveError | None]:
    try:
        with translate_errors():
            overview = load_job_overview(
                operator=_get_reader(request),
                config=settings.CONFIG,
                state=state,
                number=request.GET.get("page", ""),
                now=timezone.now(),
            )
    except ScaiWaveError as error:
        return None, error
    return overview, None


def _build_list(request: HttpRequest, overview: JobOverview, state: str) -> dict[str, Any]:
    """Return the list of jobs: its tabs, its rows with their acts, and its pages."""
    page = overview.page
    tabs = [("", "All", sum(overview.counts.values()))]
    tabs += [(name, name.capitalize(), count) for name, count in overview.counts.items()]
    jobs = [ListedJob(build_job_row(job)) for job in page]
    return {
        "has_scheduler": any(beat.is_active for beat in overview.schedulers),
        "state": state,
        "tabs": [
            {
                "title": title,
                "count": count,
                "url": f"?state={name}" if name else "?",
                "is_current": name == state,
            }
            for name, title, count in tabs
        ],
        "jobs": [_format_job(request, job) for job in jobs],
        "page": page,
    }


def _format_job(request: HttpRequest, job: ListedJob) -> dict[str, Any]:
    row = job.row
    error = {key: clean_text(text) for key, text in (row["error"] or {}).items()}
    return {
        **row,
        "tone": TONES[row["state"]],
        "error": error,
        "problem": clean_text(row["problem"] or ""),
        "acts": list_act_links(request, JOBS, job),
    }


def _find_start_link(request: HttpRequest, job: ScheduledJob) -> ActLink | None:
    """Return the act of this site that does the same now, if there is one for this account."""
    act = find_act(job.definition.command.partition(" --")[0].replace(" ", "-"))
    operator = build_operator(request)
    if act is None or not act.is_of_list or operator is None or not act.is_permitted(operator):
        return None
    return ActLink(act.title, reverse("admin:act", args=[act.slug]), act.is_destructive)


register_page(SitePage("jobs", JOBS.title, Section.JOBS, show_jobs, sees_everything))
