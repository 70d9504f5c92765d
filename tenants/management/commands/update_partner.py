from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import add_limits, limits_from_options
from tenants.people.update_partner import update_partner

LIMITS = {
    "max_tenants": "maximum number of tenants (`none`: no limit)",
    "max_users_per_tenant": "maximum number of people in each of its tenants (`none`: no limit)",
    "max_applications_per_tenant": "maximum number of applications in each of its tenants "
    "(`none`: no limit)",
}


class Command(OperatorCommand):
    service = staticmethod(update_partner)
    words = "admin update-partner"
    summary = "Change a local partner"
    area, place = "tenants", 120
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin update-partner northwind --max-tenants 30",
        'scaiwave admin update-partner northwind --name "Northwind Traders" --dry-run',
    )
    help = (
        "Change the name, slug, contact and limits of a local partner. Omitted values stay "
        "unchanged. For a partner that is in ScaiKey, change them there."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("partner", help="partner (slug, ID or ScaiKey ID)")
        parser.add_argument("--name", help="new full name")
        parser.add_argument("--slug", help="new short name")
        parser.add_argument(
            "--contact-email", metavar="ADDRESS", help='new e-mail address ("" removes it)'
        )
        add_limits(parser, **LIMITS)

    def handle(self, **options: Any) -> None:
        limits = limits_from_options(options, *LIMITS)
        self.print_change(self.call_service(options, limits=limits))
