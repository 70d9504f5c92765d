from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import MoveCommand
from rooms.moves.abort_import import abort_tenant_import
from rooms.moves.import_tenant import ImportTenantOptions, import_tenant
from rooms.moves.mapping import PeopleOptions
from scaiwave.cli.arguments import DESCRIPTOR, KEY, Arguments, argument, option


class ImportTenantArguments(Arguments):
    directory: Path = argument("the export", metavar="DIR")
    slug: str = option("slug of the tenant here", required=True)
    people: Path | None = option(
        "CSV file with the columns source_id (address there) and participant_id (ID here)",
        metavar="FILE",
    )
    match_e_mail: bool = option(
        "match people with the active person from ScaiKey who has the same e-mail address"
    )
    partner: str | None = option("partner of a new tenant (slug, ID or ScaiKey ID)")
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")
    open: bool = option("open the tenant though people could write while it was exported")
    abort: bool = option("delete an import that is not open yet")


class Command(MoveCommand[ImportTenantArguments]):
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

    def run(self, given: ImportTenantArguments) -> None:
        if given.abort:
            if not self.dry_run:
                self.confirm(f"This deletes the imported rooms and people of tenant {given.slug}.")
            result = abort_tenant_import(
                operator=self.operator, slug=given.slug, now=timezone.now(), dry_run=self.dry_run
            )
            self.print_report(result)
            return
        result = import_tenant(
            operator=self.operator,
            options=ImportTenantOptions(
                given.directory,
                given.slug,
                PeopleOptions(given.people, given.match_e_mail),
                given.partner,
                given.key,
                given.descriptor,
                given.open,
                get_max_bytes(),
                timezone.now,
                self.output.progress,
            ),
            dry_run=self.dry_run,
        )
        self.print_report(result)
