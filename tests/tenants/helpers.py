"""Checks of how the database runs a query."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext


def list_steps(queries: CaptureQueriesContext, table: str) -> list[str]:
    """Return the steps of SQLite's plans that read a table under its own name."""
    with connection.cursor() as cursor:
        steps: list[tuple[Any, ...]] = []
        for query in queries.captured_queries:
            if f'FROM "{table}"' in query["sql"]:
                steps += cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall()
    return [step for *_, step in steps if table in step]


def assert_members_are_counted_by_their_index(queries: CaptureQueriesContext) -> None:
    """Check that people are read through the index of members only."""
    steps = list_steps(queries, "sw_participants")
    assert steps
    assert all("INDEX sw_participants_members" in step for step in steps)
