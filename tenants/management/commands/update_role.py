from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.roles.update_role import RoleUpdate, update_role


class Command(OperatorCommand):
    words = "role update"
    summary = "Change a role's name and description"
    area, place = "people", 110
    permission = "MANAGE_ROLES"
    examples = (
        'scaiwave role update editors --tenant acme --name "Copy editors"',
        'scaiwave role update editors --tenant acme --description "May publish" --dry-run',
    )
    help = (
        "Change the name and the description of a role. The slug can't be changed, since rooms "
        "refer to it."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="role (slug or ID)")
        parser.add_argument("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--name", help='new display name: "Editors"')
        parser.add_argument("--description", help='new description ("" removes it)')

    def handle(self, role: str, tenant: str, dry_run: bool, **options: Any) -> None:
        result = update_role(
            operator=self.operator,
            role=role,
            tenant=tenant,
            update=RoleUpdate(name=options["name"], description=options["description"]),
            now=timezone.now(),
            dry_run=dry_run,
        )
        self.print_change(result)
