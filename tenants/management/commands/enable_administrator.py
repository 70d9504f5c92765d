from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import enable_administrator


class Command(OperatorCommand):
    help = "Let a disabled administrator sign in to the admin site again."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")

    def handle(self, username: str, dry_run: bool, **options: Any) -> None:
        result = enable_administrator(
            operator=self.operator, username=username, now=timezone.now(), dry_run=dry_run
        )
        self.print_result(result.document())
        self.output.print_line(result.sentence)
