from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import MISSING_FILES, MoveCommand
from rooms.moves.export_tenant import ExportTenantOptions, export_tenant
from scaiwave.cli.arguments import TENANT, Arguments, argument, option


class ExportTenantArguments(Arguments):
    tenant: str = argument(TENANT)
    output_dir: Path = option(
        "directory to write to; its parent must exist", required=True, metavar="DIR"
    )
    incremental: bool = option("add the changes since the last export to the directory")
    freeze: bool = option(
        "suspend the tenant first, so that no one writes during and after the export"
    )
    allow_missing_files: int = option(MISSING_FILES, default=0, metavar="N")
    reason: str = option("reason, for the audit log", default="", metavar="TEXT")


class Command(MoveCommand[ExportTenantArguments]):
    words = "admin export-tenant"
    summary = "Export a tenant with its rooms into a directory"
    area, place = "tenants", 170
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin export-tenant acme --output-dir /srv/acme",
        "scaiwave admin export-tenant acme --output-dir /srv/acme --freeze --incremental "
        '--reason "move to chat2, ticket 4711"',
    )
    help = (
        "Export a tenant to move it to another server: its people, groups, roles and grants, its "
        "workspaces, its rooms as bundles, its audit entries, and a signed index. Rooms that must "
        "not leave the server are listed with the reason. Continues after an interruption."
    )
    changes = True

    def run(self, given: ExportTenantArguments) -> None:
        result = export_tenant(
            operator=self.operator,
            tenant=given.tenant,
            options=ExportTenantOptions(
                given.output_dir,
                given.incremental,
                given.freeze,
                given.reason,
                get_max_bytes(),
                timezone.now,
                self.confirm,
                self.output.progress,
                given.allow_missing_files,
            ),
            dry_run=self.dry_run,
        )
        self.print_report(result)
