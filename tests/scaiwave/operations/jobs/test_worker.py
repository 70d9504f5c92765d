"""A worker in this process, with jobs that the test allows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from scaiwave.operations.jobs.jobs_in_redis import load_jobs, requeue_failed_job
from scaiwave.operations.jobs.last_runs import read_last_runs
from scaiwave.operations.jobs.worker import SuiteWorker
from scaiwave.queue import jobs
from scaiwave.queue.definitions import JobDefinition
from scaiwave.queue.rq_queue import enqueue_job, open_queues

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


def start(redis: Redis) -> SuiteWorker:
    return SuiteWorker(open_queues(redis), connection=redis)


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
    worker = start(redis)
    enqueue_job(redis, f"tests.scaiwave.operations.jobs.slow_jobs.{name}")
    worker.work(burst=True)
    assert worker.counts["failed"] == 1
    (job,) = load_jobs(redis, "failed")
    assert job.last_error is not None
    assert job.last_error["code"] == code
    assert "Job failed" in log.read_text()
    assert ("Traceback" in log.read_text()) is has_traceback
    assert "Traceback" not in str(redis.hgetall(f"rq:job:{job.id}"))


@pytest.mark.usefixtures("allow")
def test_success_attempts_are_counted_and_the_last_end_is_known(redis: Redis, log: Path) -> None:
    failing, ending = (
        f"tests.scaiwave.operations.jobs.slow_jobs.{name}" for name in ("divide", "end")
    )
    enqueue_job(redis, failing)
    enqueue_job(redis, ending)
    for attempts in (1, 2):
        worker = start(redis)
        worker.work(burst=True)
        (job,) = load_jobs(redis)
        assert job.attempts == attempts
        assert requeue_failed_job(job)
    runs = read_last_runs(redis, [failing, ending, "unknown"])
    assert {name: run.error_code for name, run in runs.items()} == {
        failing: "SW_JOB_DEFECT",
        ending: "",
    }


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
        def execute_job(self, job: Any, queue: Any) -> None:
            order.append(queue.name)
            if queue.name == "default" and len(order) < 10:
                enqueue_job(redis, names["end"])
            super().execute_job(job, queue)

    for name in ("end", "rest", "rest"):
        enqueue_job(redis, names[name])
    worker = Recorder(open_queues(redis), connection=redis)
    worker.work(burst=True)
    assert order[:6] == ["default", "background"] * 2 + ["default"] * 2
    assert worker.counts["failed"] == 0
