from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import add_limits, limits_from_options
from tenants.services.update_tenant import TenantUpdate, parse_feature, update_tenant

LIMITS = {
    "max_participants": "most active participants; `none` is no limit",
    "max_rooms": "most rooms",
    "max_storage_mb": "most storage in MiB",
    "max_ai_tokens_month": "most AI tokens in a month",
}


class Command(OperatorCommand):
    help = (
        "Change a tenant's limits and features, and of one that is not linked to ScaiKey also its "
        "name, slug and partner. What is not given stays as it is."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug, id, or ScaiKey id")
        add_limits(parser, **LIMITS)
        parser.add_argument(
            "--feature",
            metavar="KEY=JSON",
            type=parse_feature,
            action="append",
            default=[],
            help="set a feature, such as search.semantic=true; may be given several times",
        )
        parser.add_argument(
            "--remove-feature",
            metavar="KEY",
            action="append",
            default=[],
            help="remove a feature; removals come before what is set",
        )
        parser.add_argument("--name", help="another full name")
        parser.add_argument("--slug", help="another short name; links with the old one end")
        owner = parser.add_mutually_exclusive_group()
        owner.add_argument("--partner", help="another partner, by slug, id or ScaiKey id")
        owner.add_argument("--no-partner", action="store_true", help="belongs to no partner")

    def handle(self, tenant: str, **options: Any) -> None:
        wanted = TenantUpdate(
            limits=limits_from_options(options, *LIMITS),
            features=options["feature"],
            remove_features=options["remove_feature"],
            name=options["name"],
            slug=options["slug"],
            partner=options["partner"],
            no_partner=options["no_partner"],
        )
        result = update_tenant(
            operator=self.operator,
            tenant=tenant,
            wanted=wanted,
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        for line in result.lines:
            self.output.print_line(line)
        for warning in result.warnings:
            self.output.warn(warning)
