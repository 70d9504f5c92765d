from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from identity_sync.queries.status import SyncStatus, sync_status
from identity_sync.queries.status_rows import CHANGES, drift_rows, run_rows, status_facts
from identity_sync.services.sync.run import compute_drift
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column, ColumnType

FACTS = (
    Column("state", "Registration"),
    Column("url", "ScaiKey"),
    Column("scope", "Scope"),
    Column("client_id", "Client id"),
    Column("credentials", "Credentials"),
    Column("reach", "Token reaches"),
    Column("running", "A sync is running"),
    Column("last_success", "Last success"),
    Column("next_run_at", "Next scheduled run", ColumnType.TIME),
    Column("drift", "Drift now"),
)
RUNS = (
    Column("started_at", "Started", ColumnType.TIME),
    Column("age", "Age"),
    Column("trigger", "Trigger"),
    Column("tenant", "Tenant"),
    Column("outcome", "Outcome"),
    Column("changed", "Changed"),
    Column("error", "Error"),
)
DRIFT = (
    Column("kind", "Kind"),
    *(Column(name, name.title(), ColumnType.COUNT) for name in CHANGES),
)


class Command(OperatorCommand):
    help = "Show the registration, its credentials, the last runs, and drift right now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-drift", action="store_true", help="don't walk through ScaiKey")

    def handle(self, no_drift: bool, **options: Any) -> None:
        def drift() -> Any:
            return compute_drift(operator=self.operator, bars=self.output.progress)

        status = sync_status(
            operator=self.operator,
            config=settings.CONFIG,
            now=timezone.now(),
            drift=None if no_drift else drift,
        )
        if self.output.as_json:
            self.output.print_json(status.document())
        else:
            self._show(status)
        if status.problem is not None:
            raise status.problem

    def _show(self, status: SyncStatus) -> None:
        for warning in status.warnings:
            self.output.warn(warning)
        self.output.print_record(FACTS, status_facts(status))
        tables = (("runs", RUNS, run_rows(status)), ("drift", DRIFT, drift_rows(status)))
        for name, columns, rows in tables:
            if rows:
                self.output.print_line()
                self.output.print_table(name, columns, rows)
