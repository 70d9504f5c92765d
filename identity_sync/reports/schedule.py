"""Who starts scheduled syncs: the scheduler, as its heartbeats show, or cron, as its runs show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from identity_sync.models import SyncRun, Trigger
from identity_sync.reports.judgement import (
    MAX_INTERVALS,
    RunScope,
    format_age_in_words,
    get_interval,
)
from identity_sync.reports.runs import age_seconds
from scaiwave.config import Configuration
from scaiwave.core.clock import MAX_CLOCK_AHEAD, get_latest_time
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import RedisUnreachable

if TYPE_CHECKING:
    from scaiwave.queue.heartbeats import SchedulerBeat

FULL_SYNC = "full_sync"
"""The name of the scheduled job."""
SCHEDULED_MINUTES = range(3, 60, 10)
"""The minutes of the scheduler, and of the documented crontab line."""


@dataclass(frozen=True)
class Schedule:
    """What is known about who starts syncs.

    `scheduler` is the active one; `redis_problem` is why that is not known. `enqueued_at` is when a
    scheduler last put a full sync into the queue.
    """

    interval: timedelta
    last_cron: SyncRun | None
    last_manual: SyncRun | None
    is_cron_recent: bool
    scheduler: SchedulerBeat | None
    redis_problem: RedisUnreachable | None
    enqueued_at: datetime | None
    now: datetime

    @property
    def source(self) -> str | None:
        """`scheduler`, `cron`, or None if no schedule was detected."""
        if self.scheduler is not None:
            return "scheduler"
        return "cron" if self.is_cron_recent and not self._is_of_scheduler else None

    @property
    def _is_of_scheduler(self) -> bool:
        """Whether a scheduler, and not cron, started the last scheduled sync."""
        if self.last_cron is None or self.enqueued_at is None:
            return False
        waited = self.last_cron.started_at - self.enqueued_at
        return -MAX_CLOCK_AHEAD <= waited < timedelta(minutes=SCHEDULED_MINUTES.step)

    @property
    def next_run_at(self) -> datetime | None:
        """The next time of the scheduler, or of the documented crontab line; None if unknown."""
        if self.scheduler is not None:
            return self.scheduler.next_runs.get(FULL_SYNC)
        is_standard = self.interval == timedelta(minutes=SCHEDULED_MINUTES.step)
        return get_next_scheduled(self.now) if self.source and is_standard else None

    @property
    def problem(self) -> str:
        """Why no scheduled sync is to be expected; empty if one is."""
        if self.source is not None or self.redis_problem is not None:
            return ""
        if self.last_cron is None:
            return "No scheduler detected: no scheduled sync has run yet."
        age = format_age_in_words(self.last_cron.started_at, self.now)
        if self._is_of_scheduler:
            return f"The scheduler that started the last sync, {age} ago, has stopped."
        return f"No scheduler detected: the last scheduled sync began {age} ago."

    @property
    def clock_problem(self) -> str:
        """Why the next time of the active scheduler can't be right; empty if it can."""
        next_at = self.next_run_at
        if self.scheduler is None or next_at is None:
            return ""
        step = max(self.interval, timedelta(minutes=SCHEDULED_MINUTES.step))
        if abs(next_at - self.now) <= MAX_INTERVALS * step:
            return ""
        return (
            f"The active scheduler plans the next sync for {next_at:%Y-%m-%d %H:%M} UTC, more than "
            f"{MAX_INTERVALS} intervals from now: the clock of its host or of this one is wrong."
        )

    def document(self, *, shows_host: bool) -> dict[str, object]:
        cron, manual = self.last_cron, self.last_manual
        beat = self.scheduler.document() if self.scheduler and shows_host else None
        return {
            "interval_minutes": int(self.interval.total_seconds() // 60),
            "source": self.source,
            "scheduler": beat,
            "last_cron_at": cron.started_at if cron else None,
            "last_cron_age_seconds": age_seconds(cron.started_at, self.now) if cron else None,
            "last_manual_at": manual.started_at if manual else None,
            "last_manual_age_seconds": age_seconds(manual.started_at, self.now) if manual else None,
        }


def detect_schedule(scope: RunScope, *, config: Configuration, now: datetime) -> Schedule:
    past = scope.runs().filter(tenant=None, started_at__lte=get_latest_time(now))
    interval = get_interval(config)
    cron = past.filter(trigger=Trigger.CRON).first()
    scheduler, enqueued_at, problem = _find_scheduler()
    return Schedule(
        interval=interval,
        last_cron=cron,
        last_manual=past.filter(trigger=Trigger.MANUAL).first(),
        is_cron_recent=cron is not None and now - cron.started_at <= MAX_INTERVALS * interval,
        scheduler=scheduler,
        redis_problem=problem,
        enqueued_at=enqueued_at,
        now=now,
    )


def _find_scheduler() -> tuple[SchedulerBeat | None, datetime | None, RedisUnreachable | None]:
    """Return the active one, when one last enqueued a full sync, and why that is not known."""
    if not settings.REDIS_URL:
        return None, None, None
    try:
        with open_redis() as redis:
            from scaiwave.queue.heartbeats import list_schedulers, read_enqueued_at

            active = [beat for beat in list_schedulers(redis) if beat.is_active]
            enqueued_at = read_enqueued_at(redis, FULL_SYNC)
    except RedisUnreachable as error:
        return None, None, error
    return (active[0] if active else None), enqueued_at, None


def get_next_scheduled(now: datetime) -> datetime:
    """Return the first minute after `now` at which the schedule (`3-59/10`) starts a sync."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    later = (hour + timedelta(minutes=minute) for minute in SCHEDULED_MINUTES)
    first_of_next_hour = hour + timedelta(hours=1, minutes=SCHEDULED_MINUTES[0])
    return next((time for time in later if time > now), first_of_next_hour)
