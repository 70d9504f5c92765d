"""`scaiwave manage run_requested_sync`: run a sync that was requested in the admin site.

The web server starts it if there is no Redis.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.utils import timezone

from identity_sync.sync.request import run_request
from scaiwave.core.errors import ScaiWaveError


class Command(BaseCommand):
    help = "Run a sync that was requested. The web server starts this without Redis."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("request", type=UUID, help="ID of the request, and of its run")
        parser.add_argument("--lock", type=int, help=SUPPRESS)

    def handle(self, request: UUID, **options: Any) -> None:
        try:
            run_request(request, now=timezone.now())
        except ScaiWaveError as error:
            self.stderr.write(f"{error.message} [{error.code}]")
            raise SystemExit(error.exit_code) from error
