from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.jobs.manage import delete_job


class Command(OperatorCommand):
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
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job_id", metavar="job", help="job ID, as `jobs list` shows it")

    def handle(self, job_id: str, dry_run: bool, **options: Any) -> None:
        result = delete_job(
            operator=self.operator,
            job_id=job_id,
            confirm=self.confirm,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
