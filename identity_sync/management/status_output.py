"""The text of `sync status`."""

from __future__ import annotations

from typing import Any

from identity_sync.management.output import (
    format_age,
    format_run_changes,
    format_span,
    format_webhooks,
    list_changes,
)
from identity_sync.reports.status import SyncStatus
from identity_sync.sync.lock import format_holder
from scaiwave.console.columns import Column, ColumnType, Row
from scaiwave.console.output import Output

MAX_RUNS = 3
"""So that the text fits one screen; JSON has more."""
FACTS = (
    Column("health", "Health"),
    Column("state", "Registration"),
    Column("pending_request_id", "Replacement"),
    Column("url", "ScaiKey"),
    Column("credentials", "Credentials"),
    Column("last_success", "Last success"),
    Column("running", "Sync in progress"),
    Column("schedule", "Started by"),
    Column("removals", "Removals"),
    Column("skipped", "Skipped"),
    Column("webhooks", "Webhooks"),
    Column("drift", "Drift now"),
)
KIND_WIDTH = 16
OPTIONAL = {"pending_request_id", "removals", "webhooks"}
RUNS = (
    Column("started_at", "Started", ColumnType.TIME, no_wrap=True, optional=True),
    Column("age", "Age"),
    Column("trigger", "Trigger"),
    Column("tenant", "Tenant"),
    Column("outcome", "Outcome"),
    Column("changed", "Changed"),
    Column("error", "Error"),
)


def print_status(output: Output, status: SyncStatus) -> None:
    """Print warnings, facts, the drift by kind, and the last runs."""
    for warning in [*status.warnings, *(error.message for error in status.errors[1:])]:
        output.warn(warning)
    facts = status_facts(status)
    shown = [column for column in FACTS if column.key not in OPTIONAL or facts[column.key]]
    output.print_record(shown, facts)
    for kind, counts in (status.drift or {}).items():
        if changes := list_changes({kind: counts}):
            output.print_line(f"  {kind:<{KIND_WIDTH}}{changes}")
    if rows := run_rows(status):
        output.print_line()
        output.print_table("runs", RUNS, rows)


def status_facts(status: SyncStatus) -> dict[str, Any]:
    """Return the facts above the tables."""
    registration = status.registration
    return {
        "health": ", ".join(error.code for error in status.errors) or "healthy",
        "state": format_registration(registration),
        "pending_request_id": format_pending(registration.get("pending_request_id")),
        "url": registration["url"],
        "credentials": format_credentials(status.credentials, registration.get("client_id")),
        "last_success": format_age(status.last_success_age_seconds),
        "running": format_running(status.running, status.interrupted, status.lock),
        "schedule": format_schedule(status.schedule),
        "removals": format_removals(status.pending_removals),
        "skipped": format_skipped(status.skipped),
        "webhooks": format_webhooks(status.webhooks),
        "drift": format_drift(status.drift, status.drift_reason),
    }


def format_registration(registration: Row) -> str:
    """`APPROVED, GLOBAL`; a pending one with its request."""
    parts = [registration["state"], registration.get("scope"), registration.get("scope_slug")]
    if registration["state"] == "PENDING" and registration.get("request_id"):
        parts.append(f"request {registration['request_id']}")
    return ", ".join(filter(None, parts))


def format_credentials(credentials: Row, client_id: str | None) -> str:
    if error := credentials["error"]:
        return f"no: {error['message']}"
    details = ", ".join(filter(None, (client_id, credentials["token_scope"])))
    return f"accepted ({details})" if details else "accepted"


def format_schedule(schedule: Row) -> str:
    """`scheduler on host1, cron 2 min ago, manual 3 h ago; expected every 10 min, limit 540 s`."""
    beat = schedule["scheduler"]
    first = {
        "scheduler": f"scheduler on {beat['host']}" if beat else "scheduler",
        None: "no scheduler detected",
    }.get(schedule["source"])
    parts = [
        f"{name} {format_age(schedule[f'last_{name}_age_seconds'])}"
        for name in ("cron", "manual")
        if schedule[f"last_{name}_at"] is not None
    ]
    interval, limit = schedule["interval_minutes"], schedule["timeout_seconds"]
    expected = f"expected every {interval} min, limit {limit:,} s"
    known = [*([first] if first else []), *(parts or ["no runs yet"])]
    return f"{', '.join(known)}; {expected}"


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
        for run in status.runs[:MAX_RUNS]
    ]


def format_running(run: Row | None, interrupted: Row | None, lock: dict[str, Any] | None) -> str:
    if run is not None:
        holder = f": {format_holder(lock)}" if lock else ""
        return f"since {format_span(run['age_seconds'])} ({run['trigger']}){holder}"
    if interrupted is not None:
        return f"no; the run that began {format_age(interrupted['age_seconds'])} has no end"
    return "no"


def format_drift(drift: dict[str, dict[str, int]] | None, reason: str | None) -> str:
    if drift is None:
        return f"not measured: {reason}"
    return list_changes(drift) or "none"


def format_removals(removals: dict[str, Any] | None) -> str:
    counts = {name: number for name, number in (removals or {}).items() if name != "oldest_at"}
    return ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)


def format_skipped(skipped: dict[str, Any] | None) -> str:
    if not skipped or not skipped["count"]:
        return "nothing"
    return f"{skipped['count']:,}, including {skipped['postponed']:,} postponed removals"
