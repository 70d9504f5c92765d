"""Change jobs in Redis: put them back, fail them, and clean up after killed workers."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import connections
from django.utils.module_loading import import_string
from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import JobStatus
from rq.utils import utcformat

from scaiwave.core.errors import ScaiWaveError
from scaiwave.ids import new_id
from scaiwave.operations.jobs.error_log import log_error
from scaiwave.operations.jobs.last_runs import write_last_run
from scaiwave.queue.definitions import FAILED_JOB_SECONDS, JobDefinition
from scaiwave.queue.errors import JobKilled, RedisKeyMisused
from scaiwave.queue.keys import find_wrong_types
from scaiwave.queue.raw_values import read_list, read_members_before
from scaiwave.queue.records import UnsafeJob, parse_job_id
from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue
from scaiwave.storage.error_mapping import translate_errors

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

logger = logging.getLogger("scaiwave.worker")

LOCK_SECONDS = 20
MAX_ENTRIES = 100
"""Entries of a queue that one clean-up looks at."""
LOST_SECONDS = 60
"""A job that was taken from the queue and not started for so long belonged to a killed worker."""


def put_back_job(queue: SuiteQueue, job: SuiteJob, execution: Execution | None = None) -> None:
    """Put a job to the front of its queue; it waits there as long as a new one."""
    with queue.connection.pipeline() as pipeline:
        _end_execution(pipeline, queue, job, execution)
        pipeline.hset(job.key, "status", JobStatus.QUEUED.value)
        if job.definition.wait_seconds is not None:
            pipeline.expire(job.key, job.definition.wait_seconds)
        queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
        pipeline.execute()


def fail_job(
    queue: SuiteQueue, job: SuiteJob, error: ScaiWaveError, execution: Execution | None = None
) -> None:
    """Keep the job with its error, without a traceback, for a week.

    Nothing is left to keep if Redis has lost its data since the job began.
    """
    if not queue.connection.exists(job.key):
        return
    with queue.connection.pipeline() as pipeline:
        _end_execution(pipeline, queue, job, execution)
        pipeline.hset(
            job.key,
            mapping={
                "status": JobStatus.FAILED.value,
                "ended_at": utcformat(datetime.now(UTC)),
                "error_code": error.code,
                "error_message": error.message[:1000],
                "error_fix": error.fix[:1000],
            },
        )
        pipeline.expire(job.key, FAILED_JOB_SECONDS)
        pipeline.zadd(queue.failed_job_registry.key, {job.id: time.time() + FAILED_JOB_SECONDS})
        write_last_run(pipeline, job.definition.function, error_code=error.code)
        pipeline.execute()


def _end_execution(
    pipeline: Pipeline, queue: SuiteQueue, job: SuiteJob, execution: Execution | None
) -> None:
    pipeline.lrem(queue.intermediate_key, 0, job.id)
    if execution is not None:
        execution.delete(job=job, pipeline=pipeline)


def record_killed(definition: JobDefinition, reason: str) -> None:
    """Record that a killed job has ended, so that no report takes its work for running."""
    if not definition.on_killed:
        return
    try:
        with translate_errors():
            import_string(definition.on_killed)(reason)
    except ScaiWaveError as error:
        log_error(logger, f"The end of the run of {definition.name} was not recorded", error)
    finally:
        connections.close_all()  # A job's process must not inherit a connection.


def move_wrong_types(redis: Redis, logger: logging.Logger) -> bool:
    """Rename the keys of another type, so that the others can be used; return whether any was."""
    is_moved = False
    for key, sentence in find_wrong_types(redis).items():
        target = f"scaiwave:moved:{key}:{new_id().hex}"
        with suppress(ResponseError):  # Another process has moved it, or this one may not.
            redis.rename(key, target)
            is_moved = True
            error = RedisKeyMisused(f"{sentence}: it is now {target}.")
            log_error(logger, "Key of Redis renamed", error)
    return is_moved


def clean_up_queue(queue: SuiteQueue) -> None:
    """Put back the jobs that a killed worker had not started, and fail the started ones.

    One worker does it every few seconds. Entries of Redis that are not jobs are deleted.
    """
    if not queue.connection.set(f"scaiwave:cleaning:{queue.name}", 1, nx=True, ex=LOCK_SECONDS):
        return
    queue.discard_oversized()
    _put_back_lost_jobs(queue)
    _fail_abandoned_jobs(queue)
    queue.connection.zremrangebyscore(queue.failed_job_registry.key, 0, time.time())


def _put_back_lost_jobs(queue: SuiteQueue) -> None:
    for raw_id in read_list(queue.connection, queue.intermediate_key, limit=MAX_ENTRIES):
        try:
            job = SuiteJob.fetch(parse_job_id(raw_id), connection=queue.connection)
        except UnsafeJob as unsafe:
            queue.discard(raw_id, unsafe)
            continue
        except NoSuchJobError:
            queue.remove_intermediate(raw_id)
            continue
        if job.record.status == JobStatus.STARTED.value:
            queue.remove_intermediate(raw_id)
            continue
        # The time of the first look, which ends with this mark.
        mark = f"{queue.intermediate_key}:seen:{job.id}"
        first_look = queue.connection.set(mark, int(time.time()), nx=True, ex=24 * 3600)
        age = LOST_SECONDS + 1.0
        with suppress(TypeError, ValueError):
            age = time.time() - float(queue.connection.get(mark) or 0)
        if not first_look and age > LOST_SECONDS:
            put_back_job(queue, job)
            queue.connection.delete(mark)
            logger.warning("Job put back into the queue: %s (%s).", job.definition.name, job.id)


def _fail_abandoned_jobs(queue: SuiteQueue) -> None:
    """Fail the jobs whose worker has stopped sending heartbeats."""
    key = queue.started_job_registry.key
    for member in read_members_before(queue.connection, key, time.time(), limit=MAX_ENTRIES):
        queue.connection.zrem(key, member)
        try:
            job_id = parse_job_id(member.partition(b":")[0])
            job = SuiteJob.fetch(job_id, connection=queue.connection)
        except NoSuchJobError:
            continue
        if job.record.status == JobStatus.STARTED.value:
            error = JobKilled("The worker was killed, or its host failed.")
            record_killed(job.definition, error.message)
            fail_job(queue, job, error)
            what = f"Job failed: {job.definition.name} ({job.id})"
            log_error(logger, what, error, job_id=job.id, function=job.definition.function)
