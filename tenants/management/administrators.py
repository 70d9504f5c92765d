"""The commands that disable and remove administrators."""

from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand


class RemovalCommand(OperatorCommand):
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")
        parser.add_argument(
            "--allow-last",
            action="store_true",
            help="allow removing the last administrator who can sign in",
        )
