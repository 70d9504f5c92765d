"""`scaiwave manage process_webhooks`: handle stored webhooks without Redis.

The web server starts it when a webhook arrives. It ends when all are handled.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser

from django.core.management.base import BaseCommand

from identity_sync.webhooks.process import PROCESS_LOCK, process_until_done
from scaiwave.core.locks import lock_file
from scaiwave.core.operators import get_host_operator


class Command(BaseCommand):
    help = "Handle the stored webhooks. The web server starts this when webhooks arrive."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--lock", type=int, help=SUPPRESS)

    def handle(self, lock: int | None, **options: object) -> None:
        if lock is None:
            lock = lock_file(PROCESS_LOCK)
        if not process_until_done(operator=get_host_operator(), lock=lock):
            self.stderr.write("Another process is handling webhooks.")
