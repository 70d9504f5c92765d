"""The text of `sync status`."""

from __future__ import annotations

from identity_sync.management.output import (
    format_age,
    format_outcome,
    format_run_changes,
    format_span,
    format_webhooks,
    list_changes,
)
from identity_sync.reports.status import CredentialsRow, SkipsRow, SyncStatus
from identity_sync.sync.lock import HolderRow, format_holder
from scaiwave.console.columns import Column, ColumnType, Part, Row, columns_of
from scaiwave.console.output import Output
from scaiwave.console.text import pluralize

MAX_RUNS = 3
"""So that the text fits one screen; JSON has more."""
FACTS = (
    Column("health", "Health"),
    Column("state", "Registration"),
    Column("pending_request_id", "Replacement"),
    Column("url", "ScaiKey"),
    *columns_of("credentials", "last_success"),
    Column("running", "Sync in progress"),
    Column("schedule", "Started by"),
    *columns_of("removals", "skipped", "webhooks"),
    Column("drift", "Drift now"),
)
KIND_WIDTH = 16
OPTIONAL = {"pending_request_id", "removals", "webhooks"}
RUNS = (
    Column("started_at", "Started", ColumnType.TIME, part=Part.EXTRA),
    *columns_of("age", "trigger", "tenant"),
    Column("outcome", "Outcome", part=Part.STATUS),
    Column("changed", "Changed"),
    Column("error", "Error", part=Part.ERROR),
)


def print_status(output: Output, status: SyncStatus) -> None:
    """Print warnings, facts, the drift by kind, and the last runs."""
    for warning in status.warnings:
        output.warn(warning)
    facts = status_facts(status)
    shown = [column for column in FACTS if column.key not in OPTIONAL or facts[column.key]]
    output.print_record(shown, facts)
    for kind, counts in (status.drift or {}).items():
        if changes := list_changes({kind: counts}):
            output.print_line(f"  {kind:<{KIND_WIDTH}}{changes}")
    rows = [
        {
            **run,
            "age": format_age(run["age_seconds"]),
            "outcome": format_outcome(run),
            "changed": format_run_changes(run),
            "error": run["error"] and run["error"]["code"],
        }
        for run in status.runs[:MAX_RUNS]
    ]
    if rows:
        output.print_line()
        output.print_table("runs", RUNS, rows)


def status_facts(status: SyncStatus) -> dict[str, object]:
    """Return the facts above the tables."""
    registration, skipped = status.registration, status.skipped
    replacement = registration.get("pending_request_id")
    removals = {**(status.pending_removals or {}), "oldest_at": 0}
    # The row above has the messages of errors.
    error = status.drift_error
    drift = f"not measured: {error.code if error else status.drift_reason}"
    if status.drift is not None:
        drift = list_changes(status.drift) or "none"
    return {
        "health": " ".join(f"{error.message} [{error.code}]" for error in status.errors)
        or "healthy",
        "state": format_registration(registration),
        "pending_request_id": f"pending (request {replacement})" if replacement else "",
        "url": registration["url"],
        "credentials": format_credentials(status.credentials, registration.get("client_id")),
        "last_success": format_age(status.last_success_age_seconds),
        "running": format_running(status.running, status.interrupted, status.lock),
        "schedule": format_schedule(status.schedule),
        "removals": ", ".join(f"{count:,} {state}" for state, count in removals.items() if count),
        "skipped": format_skipped(skipped, has_pending=bool(removals.get("pending"))),
        "webhooks": format_webhooks(status.webhooks),
        "drift": drift,
    }


def format_skipped(skipped: SkipsRow | None, *, has_pending: bool) -> str:
    """`126 rows, including pending removals and 3 postponed removals`."""
    if skipped is None or not skipped["count"]:
        return "nothing"
    parts = ["pending removals"] if has_pending else []
    if skipped["postponed"]:
        parts.append(pluralize(skipped["postponed"], "postponed removal"))
    return ", including ".join(
        filter(None, (pluralize(skipped["count"], "row"), " and ".join(parts)))
    )


def format_registration(registration: Row) -> str:
    """`APPROVED, GLOBAL`; a pending one with its request."""
    parts = [registration["state"], registration.get("scope"), registration.get("scope_slug")]
    if registration["state"] == "PENDING" and registration.get("request_id"):
        parts.append(f"request {registration['request_id']}")
    return ", ".join(filter(None, parts))


def format_credentials(credentials: CredentialsRow, client_id: str | None) -> str:
    if error := credentials["error"]:
        return f"no: {error['code']}"
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


def format_running(run: Row | None, interrupted: Row | None, lock: HolderRow | None) -> str:
    if run is not None:
        holder = f": {format_holder(lock)}" if lock else ""
        return f"since {format_span(run['age_seconds'])} ({run['trigger']}){holder}"
    if interrupted is not None:
        return f"no; the run that began {format_age(interrupted['age_seconds'])} has no end"
    return "no"
