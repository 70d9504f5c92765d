from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from scaiwave.cli.command import OperatorCommand
from tenants.people.link_tenant import link_tenant
from tenants.people.scaikey_lookup import build_tenant_lookup


class Command(OperatorCommand):
    service = staticmethod(link_tenant)
    words = "admin link-tenant"
    area, place = "tenants", 40
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin link-tenant lab --scaikey-tenant-id tnt_8f3a",)
    help = "Link a local tenant to a ScaiKey tenant. From then on, `scaiwave sync` manages it."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="tenant", help="tenant (slug or ID)")
        parser.add_argument(
            "--scaikey-tenant-id", metavar="ID", required=True, help="ID in ScaiKey: tnt_8f3a"
        )
        parser.add_argument(
            "--no-verify", action="store_true", help="don't check the ID in ScaiKey"
        )

    def handle(self, **options: Any) -> None:
        lookup = None if options["no_verify"] else build_tenant_lookup(settings.CONFIG)
        self.print_change(self.call_service(options, lookup=lookup))
