from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.erasure.erase_tenant import erase_again, erase_tenant, plan_erasure
from rooms.erasure.plan import ErasureOptions
from rooms.imports.source import get_max_bytes
from rooms.management.tenant_moves import add_missing_files_argument, add_signer_arguments
from rooms.moves.index import INDEX
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part
from scaiwave.core.errors import UsageError

COLUMNS = (
    Column("place", "Place", part=Part.NAME),
    Column("before", "Before", ColumnType.COUNT),
    Column("after", "After", ColumnType.COUNT),
)


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("tenant", nargs="?", default="", help="tenant (slug or ID); not needed with --again")
        acts = parser.add_mutually_exclusive_group()
        plan_help = "count and check everything, and write a plan to FILE for review"
        acts.add_argument("--plan", type=Path, metavar="FILE", help=plan_help)
        acts.add_argument("--apply", type=Path, metavar="FILE", help="erase by a reviewed plan")
        acts.add_argument(
            "--again",
            type=Path,
            metavar="CERTIFICATE",
            help="erase a tenant that a restored backup has brought back",
        )
        export = parser.add_mutually_exclusive_group()
        export.add_argument(
            "--export", type=Path, metavar="INDEX", help="index.json of the tenant's last export"
        )
        export.add_argument("--without-export", action="store_true", help="need no export")
        add(
            "--not-exported",
            type=int,
            default=0,
            metavar="N",
            help="number of rooms that are not in the export and are lost",
        )
        add_missing_files_argument(parser)
        add("--now", action="store_true", help="skip the waiting time; needs --reason")
        add("--reason", default="", metavar="TEXT", help="reason, for the audit log")
        add("--certificate", type=Path, metavar="FILE", help="file for the certificate")
        add(
            "--backups-gone-by",
            type=date.fromisoformat,
            metavar="DATE",
            help="first day without the tenant in a backup, for the certificate",
        )
        add_signer_arguments(parser)

    def handle(self, tenant: str, **options: Any) -> None:
        index, plan = options["export"], options["plan"]
        if not (tenant or options["again"]):
            raise UsageError("No tenant is named.", fix="Name the slug or the ID of a tenant.")
        if plan and not (index or options["without_export"]):
            raise UsageError("No export is named.", fix="Pass --export or --without-export.")
        if not plan and options["certificate"] is None:
            raise UsageError(
                "No file for the certificate.",
                fix="Make a plan first with --plan FILE. To apply it, pass --apply FILE and "
                "--certificate FILE.",
            )
        shared: dict[str, Any] = {
            "operator": self.operator,
            "dry_run": self.dry_run,
            "options": ErasureOptions(
                index.parent if index and index.name == INDEX else index,
                options["not_exported"],
                options["now"],
                get_max_bytes(),
                timezone.now,
                self.output.progress,
                options["reason"],
                options["certificate"],
                options["allow_missing_files"],
                options["backups_gone_by"],
            ),
        }
        if plan:
            result = plan_erasure(**shared, tenant=tenant, file=plan)
        elif options["again"]:
            shared |= {"key": options["key"], "descriptor": options["descriptor"]}
            again = options["again"]
            result = erase_again(
                **shared, tenant=tenant, certificate=again, confirm=self.confirm_name
            )
        else:
            file = options["apply"]
            result = erase_tenant(**shared, tenant=tenant, file=file, confirm=self.confirm_name)
        self.print_result(result.document())
        if not self.output.as_json:
            self.output.print_table("counts", COLUMNS, result.rows)
            self.output.print_line(result.sentence)
