from __future__ import annotations

from django.conf import settings

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.people.create_tenant import create_tenant
from tenants.people.scaikey_lookup import build_tenant_lookup


class CreateTenantArguments(Arguments):
    slug: str = option("short name, as in addresses: acme", required=True)
    name: str = option('full name: "Acme Corp"', required=True)
    scaikey_tenant_id: str | None = option(
        "ID in ScaiKey: tnt_8f3a", metavar="ID", group="origin", required=True
    )
    local: bool = option(
        "create a local tenant, which is not in ScaiKey", group="origin", required=True
    )
    partner: str | None = option(
        "partner (slug, ID or ScaiKey ID; default: the partner in ScaiKey)",
        "--partner",
        "--partner-id",
        metavar="PARTNER",
    )
    no_verify: bool = option("don't check the ID in ScaiKey")


class Command(OperatorCommand[CreateTenantArguments]):
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

    def run(self, given: CreateTenantArguments) -> None:
        lookup = None if given.no_verify else build_tenant_lookup(settings.CONFIG)
        self.print_report(self.call_service(given, lookup=lookup))
