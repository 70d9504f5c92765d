from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from identity_sync.management.output import (
    CHANGES,
    format_age,
    format_changes,
    format_run_changes,
    format_webhooks,
)
from identity_sync.queries.status import SyncStatus, sync_status
from identity_sync.services.sync.report import KINDS
from identity_sync.services.sync.run import compute_drift
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType

FACTS = (
    Column("state", "Registration"),
    Column("pending_request_id", "Replacement"),
    Column("url", "ScaiKey"),
    Column("scope", "Scope"),
    Column("client_id", "Client ID"),
    Column("credentials", "Credentials"),
    Column("token_scope", "Token scope"),
    Column("running", "Sync in progress"),
    Column("last_success", "Last success"),
    Column("next_run_at", "Next scheduled run", ColumnType.TIME),
    Column("skipped", "Skipped"),
    Column("webhooks", "Webhooks"),
    Column("drift", "Drift now"),
)
OPTIONAL = {"pending_request_id"}
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
    help = "Show the registration, the credentials, the last runs and the drift."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--no-drift", action="store_true", help="no drift, for which ScaiKey's lists are read"
        )

    def handle(self, no_drift: bool, **options: Any) -> None:
        def drift() -> Any:
            return compute_drift(operator=self.operator, progress_factory=self.output.progress)

        status = sync_status(
            operator=self.operator,
            config=settings.CONFIG,
            now=timezone.now(),
            drift=None if no_drift else drift,
        )
        if self.output.as_json:
            self.output.print_json(status.document())
        else:
            self._print_status(status)
        if status.problem is not None:
            raise status.problem

    def _print_status(self, status: SyncStatus) -> None:
        for warning in status.warnings:
            self.output.warn(warning)
        facts = status_facts(status)
        shown = [column for column in FACTS if column.key not in OPTIONAL or facts[column.key]]
        self.output.print_record(shown, facts)
        tables = (("runs", RUNS, run_rows(status)), ("drift", DRIFT, drift_rows(status)))
        for name, columns, rows in tables:
            if rows:
                self.output.print_line()
                self.output.print_table(name, columns, rows)


def status_facts(status: SyncStatus) -> dict[str, Any]:
    """Return the facts above the tables."""
    registration, credentials = status.registration, status.credentials
    error = credentials["error"]
    return {
        "state": registration["state"],
        "pending_request_id": format_pending(registration.get("pending_request_id")),
        "url": registration["url"],
        "scope": " ".join(filter(None, map(registration.get, ("scope", "scope_slug")))),
        "client_id": registration.get("client_id"),
        "credentials": f"no: {error['message']}" if error else "accepted",
        "token_scope": credentials["token_scope"],
        "running": format_running(status.running),
        "last_success": format_age(status.last_success_age_seconds),
        "next_run_at": status.next_run_at,
        "skipped": format_skipped(status.skipped),
        "webhooks": format_webhooks(status.webhooks),
        "drift": format_drift(status.drift),
    }


def format_pending(request_id: str | None) -> str:
    return f"pending (request {request_id})" if request_id else ""


def run_rows(status: SyncStatus) -> list[dict[str, Any]]:
    return [
        {
            **run,
            "age": format_age(run["age_seconds"]),
            "changed": format_run_changes(run),
            "error": run["error"] and run["error"]["code"],
        }
        for run in status.runs
    ]


def drift_rows(status: SyncStatus) -> list[dict[str, Any]]:
    """Return one row for each kind that a sync would change."""
    drift = status.drift or {}
    rows = [{"kind": kind, **drift[kind]} for kind in KINDS if kind in drift]
    return [row for row in rows if any(row[name] for name in CHANGES)]


def format_running(run: dict[str, Any] | None) -> str:
    return f"since {format_age(run['age_seconds']).removesuffix(' ago')}" if run else "no"


def format_drift(drift: dict[str, dict[str, int]] | None) -> str:
    if drift is None:
        return "not measured"
    text = format_changes(drift)
    return "none" if text == "nothing" else text


def format_skipped(skipped: dict[str, Any] | None) -> str:
    if not skipped or not skipped["count"]:
        return "nothing"
    return f"{skipped['count']:,}, including {skipped['postponed']:,} postponed removals"
