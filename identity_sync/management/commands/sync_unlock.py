from __future__ import annotations

from identity_sync.sync.unlock import unlock_sync
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(unlock_sync)
    words = "sync unlock"
    summary = "End the session that has the lock of syncs"
    area, place = "sync", 100
    permission = "MANAGE_PLATFORM"
    help = (
        "End the database session that has the lock of syncs, and so its sync, which is rolled "
        "back. Use it if the process hangs: PostgreSQL ends the session of a lost host itself."
    )
    changes = True
