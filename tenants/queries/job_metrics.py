"""The metric of jobs that workers have refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from scaiwave.registry import Metric
from tenants.services.counters import read_counter

REFUSALS_COUNTER = "jobs_refused"


def collect_job_refusals(now: datetime) -> Iterator[Metric]:
    yield Metric(
        REFUSALS_COUNTER,
        "Jobs in Redis that workers have discarded, by reason.",
        read_counter(REFUSALS_COUNTER),
        is_counter=True,
    )
