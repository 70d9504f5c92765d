from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.erasure.erase_tenant import erase_again, erase_tenant, plan_erasure
from rooms.erasure.plan import ErasureOptions
from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import MISSING_FILES
from rooms.moves.index import INDEX
from scaiwave.cli.arguments import DESCRIPTOR, KEY, Arguments, Needs, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of

COLUMNS = (
    Column("place", "Place", part=Part.NAME),
    *columns_of("before", "after", kind=ColumnType.COUNT),
)


class EraseTenantArguments(Arguments):
    tenant: str = argument("tenant (slug or ID); not needed with --again", nargs="?", default="")
    plan: Path | None = option(
        "count and check everything, and write a plan to FILE for review",
        metavar="FILE",
        group="act",
    )
    apply: Path | None = option("erase by a reviewed plan", metavar="FILE", group="act")
    again: Path | None = option(
        "erase a tenant that a restored backup has brought back",
        metavar="CERTIFICATE",
        group="act",
    )
    export: Path | None = option(
        "index.json of the tenant's last export", metavar="INDEX", group="export"
    )
    without_export: bool = option("need no export", group="export")
    not_exported: int = option(
        "number of rooms that are not in the export and are lost", default=0, metavar="N"
    )
    allow_missing_files: int = option(MISSING_FILES, default=0, metavar="N")
    now: bool = option("skip the waiting time; needs --reason")
    reason: str = option("reason, for the audit log", default="", metavar="TEXT")
    certificate: Path | None = option("file for the certificate", metavar="FILE")
    backups_gone_by: date | None = option(
        "first day without the tenant in a backup, for the certificate",
        type=date.fromisoformat,
        metavar="DATE",
    )
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")


class Command(OperatorCommand[EraseTenantArguments]):
    words = "admin erase-tenant"
    summary = "Erase a tenant by a plan, and prove it"
    area, place = "tenants", 175
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin erase-tenant acme --plan acme.plan --export /srv/acme/index.json",
        "scaiwave admin erase-tenant acme --apply acme.plan --certificate acme-erased.json "
        '--reason "contract ended"',
        "scaiwave admin erase-tenant --again acme-erased.json --certificate again.json",
    )
    help = (
        "Erase a tenant with its people, rooms, files and everything that mentions it, and write a "
        "signed certificate. It must be suspended for SCAIWAVE_ERASE_AFTER_DAYS, no longer in "
        "ScaiKey, and not on hold, and its export must be equal to it. Nothing is erased without a "
        "plan; without --plan and --apply an interrupted erasure continues."
    )
    changes = True

    option_rules = (
        Needs("", "TENANT --again", "Name the slug or the ID of a tenant.", "No tenant is named."),
        Needs(
            "--plan",
            "--export --without-export",
            "Pass --export or --without-export.",
            "No export is named.",
        ),
        Needs(
            "",
            "--plan --certificate",
            "Make a plan first with --plan FILE. To apply it, pass --apply FILE and --certificate "
            "FILE.",
            "No file for the certificate.",
        ),
    )

    def run(self, given: EraseTenantArguments) -> None:
        index = given.export
        shared: dict[str, Any] = {
            "operator": self.operator,
            "tenant": given.tenant,
            "dry_run": self.dry_run,
            "options": ErasureOptions(
                index.parent if index and index.name == INDEX else index,
                given.not_exported,
                given.now,
                get_max_bytes(),
                timezone.now,
                self.output.progress,
                given.reason,
                given.certificate or Path(),
                given.allow_missing_files,
                given.backups_gone_by,
            ),
        }
        if given.plan:
            result = plan_erasure(**shared, file=given.plan)
        elif given.again:
            result = erase_again(
                **shared,
                certificate=given.again,
                confirm=self.confirm_name,
                key=given.key,
                descriptor=given.descriptor,
            )
        else:
            result = erase_tenant(**shared, file=given.apply, confirm=self.confirm_name)
        self.print_result(result.document())
        if not self.output.as_json:
            self.output.print_table("counts", COLUMNS, result.rows)
            self.output.print_line(result.sentence)
