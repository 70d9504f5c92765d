from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.services.role_grants import revoke_role


class Command(OperatorCommand):
    help = (
        "Take back a role that was granted by hand to a participant or a group. What ScaiKey "
        "grants is taken in ScaiKey."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="slug or id")
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument(
            "--from",
            dest="of",
            metavar="PARTICIPANT",
            help="e-mail, @name:server, local id, id, or ScaiKey id",
        )
        who.add_argument("--from-group", metavar="GROUP", help="name, id, or ScaiKey id")

    def handle(
        self, role: str, tenant: str, of: str | None, from_group: str | None, **options: Any
    ) -> None:
        result = revoke_role(
            operator=self.operator,
            role=role,
            tenant=tenant,
            of=from_group or of or "",
            is_group=from_group is not None,
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        for sentence in result.sentences:
            self.output.print_line(sentence)
