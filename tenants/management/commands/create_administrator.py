from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.management.passwords import FILE_FLAG, read_password
from tenants.services.create_administrator import create_administrator


class Command(OperatorCommand):
    help = (
        "Make somebody who may enter the admin site and see everything there. The password is "
        "asked for at a terminal. Who is there already is not changed."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="what is typed to sign in")
        parser.add_argument("--email", default="", help="where to write to")
        parser.add_argument(FILE_FLAG, metavar="FILE", help="read the password here; - is stdin")

    def handle(self, username: str, email: str, dry_run: bool, **options: Any) -> None:
        result = create_administrator(
            operator=self.operator,
            username=username,
            email=email,
            password=lambda: read_password(self, options["password_file"]),
            now=timezone.now(),
            dry_run=dry_run,
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)
