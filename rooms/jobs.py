"""Jobs for the workers of the queue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rooms.erasure import tenant_tasks
from rooms.retention.run_retention import run_retention as run_service
from rooms.search.backfill import backfill_one_range
from scaiwave.core.operators import get_host_operator


def backfill_search(run_id: str) -> dict[str, Any]:
    """Process one range of a backfill of the search index, as the host operator."""
    return backfill_one_range(
        operator=get_host_operator(), run_id=UUID(run_id), clock=lambda: datetime.now(UTC)
    )


def run_retention() -> dict[str, Any]:
    """Delete rows older than the retention policies allow; return how many of each kind."""
    figures = run_service(
        operator=get_host_operator(), confirm=lambda question: None, now=datetime.now(UTC)
    ).figures
    rooms, on_hold = len(figures["rooms"]), figures["on_hold"]
    return {**figures["totals"], "rooms": rooms, "on_hold": on_hold}


def run_tenant_task(task_id: str) -> dict[str, Any]:
    """Export a tenant, or plan or run its erasure, as requested in the admin site."""
    return tenant_tasks.run_task(UUID(task_id))
