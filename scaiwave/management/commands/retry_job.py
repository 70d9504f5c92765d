from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from scaiwave.management.output import JobArguments
from scaiwave.operations.jobs.manage import retry_job


class Command(OperatorCommand[JobArguments]):
    service = staticmethod(retry_job)
    words = "jobs retry"
    summary = "Put a failed job into the queue again"
    area, place = "server", 180
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave jobs retry full_sync-1790000000",)
    help = "Put a failed job to the end of its queue, where a worker runs it again."
    changes = True
