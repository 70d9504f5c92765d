"""The jobs in Redis that mention a tenant, for its erasure. Completed jobs are not kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.conf import settings

from scaiwave.core.mentions import ErasedTenant
from scaiwave.extensions import TenantPlace
from scaiwave.queue.connection import open_redis


class _Jobs:
    """Waiting and failed jobs whose arguments or error mention the tenant."""

    name = "jobs"

    def count(self, tenant: ErasedTenant) -> int:
        return self._find(tenant, deletes=False)

    def erase(self, tenant: ErasedTenant) -> None:
        self._find(tenant, deletes=True)

    def _find(self, tenant: ErasedTenant, *, deletes: bool) -> int:
        if not settings.REDIS_URL:
            return 0
        with open_redis() as redis:
            from scaiwave.operations.jobs.job_pages import iterate_jobs
            from scaiwave.operations.jobs.queue_state import JobState, delete_job

            states = (JobState.WAITING, JobState.FAILED)
            jobs = [
                job
                for state in states
                for job in iterate_jobs(redis, state)
                if (record := job.record)
                and tenant.mentions.are_in(
                    json.dumps([record.arguments, dict(record.error or {})], default=str)
                )
            ]
            for job in jobs if deletes else ():
                delete_job(redis, job)
        return len(jobs)


_PLACES: Sequence[TenantPlace] = (_Jobs(),)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
