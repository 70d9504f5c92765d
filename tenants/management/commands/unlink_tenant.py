from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.people.link_tenant import unlink_tenant


class Command(OperatorCommand):
    words = "admin unlink-tenant"
    area, place = "tenants", 50
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin unlink-tenant lab",)
    help = "Stop syncing a tenant from ScaiKey. It stays on this server as a local tenant."
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="tenant (slug, ID or ScaiKey ID)")

    def handle(self, tenant: str, dry_run: bool, **options: Any) -> None:
        result = unlink_tenant(
            operator=self.operator,
            name=tenant,
            confirm=self.confirm,
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
