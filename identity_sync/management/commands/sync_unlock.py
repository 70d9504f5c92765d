from __future__ import annotations

from typing import Any

from django.utils import timezone

from identity_sync.sync.unlock import unlock_sync
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    words = "sync unlock"
    summary = "End the session that has the lock of syncs"
    area, place = "sync", 100
    permission = "MANAGE_PLATFORM"
    help = (
        "End the database session that has the lock of syncs, and so its sync, which is rolled "
        "back. Use it if the process hangs: PostgreSQL ends the session of a lost host itself."
    )
    changes = True
    destructive = True

    def handle(self, dry_run: bool, **options: Any) -> None:
        result = unlock_sync(
            operator=self.operator, confirm=self.confirm, now=timezone.now(), dry_run=dry_run
        )
        self.print_result(result.document())
        self.output.print_line(result.sentence)
