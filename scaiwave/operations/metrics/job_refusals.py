"""The metric of jobs that workers have refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from scaiwave.operations.metrics.metric import Metric
from scaiwave.queue.definitions import RefusalReason
from tenants.counters import read_counter

REFUSALS_COUNTER = "jobs_refused"


def collect_job_refusals(now: datetime) -> Iterator[Metric]:
    counts = {labels["reason"]: count for labels, count in read_counter(REFUSALS_COUNTER)}
    # Prometheus does not notice the increase of a count that begins with 1.
    samples = [({"reason": reason.value}, counts.get(reason.value, 0)) for reason in RefusalReason]
    yield Metric(
        REFUSALS_COUNTER,
        "Jobs in Redis that workers have discarded, by reason.",
        samples,
        is_counter=True,
    )
