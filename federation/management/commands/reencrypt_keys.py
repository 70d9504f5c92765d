from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.keys.lifecycle import reencrypt_keys
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = "Encrypt all stored private keys with the newest of SCAIWAVE_ENCRYPTION_KEYS."
    changes = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = reencrypt_keys(operator=self.operator, now=timezone.now(), dry_run=dry_run)
        self.print_result(result.document())
        self.output.print_line(result.sentence)
