"""The worker: RQ's, for jobs that this server may run, with the errors and the log of this suite.

Each job has a process of its own, which ignores SIGTERM, so that only the worker decides about it:
the job may finish within the grace period, and is put back into the queue otherwise.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import connections
from redis.exceptions import RedisError, ResponseError
from rq import Worker
from rq.executions import Execution
from rq.job import JobStatus
from rq.timeouts import HorseMonitorTimeoutException, UnixSignalDeathPenalty
from rq.worker import WorkerStatus

from scaiwave import __version__
from scaiwave.core.errors import ScaiWaveError, TimeLimitSignal
from scaiwave.operations.jobs.error_log import RedisWatch, log_error
from scaiwave.operations.jobs.last_runs import write_last_run
from scaiwave.operations.jobs.maintenance import (
    clean_up_queue,
    fail_job,
    move_wrong_types,
    put_back_job,
    record_killed,
)
from scaiwave.queue.connection import check_responses, map_redis_error
from scaiwave.queue.definitions import RefusalReason
from scaiwave.queue.errors import JobDefect, JobKilled, JobTimedOut
from scaiwave.queue.rq_queue import OnRefused, SuiteJob, SuiteQueue, open_queues
from scaiwave.storage.error_mapping import translate_errors

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger("scaiwave.worker")

WAIT_SECONDS = 2
"""How long a request for the next job waits, and so how soon an idle worker stops or takes a job of
a later queue."""
MAX_IN_A_ROW = 4
"""Jobs of the first queue before one of another comes first."""
HEARTBEAT_SECONDS = 5
HEARTBEAT_TTL_SECONDS = 60
"""A worker without a heartbeat for so long is gone."""
MAINTENANCE_SECONDS = 30
MAX_RETRY_SECONDS = 30.0
MAX_BURST_FAILURES = 5
"""How often in a row a worker that is to end by itself tries a Redis that can't be used."""
OVERTIME_SECONDS = 60
"""A job that does not end with its time limit is killed after so many more seconds."""
MAX_RECORD_ATTEMPTS = 30
"""How often a job that has ended tries to record that, once a second."""


class _TimeLimit(UnixSignalDeathPenalty):
    """Ends a job like a signal does, so that `except Exception` in it lets it pass."""

    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> NoReturn:
        raise TimeLimitSignal


