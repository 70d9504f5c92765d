from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.jobs.manage import delete_job


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job_id", metavar="job", help="job ID, as `jobs list` shows it")
