from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from scaiwave.cli.command import OperatorCommand
from tenants.people.create_tenant import create_tenant
from tenants.people.scaikey_lookup import build_tenant_lookup


class Command(OperatorCommand):
    service = staticmethod(create_tenant)
    words = "admin create-tenant"
    area, place = "tenants", 30
    is_everyday = True
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave admin create-tenant --slug acme --name "Acme Corp" --scaikey-tenant-id tnt_8f3a',
        'scaiwave admin create-tenant --slug lab --name "Lab" --local',
    )
    help = "Create a tenant. Running it again with the same arguments changes nothing."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slug", required=True, help="short name, as in addresses: acme")
        parser.add_argument("--name", required=True, help='full name: "Acme Corp"')
        origin = parser.add_mutually_exclusive_group(required=True)
        origin.add_argument("--scaikey-tenant-id", metavar="ID", help="ID in ScaiKey: tnt_8f3a")
        origin.add_argument(
            "--local", action="store_true", help="create a local tenant, which is not in ScaiKey"
        )
        parser.add_argument(
            "--partner",
            "--partner-id",
            metavar="PARTNER",
            help="partner (slug, ID or ScaiKey ID; default: the partner in ScaiKey)",
        )
        parser.add_argument(
            "--no-verify", action="store_true", help="don't check the ID in ScaiKey"
        )

    def handle(self, **options: Any) -> None:
        lookup = None if options["no_verify"] else build_tenant_lookup(settings.CONFIG)
        self.print_change(self.call_service(options, lookup=lookup))
