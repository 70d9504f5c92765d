from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scaiwave.cli.command import OperatorCommand
from tenants.management.commands._participant import (
    ELSEWHERE,
    FACTS,
    GROUPS,
    OBSTACLES,
    ROLES,
    extra_facts,
    format_membership_path,
)
from tenants.management.commands._role import with_paths
from tenants.management.output import AUDIT, show_sections
from tenants.queries.show_participant import show_participant


class Command(OperatorCommand):
    help = "Show one participant: may they sign in, and if not why; groups, roles, changes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("participant", help="e-mail, @name:server, local id, id, or ScaiKey id")
        parser.add_argument("--tenant", help="look in this tenant only")

    def handle(self, participant: str, tenant: str | None, **options: Any) -> None:
        found = show_participant(operator=self.operator, name=participant, tenant=tenant)
        if self.output.as_json:
            self.output.print_json({"participant": found})
            return
        told, row = extra_facts(found)
        self.output.print_record([*FACTS, *told], row)
        show_sections(
            self.output,
            ("In the way", OBSTACLES, found["obstacles"]),
            ("Groups", GROUPS, format_membership_path(found["groups"])),
            ("Roles", ROLES, with_paths(found["roles"])),
            ("The same user or e-mail elsewhere", ELSEWHERE, found["elsewhere"]),
            ("Last changes", AUDIT, found["audit"]),
        )
