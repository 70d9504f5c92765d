from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import add_limits, limits_from_options
from tenants.services.create_partner import PartnerSpec, create_partner

LIMITS = {
    "max_tenants": "most tenants (default no limit)",
    "max_users_per_tenant": "most people in each of its tenants",
    "max_applications_per_tenant": "most applications in each of its tenants",
}


class Command(OperatorCommand):
    help = (
        "Create a partner that ScaiKey hasn't. The same arguments once more find it there and "
        "change nothing."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slug", required=True, help="short name: northwind")
        parser.add_argument("--name", required=True, help='full name: "Northwind Traders"')
        parser.add_argument(
            "--scaikey-id",
            metavar="ID",
            help="its id in ScaiKey, for a server whose credentials don't reach partners there: "
            "it ties that partner's administrators to it",
        )
        add_limits(parser, **LIMITS)

    def handle(self, slug: str, name: str, scaikey_id: str | None, **options: Any) -> None:
        result = create_partner(
            operator=self.operator,
            wanted=PartnerSpec(slug, name, scaikey_id, limits_from_options(options, *LIMITS)),
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)
