from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.accounts.administrators import enable_administrator


class Command(OperatorCommand):
    service = staticmethod(enable_administrator)
    words = "admin enable-administrator"
    summary = "Enable a disabled account of the admin site"
    area, place = "server", 40
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin enable-administrator anna",)
    help = "Let a disabled administrator sign in to the admin site again."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="name of the administrator")
