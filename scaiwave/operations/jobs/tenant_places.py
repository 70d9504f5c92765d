"""The jobs in Redis that mention a tenant, for its erasure. Completed jobs are not kept."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from scaiwave.core.mentions import ErasedTenant
from scaiwave.extensions import TenantPlace
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import FAILED, WAITING


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
            from scaiwave.operations.jobs.jobs_in_redis import delete_from_queue, load_jobs

            jobs = [
                job
                for job in load_jobs(redis, WAITING, FAILED)
                if tenant.mentions.are_in(f"{job.data!r}{job.last_error}")
            ]
            for job in jobs if deletes else ():
                delete_from_queue(job)
        return len(jobs)


_PLACES: Sequence[TenantPlace] = (_Jobs(),)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
