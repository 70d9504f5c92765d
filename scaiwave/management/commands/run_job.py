"""`scaiwave manage run_job`: run a job of the table. The web server starts it without Redis."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence

from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from scaiwave.core.errors import ScaiWaveError, UsageError
from scaiwave.queue.jobs import JOBS


class Command(BaseCommand):
    help = "Run a job in this process. The web server starts this without Redis."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("function", choices=sorted(JOBS))
        parser.add_argument("arguments", nargs="*")
        parser.add_argument("--lock", type=int, help=SUPPRESS)

    def handle(self, function: str, arguments: Sequence[str], **options: object) -> None:
        definition = JOBS[function]
        if not definition.accepts(arguments):
            raise UsageError(f"{definition.name} does not accept these arguments.")
        try:
            import_string(definition.path)(*arguments)
        except ScaiWaveError as error:
            self.stderr.write(f"{error.message} [{error.code}]")
            raise SystemExit(error.exit_code) from error
