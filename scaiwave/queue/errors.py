"""Errors of the job queue, its workers and its scheduler."""

from __future__ import annotations

from scaiwave.core.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    RefusedError,
    ScaiWaveError,
    SettingMissing,
    UsageError,
)


class RedisUnreachable(ConfigurationError):
    """SCAIWAVE_REDIS_URL is set, and Redis does not respond or refuses the connection."""

    code = "SW_REDIS_UNREACHABLE"
    http_status = 503
    fix = (
        "Start Redis or correct SCAIWAVE_REDIS_URL. Commands still work, but scheduled jobs do "
        "not run."
    )


class RedisKeyMisused(RedisUnreachable):
    """A key in Redis is of another type: another program has written it."""

    code = "SW_REDIS_KEY_TYPE"
    fix = "Find out who else can write to Redis, and give this server a Redis database of its own."


class RedisNotConfigured(SettingMissing):
    """The command needs Redis, and SCAIWAVE_REDIS_URL is not set."""

    code = "SW_REDIS_NOT_CONFIGURED"
    fix = (
        "Set SCAIWAVE_REDIS_URL to use the job queue. Without Redis, cron starts the jobs: "
        "`scaiwave admin show-deploy-file crontab` prints the lines."
    )
    remedy = (
        "Set it to use the job queue, or start the jobs "
        "[with cron](../how-to/operations.md#without-redis)."
    )


class QueueUnknown(UsageError):
    """This server has no queue of that name."""

    code = "SW_QUEUE_UNKNOWN"
    remedy = "The error lists the queues. Without a name, a worker serves them all."


class JobRefused(RefusedError):
    """A job in Redis is not one that this server may run: it was not put there by this release."""

    code = "SW_JOB_REFUSED"
    fix = (
        "After an upgrade nothing needs to be done. Otherwise find out who else can write to Redis."
    )
    remedy = (
        "It was not run, and `scaiwave jobs delete` deletes it. Jobs of a release without JSON "
        "jobs are refused after the upgrade; the scheduler enqueues new ones. Otherwise find out "
        "[who else can write to Redis](../explanation/security.md#redis)."
    )


class JobNotFound(NotFoundError):
    """There is no job with that ID: it was completed, it has expired, or it was cleared."""

    code = "SW_JOB_NOT_FOUND"
    fix = "`scaiwave jobs list` lists the jobs."


class JobNotFailed(ConflictError):
    """The job has not failed, so there is nothing to retry."""

    code = "SW_JOB_NOT_FAILED"
    remedy = "Wait for its end. `scaiwave jobs list --state failed` lists the failed jobs."


class JobRunning(ConflictError):
    """The job is running, so that it can't be deleted."""

    code = "SW_JOB_RUNNING"
    fix = "Wait for its end. `scaiwave jobs show` shows its state."


class JobTimedOut(ConflictError):
    """The job took longer than its time limit. Its transaction was rolled back."""

    code = "SW_JOB_TIMEOUT"
    fix = "Run the command of that job yourself to see how long it takes."


class JobKilled(ConflictError):
    """The process of the job ended before the job did, for example for lack of memory."""

    code = "SW_JOB_KILLED"
    fix = (
        "Look for the reason in the log of the host (`journalctl -k`), then run `scaiwave jobs "
        "retry`."
    )


class JobDefect(ScaiWaveError):
    """The job ended with an error that is a defect of the suite. Its traceback is in the log of
    the worker.
    """

    code = "SW_JOB_DEFECT"
    fix = "Report it with the traceback in the worker's log."
    remedy = "[Report it](#when-it-is-a-defect) with the traceback in the worker's log."
