from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.jobs.manage import CLEARABLE, clear_jobs


class Command(OperatorCommand):
    words = "jobs clear"
    summary = "Delete failed or waiting jobs"
    area, place = "server", 200
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave jobs clear", "scaiwave jobs clear --state waiting --dry-run")
    help = (
        "Delete the failed or the waiting jobs in Redis. The scheduler enqueues its jobs again "
        "when they are due."
    )
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--state",
            choices=CLEARABLE,
            default=CLEARABLE[0],
            help="state of the jobs to delete (default failed)",
        )

    def handle(self, state: str, dry_run: bool, **options: Any) -> None:
        result = clear_jobs(
            operator=self.operator,
            state=state,
            confirm=self.confirm,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
