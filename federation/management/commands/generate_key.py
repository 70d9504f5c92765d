from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.keys.lifecycle import generate_key
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = "Create this server's signing key. To replace an existing key, rotate it instead."
    changes = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = generate_key(operator=self.operator, now=timezone.now(), dry_run=dry_run)
        self.print_result(result.document())
        self.output.print_line(result.sentence)
