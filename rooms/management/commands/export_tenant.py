from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import add_missing_files_argument, print_move
from rooms.moves.export_tenant import ExportTenantOptions, export_tenant
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("tenant", help="tenant (slug, ID or ScaiKey ID)")
        add(
            "--output-dir",
            type=Path,
            required=True,
            metavar="DIR",
            help="directory to write to; its parent must exist",
        )
        add(
            "--incremental",
            action="store_true",
            help="add the changes since the last export to the directory",
        )
        add(
            "--freeze",
            action="store_true",
            help="suspend the tenant first, so that no one writes during and after the export",
        )
        add_missing_files_argument(parser)
        add("--reason", default="", metavar="TEXT", help="reason, for the audit log")

    def handle(self, tenant: str, output_dir: Path, **options: Any) -> None:
        result = export_tenant(
            operator=self.operator,
            tenant=tenant,
            options=ExportTenantOptions(
                output_dir,
                options["incremental"],
                options["freeze"],
                options["reason"],
                get_max_bytes(),
                timezone.now,
                self.confirm,
                self.output.progress,
                options["allow_missing_files"],
            ),
            dry_run=self.dry_run,
        )
        print_move(self, result)
