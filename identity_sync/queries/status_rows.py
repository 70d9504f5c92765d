"""The status as rows of tables, for people."""

from __future__ import annotations

from typing import Any

from identity_sync.queries.status import SyncStatus
from identity_sync.services.sync.report import KINDS

CHANGES = ("added", "updated", "deactivated", "restored", "skipped")


def status_facts(status: SyncStatus) -> dict[str, Any]:
    """What stands above the tables, one thing a line."""
    registration, credentials = status.registration, status.credentials
    error = credentials["error"]
    return {
        "state": registration["state"],
        "url": registration["url"],
        "scope": " ".join(filter(None, map(registration.get, ("scope", "scope_slug")))),
        "client_id": registration.get("client_id"),
        "credentials": f"no: {error['message']}" if error else "accepted",
        "reach": credentials["reach"],
        "running": _running(status.running),
        "last_success": format_age(status.last_success_age_seconds),
        "next_run_at": status.next_run_at,
        "drift": _drift(status.drift),
    }


def run_rows(status: SyncStatus) -> list[dict[str, Any]]:
    return [
        {
            **run,
            "age": format_age(run["age_seconds"]),
            "changed": format_changes(run["kinds"]),
            "error": run["error"] and run["error"]["code"],
        }
        for run in status.runs
    ]


def drift_rows(status: SyncStatus) -> list[dict[str, Any]]:
    """One row for each kind that a sync would change."""
    drift = status.drift or {}
    rows = [{"kind": kind, **drift[kind]} for kind in KINDS if kind in drift]
    return [row for row in rows if any(row[name] for name in CHANGES)]


def format_changes(kinds: dict[str, dict[str, int]] | None) -> str:
    """`2 added, 1 deactivated`; empty when the counts are not for this operator."""
    if kinds is None:
        return ""
    totals = {name: sum(kind.get(name, 0) for kind in kinds.values()) for name in CHANGES}
    return ", ".join(f"{count:,} {name}" for name, count in totals.items() if count) or "nothing"


def format_age(seconds: int | None) -> str:
    """`5 min ago`: the largest unit that fits, rounded down."""
    if seconds is None:
        return "never"
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return f"{seconds} s ago"


def _running(run: dict[str, Any] | None) -> str:
    return f"since {format_age(run['age_seconds']).removesuffix(' ago')}" if run else "no"


def _drift(drift: dict[str, dict[str, int]] | None) -> str:
    if drift is None:
        return "not measured"
    text = format_changes(drift)
    return "none" if text == "nothing" else text
