"""A worker in this process, with jobs that the test allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from scaiwave.operations.jobs.job_pages import iterate_jobs
from scaiwave.operations.jobs.last_runs import read_last_runs
from scaiwave.operations.jobs.queue_state import JobState, requeue_failed_job
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.queue import jobs
from scaiwave.queue.definitions import JobDefinition
from scaiwave.queue.rq_queue import SuiteJob, SuiteQueue, enqueue_job

pytestmark = pytest.mark.redis


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Log to a file, in which the processes of jobs log too."""
    path = tmp_path / "worker.log"
    handler, logger = logging.FileHandler(path), logging.getLogger("scaiwave.worker")
    logger.addHandler(handler)
    yield path
    logger.removeHandler(handler)
    handler.close()


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sleep", "divide", "end"):
        function = f"tests.scaiwave.operations.jobs.slow_jobs.{name}"
        definition = JobDefinition(function, get_timeout=lambda config: 1)
        monkeypatch.setitem(cast(dict[str, JobDefinition], jobs.JOBS), function, definition)


@pytest.mark.parametrize(
    ("name", "code", "has_traceback"),
    [("sleep", "SW_JOB_TIMEOUT", False), ("divide", "SW_JOB_DEFECT", True)],
)
@pytest.mark.usefixtures("allow")
def test_fail_a_job(name: str, code: str, has_traceback: bool, redis: Redis, log: Path) -> None:
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    enqueue_job(redis, f"tests.scaiwave.operations.jobs.slow_jobs.{name}")
    worker.work_until_stopped(burst=True)
    assert worker.counts["failed"] == 1
    (job,) = iterate_jobs(redis)
    assert job.state is JobState.FAILED
    assert job.record is not None
    assert job.record.error is not None
    assert job.record.error["code"] == code
    assert "Job failed" in log.read_text()
    assert ("Traceback" in log.read_text()) is has_traceback
    assert "Traceback" not in str(redis.hgetall(f"rq:job:{job.id}"))


@pytest.mark.usefixtures("allow")
def test_success_attempts_are_counted_and_the_last_end_is_known(redis: Redis, log: Path) -> None:
    failing, ending = (
        f"tests.scaiwave.operations.jobs.slow_jobs.{name}" for name in ("divide", "end")
    )
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    enqueue_job(redis, failing)
    enqueue_job(redis, ending)
    for attempts in (1, 2):
        worker.work_until_stopped(burst=True)
        (job,) = iterate_jobs(redis)
        assert job.record is not None
        assert job.record.attempts == attempts
        assert requeue_failed_job(redis, job.record)
    runs = read_last_runs(redis, [failing, ending, "unknown"])
    assert {name: run.error_code for name, run in runs.items()} == {
        failing: "SW_JOB_DEFECT",
        ending: "",
    }


@pytest.mark.usefixtures("allow")
def test_success_attempts_that_are_no_number_do_not_stop_a_job(redis: Redis, log: Path) -> None:
    job_id = enqueue_job(redis, "tests.scaiwave.operations.jobs.slow_jobs.end")
    redis.hset(f"rq:job:{job_id}", "attempts", "many")
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    worker.work_until_stopped(burst=True)
    assert worker.counts["completed"] == 1


def test_success_maintenance_goes_on_under_a_stream_of_urgent_jobs(
    redis: Redis, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of webhooks, of which each job puts the next one into the queue."""
    table = cast(dict[str, JobDefinition], jobs.JOBS)
    names = {name: f"tests.scaiwave.operations.jobs.slow_jobs.{name}" for name in ("end", "rest")}
    for queue, name in (("default", "end"), ("background", "rest")):
        definition = JobDefinition(names[name], get_timeout=lambda config: 1, queue=queue)
        monkeypatch.setitem(table, names[name], definition)
    order = []

    class Recorder(SuiteWorker):
        def execute_job(self, job: SuiteJob, queue: SuiteQueue) -> None:  # type: ignore[override]
            order.append(queue.name)
            if queue.name == "default" and len(order) < 10:
                enqueue_job(redis, names["end"])
            super().execute_job(job, queue)

    for name in ("end", "rest", "rest"):
        enqueue_job(redis, names[name])
    worker = Recorder(
        redis, ["default", "background"], grace_seconds=0, on_refused=lambda reason: None
    )
    worker.work_until_stopped(burst=True)
    assert order[:10] == [*["default"] * 4, "background"] * 2
    assert worker.counts["failed"] == 0


@pytest.mark.usefixtures("allow")
def test_success_many_entries_that_can_not_be_run_are_dropped_in_parts(
    redis: Redis, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaiwave.queue.rq_queue.MAX_DROPPED", 10)
    redis.rpush("rq:queue:default", *(f"expired-{number}" for number in range(25)))
    enqueue_job(redis, "tests.scaiwave.operations.jobs.slow_jobs.end")
    stopped = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    assert stopped._work_once(burst=True)
    assert (stopped.counts["completed"], redis.llen("rq:queue:default")) == (0, 16)
    worker = SuiteWorker(redis, ["default"], grace_seconds=0, on_refused=lambda reason: None)
    worker.work_until_stopped(burst=True)
    assert (worker.counts["completed"], redis.llen("rq:queue:default")) == (1, 0)
