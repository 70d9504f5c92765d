"""Retry failed jobs, and delete failed or waiting ones, one or all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.jobs.queries import build_job_row, get_job
from scaiwave.queue.connection import open_redis
from scaiwave.queue.errors import JobNotFailed, JobNotFound, JobRefused, JobRunning
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.serializers import Row

if TYPE_CHECKING:
    from scaiwave.operations.jobs.queue_state import QueuedJob

CLEARABLE = ("failed", "waiting")


@dataclass(frozen=True)
class JobResult:
    """`job` is the job as it was."""

    job: Row
    sentence: str

    def document(self) -> Row:
        return {"job": self.job, "changed": True}


def retry_job(
    *, operator: Operator, job_id: str, now: datetime, dry_run: bool = False
) -> JobResult:
    """Put a failed job to the end of its queue.

    Raises JobNotFound, JobNotFailed, JobRefused for one that no worker would run, and
    RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.queue_state import JobState, requeue_failed_job

        job = get_job(redis, job_id)
        if job.state is not JobState.FAILED:
            raise JobNotFailed(
                f"Job {job.id} has not failed: it is {job.state.value}.", fix=JobNotFailed.remedy
            )
        if job.record is None:
            raise JobRefused(
                f"Job {job.id} can't be run: {job.problem}.",
                fix="`scaiwave jobs clear` deletes it with the other failed jobs.",
            )
        result = JobResult(
            build_job_row(job),
            f"Would put job {job.id} into the queue again."
            if dry_run
            else f"Job {job.id} put into the queue again.",
        )
        if dry_run:
            return result
        # Redis has no part in the transaction, so the entry is written first.
        record_audit(
            operator=operator,
            action="jobs retry",
            subject=AuditSubject("job", job.id, job.record.definition.name),
            now=now,
            details={"error": _get_error_code(job)},
        )
        if not requeue_failed_job(redis, job.record):
            raise JobNotFailed(
                f"Job {job.id} has been retried or cleared by someone else.",
                fix="`scaiwave jobs list` lists the jobs.",
            )
        return result


def delete_job(
    *,
    operator: Operator,
    job_id: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> JobResult:
    """Delete a failed or a waiting job, also one that no worker would run.

    `confirm` is as in `clear_jobs`. Raises JobNotFound, JobRunning and RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.queue_state import JobState
        from scaiwave.operations.jobs.queue_state import delete_job as delete_from_queue

        job = get_job(redis, job_id)
        if job.state is JobState.RUNNING:
            raise JobRunning(f"Job {job.id} is running.")
        result = JobResult(
            build_job_row(job),
            f"Would delete job {job.id}." if dry_run else f"Job {job.id} deleted.",
        )
        if dry_run:
            return result
        name = job.record.definition.name if job.record else "refused"
        confirm(f"This deletes the {job.state.value} job {job.id} ({name}).")
        record_audit(
            operator=operator,
            action="jobs delete",
            subject=AuditSubject("job", job.id, name),
            now=now,
            details={"state": job.state.value, "error": _get_error_code(job)},
        )
        if not delete_from_queue(redis, job):
            raise JobNotFound(f"Job {job.id} has been started or deleted by now.")
        return result


def _get_error_code(job: QueuedJob) -> str:
    return (job.record.error or {}).get("code", "") if job.record else ""


@dataclass(frozen=True)
class ClearJobsResult:
    """`count` is how many jobs there were; in a dry run they are still there."""

    state: str
    count: int
    dry_run: bool

    @property
    def sentence(self) -> str:
        if not self.count:
            return f"There are no {self.state} jobs; nothing changed."
        jobs = pluralize(self.count, f"{self.state} job", f"{self.state} jobs")
        return f"Would delete {jobs}." if self.dry_run else f"Deleted {jobs}."

    def document(self) -> Row:
        return {
            "jobs": {"state": self.state, "count": self.count},
            "changed": self.count > 0,
        }


def clear_jobs(
    *,
    operator: Operator,
    state: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> ClearJobsResult:
    """Delete the jobs in one of the states CLEARABLE, including jobs that no worker would run.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises
    RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.job_pages import delete_jobs, iterate_jobs
        from scaiwave.operations.jobs.queue_state import JobState

        jobs = iterate_jobs(redis, JobState(state))
        names = Counter(job.record.definition.name if job.record else "refused" for job in jobs)
        result = ClearJobsResult(state, names.total(), dry_run)
        if dry_run or not names:
            return result
        confirm(f"This deletes {pluralize(result.count, f'{state} job', f'{state} jobs')}.")
        record_audit(
            operator=operator,
            action="jobs clear",
            subject=AuditSubject("job queue", state, f"{state} jobs"),
            now=now,
            details={"state": state, "jobs": dict(sorted(names.items()))},
        )
        delete_jobs(redis, JobState(state))
        return result
