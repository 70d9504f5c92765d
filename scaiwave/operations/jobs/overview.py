"""The processes, the schedule, and jobs by pages, as the page Jobs of the admin site shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.paginator import Page, Paginator

from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError
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
Schedule = Sequence[tuple[JobDefinition, Row]]


@dataclass(frozen=True)
class WorkerState:
    """A worker, and the names of the jobs that it runs. `problem` is empty if all is well."""

    beat: WorkerBeat
    jobs: Sequence[str]
    problem: str


@dataclass(frozen=True)
class JobOverview:
    """`error` is why Redis can't be used; then there is nothing but the schedule."""

    schedule: Schedule
    error: ScaiWaveError | None = None
    workers: Sequence[WorkerState] = ()
    schedulers: Sequence[SchedulerBeat] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    page: Page[SuiteJob] | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def has_scheduler(self) -> bool:
        return any(beat.is_active for beat in self.schedulers)


def load_job_overview(
    *, operator: Operator, config: Configuration, state: str, number: str, now: datetime
) -> JobOverview:
    """Return all of it, with a page of the running, then the failed, then the waiting jobs.

    The newest of each state are the first. A page beyond the last is the last one.
    """
    operator.require(Permission.VIEW_PLATFORM)
    try:
        with open_redis() as redis:
            from scaiwave.operations.jobs.jobs_in_redis import load_jobs
            from scaiwave.operations.jobs.last_runs import read_last_runs
            from scaiwave.queue.heartbeats import list_schedulers, list_workers

            jobs = {each: load_jobs(redis, each) for each in (RUNNING, FAILED, WAITING)}
            workers, schedulers = list_workers(redis), list_schedulers(redis)
            runs = read_last_runs(redis, list(JOBS))
    except (RedisNotConfigured, RedisUnreachable) as error:
        return JobOverview(_build_schedule(config, (), {}, error), error)
    jobs[WAITING].reverse()
    names = defaultdict(list)
    for job in jobs[RUNNING]:
        names[str(job.worker_name)].append(job.name)
    shown = jobs[state] if state else [job for each in jobs.values() for job in each]
    return JobOverview(
        _build_schedule(config, schedulers, runs),
        None,
        [WorkerState(each, names[each.name], find_worker_problem(each, now)) for each in workers],
        schedulers,
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


def load_schedule(*, operator: Operator, config: Configuration) -> list[Row]:
    """Return the jobs that have a schedule: what each is `started_by`, or `problem` if by nothing.

    Without Redis, or if it does not respond, nothing is known about their runs.
    """
    operator.require(Permission.VIEW_PLATFORM)
    try:
        with open_redis() as redis:
            from scaiwave.operations.jobs.last_runs import read_last_runs
            from scaiwave.queue.heartbeats import list_schedulers

            runs = read_last_runs(redis, list(JOBS))
            schedule = _build_schedule(config, list_schedulers(redis), runs)
    except (RedisNotConfigured, RedisUnreachable) as error:
        schedule = _build_schedule(config, (), {}, error)
    return [row for definition, row in schedule if definition.cron]


def _build_schedule(
    config: Configuration,
    schedulers: Sequence[SchedulerBeat],
    runs: Mapping[str, LastRun],
    error: ScaiWaveError | None = None,
) -> Schedule:
    """Return every type of job, those with a schedule first. `error` is why Redis can't be used."""
    active = next((beat for beat in schedulers if beat.is_active), None)
    schedule = []
    for definition in sorted(JOBS.values(), key=lambda each: not each.cron):
        is_of_cron = definition.is_of_cron or isinstance(error, RedisNotConfigured)
        next_at = active.next_runs.get(definition.name) if active else None
        problem = None
        if definition.is_of_cron or not definition.cron:
            pass
        elif not definition.is_scheduled(config):
            problem = definition.why_off
        elif not is_of_cron and active is None:
            problem = error.message if error else "No scheduler is active."
        elif not is_of_cron and next_at is None:
            problem = "The active scheduler was started with other settings: restart it."
        last = runs.get(definition.function)
        row = {
            "name": definition.name,
            "schedule": describe_cron(definition.cron, ", host's time" if is_of_cron else " UTC"),
            "cron": definition.cron,
            "next_at": next_at,
            "last_at": last and last.ended_at,
            "outcome": last and ("failed" if last.error_code else "completed"),
            "error_code": (last and last.error_code) or None,
            "started_by": None if problem else "cron" if is_of_cron else "scheduler",
            "problem": problem,
            "command": definition.command,
        }
        schedule.append((definition, row))
    return schedule
