"""Judge the sync as a whole, for everything that reports on it.

`sync status`, `doctor`, `/metrics` and the overview of the admin site call `judge_sync`, so that
none reports a healthy sync while another reports a problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from identity_sync.models import SyncRun
from identity_sync.registration.credentials import has_credentials
from identity_sync.registration.missing import describe_missing_registration
from identity_sync.reports.judgement import (
    Judgement,
    RunScope,
    format_age_in_words,
    get_interval,
    judge_runs,
)
from identity_sync.reports.schedule import Schedule, detect_schedule
from scaiwave.config import Configuration
from scaiwave.core.errors import CredentialsIncomplete, NotRegistered, ScaiWaveError
from tenants.errors import ServerRestored
from tenants.lookup.restoration import find_restoration_problem

CLOCK_FIX = "Synchronise the clocks of all hosts with a time server (chrony, systemd-timesyncd)."

TIGHT_SHARE = 0.7
"""A sync that needs more of its time than this is likely to be stopped soon."""


@dataclass(frozen=True)
class SyncWarning:
    """What needs attention but has not stopped syncs yet. `check` is its check in `doctor`, and
    `ends_with_sync` is whether the next sync resolves it."""

    check: str
    message: str
    fix: str
    ends_with_sync: bool = False


@dataclass(frozen=True)
class SyncHealth:
    """`problems` are errors, the most urgent first; without any the sync is healthy.

    Without a registration, and on a restored server, no sync is expected: that is then the only
    problem.
    """

    judgement: Judgement
    schedule: Schedule
    problems: list[ScaiWaveError]
    warnings: list[SyncWarning]

    @property
    def is_registered(self) -> bool:
        return not any(map(_is_unregistered, self.problems))


def judge_sync(
    scope: RunScope,
    *,
    config: Configuration,
    now: datetime,
    credentials_problem: ScaiWaveError | None = None,
) -> SyncHealth:
    """Judge runs, schedule and configuration; ScaiKey is not asked.

    `credentials_problem` is the error of a caller who has asked it.
    """
    problem = credentials_problem or find_restoration_problem()
    if problem is None and not has_credentials(config):
        problem = describe_missing_registration(config)
    judgement = judge_runs(scope, config=config, now=now)
    schedule = detect_schedule(scope, config=config, now=now)
    is_expected = not (_is_unregistered(problem) or isinstance(problem, ServerRestored))
    return SyncHealth(
        judgement,
        schedule,
        [*([problem] if problem else []), *(judgement.problems if is_expected else [])],
        [
            *_list_run_warnings(judgement, now),
            *_list_duration_warnings(judgement.last_success, config),
            *(_list_schedule_warnings(schedule) if is_expected else []),
        ],
    )


def _is_unregistered(problem: ScaiWaveError | None) -> bool:
    return isinstance(problem, NotRegistered) and not isinstance(problem, CredentialsIncomplete)


def _list_run_warnings(judgement: Judgement, now: datetime) -> list[SyncWarning]:
    ahead = []
    for run in judgement.dated_ahead:
        latest = max(filter(None, (run.started_at, run.ended_at))).astimezone(UTC)
        message = (
            f"Run {run.pk} is dated in the future ({latest:%Y-%m-%d %H:%M:%S} UTC): the clock of "
            "its host was ahead. It does not count."
        )
        ahead.append(SyncWarning("sync", message, CLOCK_FIX))
    if (open_run := judgement.interrupted) is None:
        return ahead
    age = format_age_in_words(open_run.started_at, now)
    message = (
        f"The sync that began {age} ago stopped without a result (run {open_run.pk}). The next "
        "sync records it as failed."
    )
    return [*ahead, SyncWarning("sync", message, "Run `scaiwave sync`.", ends_with_sync=True)]


def _list_duration_warnings(success: SyncRun | None, config: Configuration) -> list[SyncWarning]:
    """Warn before a sync takes longer than the schedule leaves for it.

    A limit that is not set follows the sync, so that only the interval can be too short.
    """
    seconds = (success.duration_seconds or 0) if success is not None else 0
    interval = get_interval(config).total_seconds()
    limit = config.get_int("SCAIWAVE_SYNC_TIMEOUT_SECONDS")
    if limit and limit < interval:
        available, schedule = float(limit), "a scheduled one has"
        fix = "Unset SCAIWAVE_SYNC_TIMEOUT_SECONDS, or set it to more."
    else:
        available, schedule = interval, "one is due every"
        fix = "Run syncs less often, and set SCAIWAVE_SYNC_INTERVAL_MINUTES accordingly."
    if seconds <= available * TIGHT_SHARE:
        return []
    message = (
        f"The schedule is tight: the last full sync took {seconds:,.0f} s, and {schedule} "
        f"{available:,.0f} s."
    )
    return [SyncWarning("sync", message, fix)]


def _list_schedule_warnings(schedule: Schedule) -> list[SyncWarning]:
    if schedule.redis_problem is not None and schedule.source is None:
        message = f"It is not known whether a scheduler runs: {schedule.redis_problem.message}"
        return [SyncWarning("scheduler", message, schedule.redis_problem.fix)]
    if problem := schedule.clock_problem:
        return [SyncWarning("scheduler", problem, CLOCK_FIX)]
    fix = (
        "Start `scaiwave scheduler`, or add the crontab line."
        if settings.REDIS_URL
        else "Add the crontab line of `scaiwave admin show-deploy-file crontab`, or set "
        "SCAIWAVE_REDIS_URL and start `scaiwave scheduler`."
    )
    return [SyncWarning("scheduler", schedule.problem, fix)] if schedule.problem else []
