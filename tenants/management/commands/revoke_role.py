from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from tenants.management.names import BulkCommand, add_file, add_holders
from tenants.roles.grants import revoke_role_from_many


class Command(BulkCommand):
    words = "role revoke"
    summary = "Revoke a role from a participant or a group"
    area, place = "people", 140
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role revoke editors --tenant acme --from anna@acme.example",
        "scaiwave role revoke editors --tenant acme --from-group Engineering --dry-run",
    )
    help = (
        "Revoke manual grants of a role from participants or groups. Remove grants from ScaiKey in "
        "ScaiKey. Several are checked first: nothing changes if one can't be revoked."
    )
    changes = True
    destructive = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        holder = parser.add_mutually_exclusive_group(required=True)
        add_holders(holder, "from")
        add_file(holder, "--from-file")

    def handle(self, role: str, tenant: str, **options: Any) -> None:
        result = revoke_role_from_many(
            operator=self.operator,
            role=role,
            tenant=tenant,
            holders=self.read_names(options["groups"] or options["people"], options),
            is_group=options["groups"] is not None,
            now=timezone.now(),
            confirm=self.confirm_at_terminal,
            dry_run=self.dry_run,
        )
        self.print_rows(result)
