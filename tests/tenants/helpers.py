"""Checks of how the database runs a query."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext


def list_steps(queries: CaptureQueriesContext, table: str) -> list[str]:
    """Return SQLite's steps that read a table, of all queries that name it."""
    with connection.cursor() as cursor:
        steps: list[tuple[Any, ...]] = []
        for query in queries.captured_queries:
            if f'FROM "{table}"' in query["sql"]:
                steps += cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall()
    return [step for *_, step in steps if " USING " in step or step.startswith("SCAN")]


def assert_members_are_counted_by_their_index(queries: CaptureQueriesContext) -> None:
    """Check that people are read through the index of members only."""
    steps = list_steps(queries, "sw_participants")
    people = [step for step in steps if "tenant_id=?" in step or "sw_participants" in step]
    assert people
    assert all("INDEX sw_participants_members (tenant_id=?)" in step for step in people)
