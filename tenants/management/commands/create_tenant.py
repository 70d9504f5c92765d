from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.services.create_tenant import create_tenant
from tenants.services.scaikey_lookup import build_tenant_lookup


class Command(OperatorCommand):
    help = "Create a tenant. The same arguments once more find it there and change nothing."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slug", required=True, help="short name, as in addresses: acme")
        parser.add_argument("--name", required=True, help='full name: "Acme Corp"')
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--scaikey-tenant-id", metavar="ID", help="its id in ScaiKey: tnt_8f3a")
        where.add_argument("--local", action="store_true", help="a tenant that ScaiKey hasn't")
        parser.add_argument(
            "--partner-id",
            metavar="ID",
            help="its partner, by ScaiKey id, id or slug (default: the one ScaiKey names)",
        )
        parser.add_argument(
            "--no-verify", action="store_true", help="take the arguments without asking ScaiKey"
        )

    def handle(self, slug: str, name: str, no_verify: bool, **options: Any) -> None:
        result = create_tenant(
            operator=self.operator,
            slug=slug,
            name=name,
            scaikey_tenant_id=options["scaikey_tenant_id"],
            partner=options["partner_id"],
            lookup=None if no_verify else build_tenant_lookup(settings.CONFIG),
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)
