from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from tenants.management.names import BulkCommand, add_file, add_holders
from tenants.roles.grants import grant_role_to_many


class Command(BulkCommand):
    words = "role grant"
    summary = "Grant a role to a participant or a group"
    area, place = "people", 130
    is_everyday = True
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role grant editors --tenant acme --to anna@acme.example",
        "scaiwave role grant editors --tenant acme --to-group Engineering",
        "scaiwave role grant editors --tenant acme --from people.csv",
    )
    help = (
        "Grant a role manually to participants, or to all members of groups. Syncs do not remove "
        "manual grants. Several are checked first: nothing changes if one can't have the role."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        holder = parser.add_mutually_exclusive_group(required=True)
        add_holders(holder, "to")
        add_file(holder, "--from", "--from-file")

    def handle(self, role: str, tenant: str, **options: Any) -> None:
        result = grant_role_to_many(
            operator=self.operator,
            role=role,
            tenant=tenant,
            holders=self.read_names(options["groups"] or options["people"], options),
            is_group=options["groups"] is not None,
            now=timezone.now(),
            confirm=self.confirm_many,
            dry_run=self.dry_run,
        )
        self.print_rows(result)
