"""Retry failed jobs, and delete failed or waiting ones, one or all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING

from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.jobs.queries import build_job_row, get_job
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import FAILED, RUNNING, WAITING
from scaiwave.queue.errors import JobNotFailed, JobNotFound, JobRefused, JobRunning
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import AuditEntry

if TYPE_CHECKING:
    from scaiwave.queue.rq_queue import SuiteJob

CLEARABLE = (FAILED, WAITING)

RETRY = ChangeWords(
    "job", "Would put job {id} into the queue again.", "Job {id} put into the queue again."
)
DELETION = ChangeWords("job", "Would delete job {id}.", "Job {id} deleted.")
CLEARANCE = ChangeWords(
    "jobs",
    "Would delete {jobs}.",
    "Deleted {jobs}.",
    "There are no {state} jobs; nothing changed.",
)
"""Their records are the jobs as they were."""


def retry_job(*, operator: Operator, job_id: str, now: datetime, dry_run: bool = False) -> Change:
    """Put a failed job to the end of its queue.

    Raises JobNotFound, JobNotFailed, JobRefused for one that no worker would run or that
    runs once, and RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import requeue_failed_job

        job = get_job(redis, job_id)
        _require_retryable(job)
        result = Change(RETRY, build_job_row(job), not dry_run, dry_run)
        if dry_run:
            return result
        # Redis has no part in the transaction, so the entry is written first.
        _record(operator, "jobs retry", job, now)
        if not requeue_failed_job(job):
            raise JobNotFailed(
                f"Job {job.id} has been retried or cleared by someone else.",
                fix="`scaiwave jobs list` lists the jobs.",
            )
        return result


def _require_retryable(job: SuiteJob) -> None:
    if job.state != FAILED:
        raise JobNotFailed(
            f"Job {job.id} has not failed: it is {job.state}.", fix=JobNotFailed.remedy
        )
    if job.problem:
        raise JobRefused(
            f"Job {job.id} can't be run: {job.problem}.",
            fix="`scaiwave jobs clear` deletes it with the other failed jobs.",
        )
    if job.runs_once:
        raise JobRefused(
            f"Job {job.id} can't be run again: it was a request, and each runs once.",
            fix=f"Start another one: {_describe_request(job)}.",
        )


def _describe_request(job: SuiteJob) -> str:
    """Return the command that does what a job was requested for, or the acts that request it."""
    entry = AuditEntry.objects.filter(
        action="request-sync", subject_type="syncrun", subject_id=job.args[0]
    ).first()
    if entry is None:
        return job.definition.occasion if job.definition else ""
    words = ["scaiwave sync"]
    if entry.tenant_id:
        words.append(f"--tenant {quote(entry.tenant_slug)}")
    if entry.details["dry_run"]:
        words.append("--dry-run")
    return f"`{' '.join(words)}`"


def delete_job(
    *,
    operator: Operator,
    job_id: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Delete a failed or a waiting job, also one that no worker would run.

    `confirm` is as in `clear_jobs`. Raises JobNotFound, JobRunning and RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import delete_from_queue

        job = get_job(redis, job_id)
        if job.state == RUNNING:
            raise JobRunning(f"Job {job.id} is running.")
        result = Change(DELETION, build_job_row(job), not dry_run, dry_run)
        if dry_run:
            return result
        confirm(f"This deletes the {job.state} job {job.id} ({job.name}).")
        _record(operator, "jobs delete", job, now, state=job.state)
        if not delete_from_queue(job):
            raise JobNotFound(f"Job {job.id} has been started or deleted by now.")
        return result


def _record(operator: Operator, action: str, job: SuiteJob, now: datetime, **details: str) -> None:
    details["error"] = (job.last_error or {}).get("code", "")
    record_audit(operator, action, AuditSubject("job", job.id, job.name), now, details)


def clear_jobs(
    *,
    operator: Operator,
    state: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Delete the jobs in one of the states CLEARABLE, including jobs that no worker would run.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises
    RedisUnreachable.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with open_redis() as redis:
        from scaiwave.operations.jobs.jobs_in_redis import delete_from_queue, load_jobs

        jobs = load_jobs(redis, state)
        names = Counter(job.name for job in jobs)
        subject = {"state": state, "count": names.total()}
        named = {"jobs": pluralize(names.total(), f"{state} job", f"{state} jobs")}
        if dry_run or not names:
            return Change(CLEARANCE, subject, dry_run=bool(names), names=named)
        confirm(f"This deletes {named['jobs']}.")
        record_audit(
            operator=operator,
            action="jobs clear",
            subject=AuditSubject("job queue", state, f"{state} jobs"),
            now=now,
            details={"state": state, "jobs": dict(sorted(names.items()))},
        )
        for job in jobs:
            delete_from_queue(job)
        return Change(CLEARANCE, subject, changed=True, names=named)
