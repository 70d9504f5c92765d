from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import limit, read_limits
from tenants.people.create_partner import create_partner


class CreatePartnerArguments(Arguments):
    slug: str = option("short name: northwind", required=True)
    name: str = option('full name: "Northwind Traders"', required=True)
    scaikey_id: str | None = option(
        "ID in ScaiKey, for servers whose credentials can't read partners; needed for the "
        "partner's administrators to be recognised",
        metavar="ID",
    )
    max_tenants: int | str | None = limit("maximum number of tenants (default no limit)")
    max_users_per_tenant: int | str | None = limit(
        "maximum number of people in each of its tenants (default no limit)"
    )
    max_applications_per_tenant: int | str | None = limit(
        "maximum number of applications in each of its tenants (default no limit)"
    )


class Command(OperatorCommand[CreatePartnerArguments]):
    service = staticmethod(create_partner)
    words = "admin create-partner"
    summary = "Create a local partner"
    area, place = "tenants", 100
    permission = "MANAGE_PLATFORM"
    examples = (
        'scaiwave admin create-partner --slug northwind --name "Northwind" --max-tenants 20',
    )
    help = (
        "Create a local partner (one that is not in ScaiKey). Running it again with the same "
        "arguments changes nothing."
    )
    changes = True

    def run(self, given: CreatePartnerArguments) -> None:
        self.print_report(self.call_service(given, limits=read_limits(given)))
