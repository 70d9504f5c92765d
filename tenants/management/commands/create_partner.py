from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import add_limits, limits_from_options
from tenants.people.create_partner import create_partner

LIMITS = {
    "max_tenants": "maximum number of tenants (default no limit)",
    "max_users_per_tenant": "maximum number of people in each of its tenants (default no limit)",
    "max_applications_per_tenant": "maximum number of applications in each of its tenants (default "
    "no limit)",
}


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slug", required=True, help="short name: northwind")
        parser.add_argument("--name", required=True, help='full name: "Northwind Traders"')
        parser.add_argument(
            "--scaikey-id",
            metavar="ID",
            help="ID in ScaiKey, for servers whose credentials can't read partners; needed for the "
            "partner's administrators to be recognised",
        )
        add_limits(parser, **LIMITS)

    def handle(self, **options: Any) -> None:
        limits = limits_from_options(options, *LIMITS)
        self.print_change(self.call_service(options, limits=limits))
