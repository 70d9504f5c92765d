"""The processes, the schedule, and jobs by pages, as the page Jobs of the admin site shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.paginator import Page, Paginator

from scaiwave.config import Configuration
from scaiwave.core.operators import Operator, Permission
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import FAILED, RUNNING, WAITING, JobDefinition, describe_cron
from scaiwave.queue.errors import RedisNotConfigured, RedisUnreachable
from scaiwave.queue.jobs import JOBS
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from scaiwave.operations.jobs.last_runs import LastRun
    from scaiwave.queue.heartbeats import SchedulerBeat, WorkerBeat
    from scaiwave.queue.rq_queue import SuiteJob

PAGE_SIZE = 25
MAX_HEARTBEAT_AGE = timedelta(seconds=30)


@dataclass(frozen=True)
class WorkerState:
    """A worker, and the names of the jobs that it runs. `problem` is empty if all is well."""

    beat: WorkerBeat
    jobs: Sequence[str]
    problem: str


@dataclass(frozen=True)
class ScheduledJob:
    """A type of job. `problem` is why the scheduler does not start it, if it could."""

    definition: JobDefinition
    is_off: bool
    next_at: datetime | None
    last_run: LastRun | None
    problem: str

    @property
    def schedule(self) -> str:
        is_of_host = self.definition.is_of_cron or not settings.REDIS_URL
        return describe_cron(self.definition.cron, ", host's time" if is_of_host else " UTC")


@dataclass(frozen=True)
class JobOverview:
    workers: Sequence[WorkerState]
    schedulers: Sequence[SchedulerBeat]
    schedule: Sequence[ScheduledJob]
    counts: Mapping[str, int]
    page: Page[SuiteJob]


def load_job_overview(
    *, operator: Operator, config: Configuration, state: str, number: str, now: datetime
) -> JobOverview:
    """Return all of it, with a page of the running, then the failed, then the waiting jobs.

    The newest of each state are the first. A page beyond the last is the last one.

    Raises RedisNotConfigured and RedisUnreachable.
    """
    operator.require(Permission.VIEW_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import load_jobs
        from scaiwave.operations.jobs.last_runs import read_last_runs
        from scaiwave.queue.heartbeats import list_schedulers, list_workers

        jobs = {each: load_jobs(redis, each) for each in (RUNNING, FAILED, WAITING)}
        workers, schedulers = list_workers(redis), list_schedulers(redis)
        last_runs = read_last_runs(redis, list(JOBS))
    jobs[WAITING].reverse()
    names = defaultdict(list)
    for job in jobs[RUNNING]:
        names[str(job.worker_name)].append(job.name)
    shown = jobs[state] if state else [job for each in jobs.values() for job in each]
    return JobOverview(
        [WorkerState(each, names[each.name], find_worker_problem(each, now)) for each in workers],
        schedulers,
        list_schedule(operator=operator, config=config, schedulers=schedulers, runs=last_runs),
        {each: len(found) for each, found in jobs.items()},
        Paginator(shown, PAGE_SIZE).get_page(number),
    )


def find_worker_problem(beat: WorkerBeat, now: datetime) -> str:
    """Return why a worker needs attention, or an empty text."""
    if not beat.is_suite:
        return "A worker of RQ, which runs whatever Redis contains: stop it."
    if now - beat.seen_at > MAX_HEARTBEAT_AGE:
        seconds = (now - beat.seen_at).total_seconds()
        return f"It has sent no heartbeat for {seconds:,.0f} s: it hangs, or its clock is wrong."
    if beat.seen_at - now > MAX_HEARTBEAT_AGE:
        return "Its last heartbeat is in the future: the clock of its host or of this one is wrong."
    return ""


def list_schedule(
    *,
    operator: Operator,
    config: Configuration,
    schedulers: Sequence[SchedulerBeat],
    runs: Mapping[str, LastRun],
) -> list[ScheduledJob]:
    """Return every type of job, those with a schedule first. No scheduler may be known."""
    operator.require(Permission.VIEW_PLATFORM)
    active = next((beat for beat in schedulers if beat.is_active), None)
    definitions = sorted(JOBS.values(), key=lambda definition: not definition.cron)
    found = []
    for definition in definitions:
        is_off = not definition.is_scheduled(config)
        next_at = active.next_runs.get(definition.name) if active and definition.cron else None
        problem = ""
        if definition.cron and is_off:
            problem = definition.why_off
        elif definition.cron and active and next_at is None:
            problem = "The active scheduler was started with other settings: restart it."
        last_run = runs.get(definition.function)
        found.append(ScheduledJob(definition, is_off, next_at, last_run, problem))
    return found


def load_schedule(*, operator: Operator, config: Configuration) -> list[Row]:
    """Return the jobs that have a schedule: what each is `started_by`, or `problem` if by nothing.

    Without Redis, or if it does not respond, nothing is known about their runs.
    """
    operator.require(Permission.VIEW_PLATFORM)
    schedulers, runs, source, problem = [], {}, "scheduler", "No scheduler is active."
    try:
        with open_redis() as redis:
            from scaiwave.operations.jobs.last_runs import read_last_runs
            from scaiwave.queue.heartbeats import list_schedulers

            schedulers, runs = list_schedulers(redis), read_last_runs(redis, list(JOBS))
    except RedisNotConfigured:
        source, problem = "cron", ""
    except RedisUnreachable as error:
        problem = error.message
    if any(beat.is_active for beat in schedulers):
        problem = ""
    jobs = list_schedule(operator=operator, config=config, schedulers=schedulers, runs=runs)
    return [
        {
            "name": job.definition.name,
            "schedule": job.schedule,
            "cron": job.definition.cron,
            "next_at": job.next_at,
            "last_at": last and last.ended_at,
            "outcome": last and ("failed" if last.error_code else "completed"),
            "error_code": (last and last.error_code) or None,
            "started_by": None if why else "cron" if job.definition.is_of_cron else source,
            "problem": why or None,
            "command": job.definition.command,
        }
        for job in jobs
        if job.definition.cron
        for last in [job.last_run]
        for why in ["" if job.definition.is_of_cron else job.problem or problem]
    ]
