"""The worker: RQ's, with the errors and the log of this suite, and an end of the grace period.

Each job has a process of its own, which ignores SIGTERM, so that only the worker decides about it:
the job may finish within the grace period, and is put back into the queue otherwise. What killed
workers leave is found by RQ's registries.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType, TracebackType
from typing import Any, NoReturn

from django.db import connections
from django.utils.module_loading import import_string
from redis.backoff import ConstantBackoff, NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import AbandonedJobError, DeserializationError, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.worker import RoundRobinWorker
from rq.worker_registration import register

from scaiwave import __version__
from scaiwave.core.errors import ScaiWaveError, TimeLimitSignal
from scaiwave.operations.jobs.error_log import log_error
from scaiwave.operations.jobs.last_runs import write_last_run
from scaiwave.operations.notifications.news import report_problems
from scaiwave.queue.definitions import GRACE_SECONDS, REFUSALS_COUNTER, RefusalReason
from scaiwave.queue.errors import JobDefect, JobKilled, JobRefused, JobTimedOut
from scaiwave.queue.rq_queue import (
    ERROR_FIELDS,
    MAINTENANCE_SECONDS,
    SuiteJob,
    SuiteQueue,
)
from scaiwave.storage.error_mapping import translate_errors
from tenants.counters import increment_counter

logger = logging.getLogger("scaiwave.worker")

HEARTBEAT_SECONDS = 5
RETRY_SECONDS = 30
"""How long a worker waits for a Redis in silence."""
WORKER_TTL_SECONDS = 17
"""RQ waits 15 seconds less for a job, and keeps a silent worker for 60 seconds more."""


class _TimeLimit(UnixSignalDeathPenalty):
    """Ends a job like a signal does, so that `except Exception` in it lets it pass."""

    def handle_death_penalty(self, signum: int, frame: object) -> NoReturn:
        raise TimeLimitSignal if self._exception is JobTimeoutException else self._exception


class SuiteWorker(RoundRobinWorker):
    """Takes turns between its queues: events may fill one for days, and seals must go on.

    `grace_seconds` is how long the job in progress may run on after SIGTERM or SIGINT. A second
    signal ends the grace period. `counts` are the jobs that were completed, failed, put back and
    refused.
    """

    death_penalty_class = _TimeLimit
    grace_seconds: float = GRACE_SECONDS

    def __init__(self, queues: Any, *args: Any, **options: Any) -> None:
        ours = {
            "serializer": JSONSerializer,
            "job_class": SuiteJob,
            "queue_class": SuiteQueue,
            "maintenance_interval": MAINTENANCE_SECONDS,
            "job_monitoring_interval": HEARTBEAT_SECONDS,
            "worker_ttl": WORKER_TTL_SECONDS,
            "exception_handlers": [record_failure],
        }
        super().__init__(queues, *args, **{**options, **ours})
        self.counts = {"completed": 0, "failed": 0, "put_back": 0, "refused": 0}

    def run_maintenance_tasks(self) -> None:
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        report_problems()
        connections.close_all()  # A job's process must not inherit a connection.

    # Redis may be restarted at any moment, also while the end of a job is recorded, and may lose
    # its memory: RQ never repeats what it has registered once.

    def bootstrap(self, *args: Any, **options: Any) -> None:
        super().bootstrap(*args, **options)
        self.connection.set_retry(Retry(ConstantBackoff(1), RETRY_SECONDS))

    def teardown(self) -> None:
        self.connection.set_retry(Retry(NoBackoff(), 0))
        with suppress(RedisError):
            super().teardown()  # type: ignore[no-untyped-call]

    def serialize(self) -> dict[str, object]:
        return {**super().serialize(), "scaiwave": __version__, "state": self.get_state()}

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        super().heartbeat(timeout, pipeline)
        with self.connection.pipeline() as own:
            values: Any = self.serialize()
            own.hset(self.key, mapping=values)
            register(self, own)
            own.execute()

    def maintain_heartbeats(self, *args: Any) -> None:
        with suppress(RedisError):  # RQ would end here, without its job's process.
            super().maintain_heartbeats(*args)

    # A job, in the process of the worker

    def execute_job(self, job: Job, queue: Queue) -> None:
        connections.close_all()
        super().execute_job(job, queue)
        status, code = self.connection.hmget(job.key, "status", ERROR_FIELDS[0])
        if status == JobStatus.FAILED.value.encode():
            self.counts["refused" if code == JobRefused.code.encode() else "failed"] += 1
        elif status is None:
            self.counts["completed"] += 1

    def handle_work_horse_killed(
        self, job: SuiteJob, pid: int, status: int | None, usage: object
    ) -> None:
        """RQ has killed it itself if it has no status."""
        if status is None:
            error: ScaiWaveError = _build_timeout(job)
            _record_killed(job, error.message)
        else:
            code = os.waitstatus_to_exitcode(status)
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            error = _build_killed(job, f"The process of the job ended {how}.")
        record_failure(job, type(error), error, None)

    # A job, in its own process

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = True) -> None:
        super().prepare_job_execution(job, remove_from_intermediate_queue=True)

    def handle_job_success(self, job: Any, *args: Any, **options: Any) -> None:
        if job.is_kept():  # RQ calls a lost record a failure.
            super().handle_job_success(job, *args, **options)
        write_last_run(self.connection, job.func_name)

    # A job that has failed: in its own process, after its process was killed, or never started

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        record_failure(job, *exc_info)

    def handle_job_failure(
        self, job: Any, queue: Queue, *args: Any, execution: Execution | None = None, **options: Any
    ) -> None:
        if job.failure is None and execution is None:  # Its worker was killed before it started it.
            job.retries_left = (job.retries_left or 0) + 1
            logger.warning("Job put back into the queue: %s (%s).", job.name, job.id)
        elif job.failure is None:
            error = _build_killed(job, "A command of RQ has stopped it.")
            record_failure(job, JobKilled, error, None)
        if job.is_kept():
            options |= {
                "execution": execution,
                "exc_string": job.failure.code if job.failure else "",
            }
            super().handle_job_failure(job, queue, *args, **options)
        job.failure = None

    # Stopping

    def handle_warm_shutdown_request(self) -> None:
        """Send the second signal at the end of the grace period. RQ ignores one within a second."""
        end = Timer(max(self.grace_seconds, 1.1), os.kill, (os.getpid(), signal.SIGTERM))
        end.daemon = True
        end.start()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Kill the job, and put it back; RQ would leave that to the worker that finds it."""
        try:
            super().request_force_stop(signum, frame)
        except SystemExit:
            signal.alarm(0)  # RQ's look at the job's process
            for execution in list(self.executions.values()):
                with suppress(NoSuchJobError):
                    self._put_back(SuiteJob.fetch(execution.job_id, self.connection), execution)
            raise

    def _put_back(self, job: SuiteJob, execution: Execution) -> None:
        if job.get_status(refresh=False) not in (JobStatus.STARTED, JobStatus.QUEUED):
            return  # It has ended with the grace period.
        _record_killed(job, "The worker was stopped during this run.")
        job.retries_left = (job.retries_left or 0) + 1
        job.enqueue_at_front_on_retry = True
        queue = SuiteQueue(job.origin, connection=self.connection)
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            job.retry(queue, pipeline)
            pipeline.execute()
        self.counts["put_back"] += 1
        logger.warning("Job put back into the queue: %s (%s).", job.name, job.id)


