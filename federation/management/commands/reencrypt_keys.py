from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.keys.lifecycle import reencrypt_keys
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "admin federation key reencrypt"
    summary = "Re-encrypt keys with the newest encryption key"
    area, place = "federation", 60
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin federation key reencrypt",)
    help = "Encrypt all stored private keys with the newest of SCAIWAVE_ENCRYPTION_KEYS."
    changes = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = reencrypt_keys(operator=self.operator, now=timezone.now(), dry_run=dry_run)
        self.print_change(result)
