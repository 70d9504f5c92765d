"""The commands that disable and remove administrators."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.core.change import Change


class RemovalCommand(OperatorCommand):
    service: Callable[..., Change]
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")
        parser.add_argument(
            "--allow-last",
            action="store_true",
            help="allow removing the last administrator who can sign in",
        )

    def handle(self, username: str, dry_run: bool, **options: Any) -> None:
        result = self.service(
            operator=self.operator,
            username=username,
            confirm=self.confirm,
            now=timezone.now(),
            allow_last=options["allow_last"],
            dry_run=dry_run,
        )
        self.print_change(result)
