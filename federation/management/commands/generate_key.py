from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.keys.lifecycle import generate_key
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin federation key generate"
    summary = "Create this server's first signing key"
    area, place = "federation", 10
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin federation key generate",)
    help = "Create this server's signing key. To replace an existing key, rotate it instead."
    changes = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = generate_key(operator=self.operator, now=timezone.now(), dry_run=dry_run)
        self.print_change(result)
