from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from scaiwave.management.output import JobArguments
from scaiwave.operations.jobs.manage import delete_job


class Command(OperatorCommand[JobArguments]):
    service = staticmethod(delete_job)
    words = "jobs delete"
    summary = "Delete a failed or a waiting job"
    area, place = "server", 190
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave jobs delete full_sync-1790000000 --dry-run",
        "scaiwave jobs delete full_sync-1790000000 --yes",
    )
    help = (
        "Delete a failed or a waiting job in Redis. The scheduler enqueues its jobs again when "
        "they are due."
    )
    changes = True
