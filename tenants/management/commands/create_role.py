from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.services.roles import create_role


class Command(OperatorCommand):
    help = "Create a role. The same arguments once more find it there and change nothing."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug, id, or ScaiKey id")
        parser.add_argument("--slug", required=True, help="what rooms ask for: editors")
        parser.add_argument("--name", required=True, help='what people read: "Editors"')

    def handle(self, tenant: str, slug: str, name: str, dry_run: bool, **options: Any) -> None:
        result = create_role(
            operator=self.operator,
            tenant=tenant,
            slug=slug,
            name=name,
            now=timezone.now(),
            dry_run=dry_run,
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)
