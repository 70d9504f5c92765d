from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import add_signer_arguments, print_move
from rooms.moves.abort_import import abort_tenant_import
from rooms.moves.import_tenant import ImportTenantOptions, import_tenant
from rooms.moves.mapping import PeopleOptions
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin import-tenant"
    summary = "Import a tenant from an export"
    area, place = "tenants", 172
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin import-tenant /srv/acme --slug acme --dry-run",
        "scaiwave admin import-tenant /srv/acme --slug acme --descriptor old.example.org.json",
        "scaiwave admin import-tenant /srv/acme --slug acme --abort",
    )
    help = (
        "Import a tenant with its people, roles, rooms and messages, under new IDs. The slug is "
        "new, or belongs to a tenant without workspaces. The tenant stays suspended until an "
        "export that was frozen is imported. Running it again continues, or adds what a later "
        "export has changed."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("directory", metavar="DIR", type=Path, help="the export")
        add("--slug", required=True, help="slug of the tenant here")
        add(
            "--people",
            type=Path,
            metavar="FILE",
            help="CSV file with the columns source_id (address there) and participant_id (ID here)",
        )
        add(
            "--match-e-mail",
            action="store_true",
            help="match people with the active person from ScaiKey who has the same e-mail address",
        )
        add("--partner", help="partner of a new tenant (slug, ID or ScaiKey ID)")
        add_signer_arguments(parser)
        add(
            "--open",
            action="store_true",
            help="open the tenant though people could write while it was exported",
        )
        add("--abort", action="store_true", help="delete an import that is not open yet")

    def handle(self, directory: Path, slug: str, **options: Any) -> None:
        if options["abort"]:
            if not self.dry_run:
                self.confirm(f"This deletes the imported rooms and people of tenant {slug}.")
            result = abort_tenant_import(
                operator=self.operator, slug=slug, now=timezone.now(), dry_run=self.dry_run
            )
            print_move(self, result)
            return
        result = import_tenant(
            operator=self.operator,
            options=ImportTenantOptions(
                directory,
                slug,
                PeopleOptions(options["people"], options["match_e_mail"]),
                options["partner"],
                options["key"],
                options["descriptor"],
                options["open"],
                get_max_bytes(),
                timezone.now,
                self.output.progress,
            ),
            dry_run=self.dry_run,
        )
        print_move(self, result)