def record_failure(
    job: SuiteJob, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Write the error of a job into its record, and log it. Only a killed job is tried again."""
    failure = job.failure = _build_failure(job, error)
    if isinstance(failure, JobRefused):
        what = f"Job refused: {job.id}"
        _count_refusal(job)
    else:
        what = f"Job failed: {job.name} ({job.id})"
    if not isinstance(failure, JobKilled):
        job.retries_left = None
    texts = (failure.code, failure.message[:1000], failure.fix[:1000])
    with suppress(RedisError):
        if job.is_kept():
            job.connection.hset(job.key, mapping=dict(zip(ERROR_FIELDS, texts, strict=True)))
        if job.definition:
            write_last_run(job.connection, job.definition.function, error_code=failure.code)
    if isinstance(failure, JobDefect):
        logger.error("Defect in a job.", exc_info=(kind, error, traceback))
    function = job.definition.function if job.definition else ""
    log_error(logger, what, failure, job_id=job.id, function=function)


def _build_failure(job: SuiteJob, error: BaseException) -> ScaiWaveError:
    try:
        with translate_errors():
            raise error
    except ScaiWaveError as known:
        return known
    except TimeLimitSignal:
        return _build_timeout(job)
    except AbandonedJobError:
        # RQ lists the lost execution for a minute more, and fails at the end of the next one.
        job.connection.delete(job.execution_registry.key)
        return _build_killed(job, "The worker was killed, or its host failed.")
    except DeserializationError:
        return JobRefused(f"{job.problem}.")
    except BaseException as defect:  # noqa: BLE001 - RQ gives whatever ended the job
        return JobDefect(f"{type(defect).__name__} in {job.name}.")


def _build_timeout(job: SuiteJob) -> JobTimedOut:
    return JobTimedOut(f"{job.name} took longer than its limit of {job.timeout:,} s.")


def _build_killed(job: SuiteJob, reason: str) -> JobKilled:
    _record_killed(job, reason)
    return JobKilled(reason)


def _record_killed(job: SuiteJob, reason: str) -> None:
    """Record that a killed job has ended, so that no report takes its work for running."""
    if job.definition and job.definition.on_killed:
        with _database(f"The end of the run of {job.name} was not recorded"):
            import_string(job.definition.on_killed)(reason)


def _count_refusal(job: SuiteJob) -> None:
    reason, _ = job.find_refusal() or (RefusalReason.FORMAT, "")
    with _database("A refused job was not counted"):
        increment_counter(REFUSALS_COUNTER, reason=reason.value)


@contextmanager
def _database(what: str) -> Iterator[None]:
    """Log an error of the database, and close it: a job's process must not inherit a connection."""
    try:
        with translate_errors():
            yield
    except ScaiWaveError as error:
        log_error(logger, what, error)
    finally:
        connections.close_all()
