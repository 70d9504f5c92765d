from __future__ import annotations

from django.conf import settings

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.people.link_tenant import link_tenant
from tenants.people.scaikey_lookup import build_tenant_lookup


class LinkTenantArguments(Arguments):
    name: str = argument("tenant (slug or ID)", metavar="tenant")
    scaikey_tenant_id: str = option("ID in ScaiKey: tnt_8f3a", metavar="ID", required=True)
    no_verify: bool = option("don't check the ID in ScaiKey")


class Command(OperatorCommand[LinkTenantArguments]):
    service = staticmethod(link_tenant)
    words = "admin link-tenant"
    area, place = "tenants", 40
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin link-tenant lab --scaikey-tenant-id tnt_8f3a",)
    help = "Link a local tenant to a ScaiKey tenant. From then on, `scaiwave sync` manages it."
    changes = True

    def run(self, given: LinkTenantArguments) -> None:
        lookup = None if given.no_verify else build_tenant_lookup(settings.CONFIG)
        self.print_report(self.call_service(given, lookup=lookup))
