from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import add_limits, limits_from_options
from tenants.people.update_tenant import TenantUpdate, parse_feature, update_tenant

LIMITS = {
    "max_participants": "maximum number of active participants (`none`: no limit)",
    "max_rooms": "maximum number of rooms (`none`: no limit)",
    "max_storage_mb": "maximum storage in MiB (`none`: no limit)",
    "max_ai_tokens_month": "maximum AI tokens per month (`none`: no limit)",
}


class Command(OperatorCommand):
    service = staticmethod(update_tenant)
    words = "admin update-tenant"
    summary = "Change a tenant's limits and features"
    area, place = "tenants", 70
    permission = "MANAGE_TENANTS"
    examples = (
        "scaiwave admin update-tenant acme --max-participants 200 --max-storage-mb none",
        "scaiwave admin update-tenant acme --feature search.semantic=true",
        "scaiwave admin update-tenant acme --sync-removals off",
        'scaiwave admin update-tenant lab --name "The Lab" --dry-run',
    )
    help = (
        "Change a tenant's limits and features, and the name, slug and partner of a local tenant. "
        "Omitted values stay unchanged."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="tenant (slug, ID or ScaiKey ID)")
        add_limits(parser, **LIMITS)
        parser.add_argument(
            "--feature",
            metavar="KEY=JSON",
            type=parse_feature,
            action="append",
            default=[],
            help="feature to set, such as search.semantic=true (repeatable)",
        )
        parser.add_argument(
            "--remove-feature",
            metavar="KEY",
            action="append",
            default=[],
            help="feature to remove before others are set (repeatable)",
        )
        parser.add_argument(
            "--sync-removals",
            choices=("on", "off"),
            help="permission for syncs to take access from the tenant's people",
        )
        parser.add_argument("--name", help="new full name")
        parser.add_argument("--slug", help="new short name; links with the old one stop working")
        owner = parser.add_mutually_exclusive_group()
        owner.add_argument("--partner", help="new partner (slug, ID or ScaiKey ID)")
        owner.add_argument("--no-partner", action="store_true", help="remove the partner")

    def handle(self, **options: Any) -> None:
        update = TenantUpdate(
            limits=limits_from_options(options, *LIMITS),
            features=options["feature"],
            remove_features=options["remove_feature"],
            name=options["name"],
            slug=options["slug"],
            partner=options["partner"],
            no_partner=options["no_partner"],
            sync_removals={"on": True, "off": False}.get(options["sync_removals"]),
        )
        self.print_change(self.call_service(options, update=update))
