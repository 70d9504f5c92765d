"""The page of the jobs in Redis, with the acts for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.jobs.manage import CLEARABLE, delete_job, retry_job
from scaiwave.operations.jobs.overview import load_job_overview
from scaiwave.operations.jobs.queries import build_job_row, find_job
from scaiwave.queue.definitions import FAILED, STATES, JobDefinition
from scaiwave.queue.errors import JobNotFound, RedisNotConfigured
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
from scaiwave.site.formatting import Tone
from scaiwave.site.menu import Section
from scaiwave.site.pages import SitePage, register_page
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from scaiwave.queue.rq_queue import SuiteJob

TONES = {"running": Tone.INFO, "waiting": Tone.NEUTRAL, "failed": Tone.BAD}


@dataclass(frozen=True)
class ListedJob:
    """A job as a row with acts."""

    job: SuiteJob

    @property
    def pk(self) -> str:
        return self.job.id

    def __str__(self) -> str:
        return self.pk

    @property
    def is_repeatable(self) -> bool:
        """The page of its run offers to repeat one that runs once, as a new request."""
        return self.job.state == FAILED and not (self.job.problem or self.job.runs_once)


class JobSource(RowSource):
    title = "Jobs"

    @property
    def url(self) -> str:
        return reverse("admin:jobs")

    def is_visible(self, request: HttpRequest) -> bool:
        return sees_everything(request)

    def find_row(self, request: HttpRequest, row_id: str) -> ListedJob | None:
        try:
            return ListedJob(find_job(operator=_get_reader(request), job_id=row_id))
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
        is_offered=lambda row: row.is_repeatable,
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
        is_offered=lambda row: row.job.state in CLEARABLE,
        is_destructive=True,
        get_note=lambda job: "The scheduler enqueues its jobs again when they are due.",
    )
)


def show_jobs(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """Show the processes, a page of the jobs, and the schedule; without Redis, the last alone."""
    state = request.GET.get("state", "")
    state = state if state in STATES else ""
    overview = load_job_overview(
        operator=_get_reader(request),
        config=settings.CONFIG,
        state=state,
        number=request.GET.get("page", ""),
        now=timezone.now(),
    )
    has_redis = not isinstance(overview.error, RedisNotConfigured)
    context = {
        **site.each_context(request),
        "title": JOBS.title,
        "error": overview.error if has_redis else None,
        "has_redis": has_redis,
        "overview": overview,
        "schedule": [(*job, _find_start_link(request, job[0])) for job in overview.schedule],
        "state": state,
        "page": overview.page,
        "jobs": [_build_row(request, job) for job in overview.page or ()],
    }
    return TemplateResponse(request, "tenants/admin/jobs.html", context)


def _build_row(request: HttpRequest, job: SuiteJob) -> Row:
    acts = list_act_links(request, JOBS, ListedJob(job))
    return {**build_job_row(job), "tone": TONES[job.state], "acts": acts}


def _find_start_link(request: HttpRequest, job: JobDefinition) -> ActLink | None:
    """Return the act of this site that does the same now, if there is one for this account."""
    act = find_act(job.command.partition(" --")[0].replace(" ", "-"))
    operator = build_operator(request)
    if act is None or not act.is_of_list or operator is None or not act.is_permitted(operator):
        return None
    return ActLink(act.title, reverse("admin:act", args=[act.slug]), act.is_destructive)


register_page(SitePage("jobs", JOBS.title, Section.JOBS, show_jobs, sees_everything))
