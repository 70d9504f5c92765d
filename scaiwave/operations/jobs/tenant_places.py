"""The jobs in Redis that mention a tenant, for its erasure. Completed jobs are not kept."""

from __future__ import annotations

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
            from scaiwave.operations.jobs.jobs_in_redis import JobState, delete_job, iterate_jobs

            jobs = [
                queued
                for state in (JobState.WAITING, JobState.FAILED)
                for queued in iterate_jobs(redis, state)
                if (job := queued.job) and tenant.mentions.are_in(f"{job.data!r}{job.last_error}")
            ]
            for queued in jobs if deletes else ():
                delete_job(queued)
        return len(jobs)


_PLACES: Sequence[TenantPlace] = (_Jobs(),)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