class SuiteWorker(Worker):
    """Runs jobs until it is stopped; with `burst`, until the queues are empty.

    `grace_seconds` is how long the job in progress may run on after SIGTERM or SIGINT. A second
    signal ends the grace period. `counts` are the jobs that were completed, failed, put back and
    refused.
    """

    def __init__(
        self,
        redis: Redis,
        queues: Sequence[str],
        *,
        grace_seconds: float,
        on_refused: OnRefused,
        on_minute: Callable[[], None] = lambda: None,
    ) -> None:
        self.suite_queues = open_queues(redis, queues)
        super().__init__(
            self.suite_queues,
            connection=redis,
            job_class=SuiteJob,
            queue_class=SuiteQueue,
            worker_ttl=HEARTBEAT_TTL_SECONDS,
            job_monitoring_interval=HEARTBEAT_SECONDS,
        )
        for queue in self.suite_queues:
            queue.on_refused = self._count_refused
        self.counts = {"completed": 0, "failed": 0, "put_back": 0, "refused": 0}
        self._on_refused, self._on_minute = on_refused, on_minute
        self._grace_seconds = grace_seconds
        self._stop_by: float | None = None
        self._watch = RedisWatch(logger, "Worker")
        self._in_a_row = 0
        self._next_heartbeat = self._next_maintenance = self._next_minute = 0.0

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep the timeout of the connection: RQ's is longer, for longer requests."""
        return connection

    @property
    def is_stopping(self) -> bool:
        return self._stop_by is not None

    # Starting and stopping

    def work_until_stopped(self, *, burst: bool) -> None:
        """Raises RedisError if Redis can't be used at the start; later it is tried again.

        With `burst` it is also raised after MAX_BURST_FAILURES.
        """
        self._move_wrong_types()
        self.register_birth()  # type: ignore[no-untyped-call]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        logger.info("Worker started for the queues: %s.", ", ".join(self.queue_names()))
        failures = 0
        try:
            while not self.is_stopping:
                try:
                    with check_responses():
                        has_worked = self._work_once(burst)
                except RedisError as error:
                    if self._move_wrong_types():
                        continue
                    failures += 1
                    if burst and failures == MAX_BURST_FAILURES:
                        raise
                    self._watch.report(error)
                    self._sleep(min(2.0 ** min(failures - 1, 10), MAX_RETRY_SECONDS))
                    continue
                failures = 0
                self._watch.report(None)
                if burst and not has_worked:
                    break
        finally:
            with suppress(RedisError), check_responses():
                self.register_death()  # type: ignore[no-untyped-call]
        logger.info("Worker stopped.")

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        """Stop after the job in progress. It must not log: a line may be half written."""
        grace = 0.0 if self.is_stopping else self._grace_seconds
        self._stop_by = time.monotonic() + grace

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.is_stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _move_wrong_types(self) -> bool:
        """Move keys of another type away, which stop everything; return whether there were any."""
        with suppress(RedisError), check_responses():
            return move_wrong_types(self.connection, logger)
        return False

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "scaiwave": __version__}

    # The queue

    def _work_once(self, burst: bool) -> bool:
        """Return whether there was a job, or entries of the queues are left to look at."""
        now = time.monotonic()
        if now >= self._next_maintenance:
            self._next_maintenance = now + MAINTENANCE_SECONDS
            move_wrong_types(self.connection, logger)
            for queue in self.suite_queues:
                clean_up_queue(queue)
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            # Also send the rest, if Redis has lost it or it has expired.
            is_listed = self.connection.sismember(self.redis_workers_keys, self.key)
            if is_listed and self.connection.hexists(self.key, "scaiwave"):
                self.heartbeat(HEARTBEAT_TTL_SECONDS)
            else:
                self.connection.delete(self.key)
                self.register_birth()  # type: ignore[no-untyped-call]
        if now >= self._next_minute:
            self._next_minute = now + 60
            self._on_minute()
            connections.close_all()  # A job's process must not inherit a connection.
        job = self._take()
        if job is None and not burst:
            job = self.suite_queues[0].take(WAIT_SECONDS)
        if job is None:
            return any(self.connection.llen(queue.key) for queue in self.suite_queues)
        if self.is_stopping:
            put_back_job(self._get_queue(job), job)
        else:
            self.execute_job(job, self._get_queue(job))
        return True

    def _take(self) -> SuiteJob | None:
        """Take a job of the first queue that has one. After MAX_IN_A_ROW of the first queue the
        others come before it: webhooks may fill it for days, and seals and purges must go on."""
        first, *others = self.suite_queues
        order = (first, *others) if self._in_a_row < MAX_IN_A_ROW else (*others, first)
        for queue in order:
            if (job := queue.take(None)) is not None:
                self._in_a_row = self._in_a_row + 1 if queue is first else 0
                return job
        return None

    def _get_queue(self, job: SuiteJob) -> SuiteQueue:
        return next(queue for queue in self.suite_queues if queue.name == job.origin)

    def _count_refused(self, reason: RefusalReason) -> None:
        self.counts["refused"] += 1
        try:
            with translate_errors():
                self._on_refused(reason)
        except ScaiWaveError as error:
            log_error(logger, "A refused job was not counted", error)
        finally:
            connections.close_all()  # A job's process must not inherit a connection.

    # A job, in the process of the worker

    def execute_job(self, job: SuiteJob, queue: SuiteQueue) -> None:  # type: ignore[override]
        connections.close_all()
        execution = self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        ended = self._monitor(job, execution)
        self.executions.pop(execution.id, None)
        if ended != os.EX_OK:
            reason = "The worker was stopped during this run."
            if ended is not None:
                error = ended if isinstance(ended, ScaiWaveError) else _killed_error(ended)
                reason = error.message
            record_killed(job.definition, reason)
        status = self.connection.hget(job.key, "status")
        if status == JobStatus.FAILED.value.encode():
            self.counts["failed"] += 1
        elif status is None or ended == os.EX_OK:
            self.counts["completed"] += 1
        elif ended is None or status == JobStatus.QUEUED.value.encode():
            put_back_job(queue, job, execution)
            self.counts["put_back"] += 1
            logger.warning("Job put back into the queue: %s (%s).", job.definition.name, job.id)
        else:
            error = ended if isinstance(ended, ScaiWaveError) else _killed_error(ended)
            fail_job(queue, job, error, execution)
            self.counts["failed"] += 1
            _log_failure(job, error)
        self.set_state(WorkerStatus.IDLE)

    def _monitor(self, job: SuiteJob, execution: Execution) -> int | ScaiWaveError | None:
        """Wait for the end of the job's process.

        Return its status, the error if it was killed for its time, and None if it was stopped.
        """
        started = time.monotonic()
        kill_at = started + job.time_limit + OVERTIME_SECONDS
        next_heartbeat = started + HEARTBEAT_SECONDS
        result: ScaiWaveError | None = None
        is_killed = False
        status: int | None = None
        while True:
            try:
                with self.death_penalty_class(1, HorseMonitorTimeoutException):
                    _, status, _ = self.wait_for_horse()
                break
            except HorseMonitorTimeoutException:
                pass
            now = time.monotonic()
            if self._stop_by is not None and now >= self._stop_by:
                is_killed = True
                self.kill_horse()
            elif now >= kill_at:
                is_killed, result = True, _timeout_error(job)
                self.kill_horse()
            elif now >= next_heartbeat:
                next_heartbeat = now + HEARTBEAT_SECONDS
                with suppress(RedisError), check_responses():  # The job does not depend on it.
                    self.maintain_heartbeats(job, execution)
        self._horse_pid = 0
        return result if is_killed and status != 0 else status

    # A job, in its own process

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def perform_job(  # type: ignore[override]
        self, job: SuiteJob, queue: SuiteQueue, execution: Execution
    ) -> bool:
        """Run the job and record its end; return whether it succeeded."""
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        with suppress(ResponseError):  # It may be no number, like anything in Redis.
            self.connection.hincrby(job.key, "attempts", 1)
        logger.info("Job started: %s (%s).", job.definition.name, job.id)
        started = time.monotonic()
        error = self._perform(job)
        seconds = time.monotonic() - started
        if error is None:
            logger.info("Job completed: %s (%s) in %.1f s.", job.definition.name, job.id, seconds)
        for attempt in range(MAX_RECORD_ATTEMPTS):
            try:
                with check_responses():
                    self._record(job, queue, execution, error)
                break
            except RedisError as redis_error:
                if self._move_wrong_types():
                    continue
                if attempt == MAX_RECORD_ATTEMPTS - 1:
                    what = f"The end of job {job.definition.name} ({job.id}) was not recorded"
                    log_error(logger, what, map_redis_error(redis_error), job_id=job.id)
                time.sleep(1)
        connections.close_all()
        return error is None

    def _perform(self, job: SuiteJob) -> ScaiWaveError | None:
        try:
            limit = _TimeLimit(job.time_limit)  # type: ignore[no-untyped-call]
            with limit, translate_errors():
                job.perform()
        except TimeLimitSignal:
            error: ScaiWaveError = _timeout_error(job)
        except ScaiWaveError as known:
            error = known
        except Exception as defect:
            error = JobDefect(f"{type(defect).__name__} in {job.definition.name}.")
            logger.exception("Job failed with a defect: %s (%s).", job.definition.name, job.id)
            return error
        else:
            return None
        _log_failure(job, error)
        return error

    def _record(
        self, job: SuiteJob, queue: SuiteQueue, execution: Execution, error: ScaiWaveError | None
    ) -> None:
        if error is not None:
            fail_job(queue, job, error, execution)
            return
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.delete(job.key)
            write_last_run(pipeline, job.definition.function)
            self.increment_successful_job_count(pipeline)
            pipeline.execute()


def _timeout_error(job: SuiteJob) -> JobTimedOut:
    return JobTimedOut(f"{job.definition.name} took longer than its limit of {job.time_limit:,} s.")


def _killed_error(status: int) -> JobKilled:
    how = (
        f"by signal {os.WTERMSIG(status)}"
        if os.WIFSIGNALED(status)
        else f"with exit code {os.waitstatus_to_exitcode(status)}"
    )
    return JobKilled(f"The process of the job ended {how}.")


def _log_failure(job: SuiteJob, error: ScaiWaveError) -> None:
    log_error(
        logger,
        f"Job failed: {job.definition.name} ({job.id})",
        error,
        job_id=job.id,
        function=job.definition.function,
    )
