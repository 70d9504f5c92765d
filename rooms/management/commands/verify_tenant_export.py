from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import (
    add_missing_files_argument,
    add_signer_arguments,
    print_move,
)
from rooms.moves.verify_export import verify_tenant_export
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin verify-tenant-export"
    summary = "Verify the export of a tenant offline"
    area, place = "tenants", 171
    permission = "VIEW"
    examples = (
        "scaiwave admin verify-tenant-export /srv/acme",
        "scaiwave admin verify-tenant-export /srv/acme --descriptor old.example.org.json",
        "scaiwave admin verify-tenant-export /srv/acme --against acme",
    )
    help = (
        "Verify the export of a tenant: the signature, every file, row and bundle, and the audit "
        "entries of sealed days. With --key or --descriptor no database is needed. With --against, "
        "compare it with the tenant that was imported from it, event by event."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path, help="the export")
        add_signer_arguments(parser)
        add_missing_files_argument(parser)
        parser.add_argument(
            "--against", metavar="TENANT", help="tenant here that was imported from the export"
        )

    def handle(self, directory: Path, against: str | None, **options: Any) -> None:
        key, descriptor = options["key"], options["descriptor"]
        result = verify_tenant_export(
            operator=None if (key or descriptor) and not against else self.operator,
            directory=directory,
            key=key,
            descriptor=descriptor,
            max_bytes=get_max_bytes(),
            now=timezone.now(),
            against=against,
            missing_files=options["allow_missing_files"],
            progress_factory=self.output.progress,
        )
        print_move(self, result)
