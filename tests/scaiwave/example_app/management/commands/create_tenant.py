from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from tenants.models import Tenant
from tests.scaiwave.example_app import waiting


class Command(OperatorCommand):
    words = "admin create-tenant"
    help = "A command that changes something."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slug", default="probe")
        parser.add_argument("--wait", type=float, default=0.0, help="seconds, before the commit")
        parser.add_argument("--sql", help="run this instead")

    def handle(self, slug: str, wait: float, sql: str | None, **options: Any) -> None:
        with transaction.atomic():
            if sql:
                self._execute(sql)
            elif not options["dry_run"]:
                now = timezone.now()
                Tenant.objects.create(slug=slug, name=slug, created_at=now, updated_at=now)
            self.output.log("begun")
            waiting.wait(wait)
        self.output.print_line(f"{Tenant.objects.count()} tenants")

    def _execute(self, sql: str) -> None:
        with connection.cursor() as cursor:
            for statement in sql.split(";;"):
                cursor.execute(statement)
