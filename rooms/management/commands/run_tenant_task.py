"""`scaiwave manage run_tenant_task`: run an export or erasure requested in the admin site.

The web server starts it if there is no Redis.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from rooms.erasure.tenant_tasks import run_task


class Command(BaseCommand):
    help = "Run a requested export or erasure. The web server starts this without Redis."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", type=UUID, help="ID of the request")
        parser.add_argument("--lock", type=int, help=SUPPRESS)

    def handle(self, task: UUID, **options: Any) -> None:
        run_task(task)
