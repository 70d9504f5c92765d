"""The metrics of the queues, the workers and the scheduler."""

from __future__ import annotations

from collections.abc import Mapping

from scaiwave.operations.jobs.job_pages import count_jobs
from scaiwave.operations.jobs.queue_state import JobState
from scaiwave.operations.metrics.metric import Metric
from scaiwave.queue.connection import open_redis
from scaiwave.queue.heartbeats import list_schedulers, list_workers

TIMEOUT_SECONDS = 2.0


def collect_job_metrics() -> list[Metric]:
    """Raises RedisUnreachable."""
    with open_redis(timeout=TIMEOUT_SECONDS) as redis:
        waiting, running, failed = (
            count_jobs(redis, state)
            for state in (JobState.WAITING, JobState.RUNNING, JobState.FAILED)
        )
        workers, schedulers = list_workers(redis), list_schedulers(redis)
    active = [beat for beat in schedulers if beat.is_active]
    heartbeats = [beat.seen_at.timestamp() for beat in workers if beat.seen_at is not None]
    return [
        Metric("jobs_waiting", "Jobs that wait for a worker.", _label(waiting)),
        Metric("jobs_running", "Jobs in progress.", _label(running)),
        Metric("jobs_failed", "Failed jobs that Redis keeps.", _label(failed)),
        Metric("workers", "Workers with a recent heartbeat.", [({}, len(workers))]),
        Metric(
            "worker_last_heartbeat_timestamp_seconds",
            "Latest heartbeat of a worker, in Unix time.",
            [({}, max(heartbeats))] if heartbeats else [],
        ),
        Metric(
            "schedulers",
            "Schedulers with a recent heartbeat: one is active, the others wait.",
            [
                ({"state": "active"}, len(active)),
                ({"state": "standby"}, len(schedulers) - len(active)),
            ],
        ),
        Metric(
            "scheduler_last_heartbeat_timestamp_seconds",
            "Latest heartbeat of the active scheduler, in Unix time.",
            [({}, max(beat.seen_at for beat in active).timestamp())] if active else [],
        ),
    ]


def _label(counts: Mapping[str, int]) -> list[tuple[dict[str, str], float]]:
    return [({"queue": name}, count) for name, count in counts.items()]
