from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import MISSING_FILES, MoveCommand
from rooms.moves.verify_export import verify_tenant_export
from scaiwave.cli.arguments import DESCRIPTOR, KEY, Arguments, argument, option


class VerifyTenantExportArguments(Arguments):
    directory: Path = argument("the export", metavar="DIR")
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")
    allow_missing_files: int = option(MISSING_FILES, default=0, metavar="N")
    against: str | None = option("tenant here that was imported from the export", metavar="TENANT")


class Command(MoveCommand[VerifyTenantExportArguments]):
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

    def run(self, given: VerifyTenantExportArguments) -> None:
        key, descriptor = given.key, given.descriptor
        result = verify_tenant_export(
            operator=None if (key or descriptor) and not given.against else self.operator,
            directory=given.directory,
            key=key,
            descriptor=descriptor,
            max_bytes=get_max_bytes(),
            now=timezone.now(),
            against=given.against,
            missing_files=given.allow_missing_files,
            progress_factory=self.output.progress,
        )
        self.print_report(result)
