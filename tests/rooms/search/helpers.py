"""Run the backfill script as a process, and inspect its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.scaiwave.cli_helpers import CHECKOUT, ProcessResult, run_process

TENANTS = ("acme", "globex", "initech", "umbrella")
SEED = f"""
from django.core.management import call_command
for tenant in {TENANTS}:
    call_command("seed_rooms", tenant=tenant, events=300, verbosity=0)
"""
BACKFILL = (sys.executable, "scripts/backfill_search_index.py")
TIMEOUT_SECONDS = 60.0


def run_backfill(*words: str, **environment: str) -> ProcessResult:
    return run_process([*BACKFILL, *words], **environment)


def get_json(*words: str) -> Any:
    """Run the script with --json; return its document."""
    ended = run_backfill(*words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@contextmanager
def start_process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process in its own session; on exit, kill it and its children if it still runs."""
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


class DatabaseProbe:
    """Reads and changes the database of the processes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.on_postgres = url.startswith("postgres")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if self.on_postgres:
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as connection:
                return list(connection.execute(sql.encode()).fetchall())
        import sqlite3

        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return list(connection.execute(sql).fetchall())

    def change(self, sql: str) -> None:
        """Execute a statement that returns no rows."""
        if self.on_postgres:
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.encode())
            return
        import sqlite3

        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
            connection.execute(sql)
            connection.commit()

    def add_messages(self, tenant: str, messages: int) -> None:
        """Add so many equal messages to the tenant, to observe progress."""
        new_id = "gen_random_uuid()" if self.on_postgres else "lower(hex(randomblob(16)))"
        self.change(
            f"""
            WITH RECURSIVE numbers (number) AS (
                SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {messages}
            ), template AS (
                SELECT e.* FROM sw_events e JOIN sw_tenants t ON t.id = e.tenant_id
                WHERE t.slug = '{tenant}' AND e.event_type = 'swp.room.message'
                    AND e.redacted_at IS NULL AND CAST(e.content AS text) LIKE '% the %' LIMIT 1
            )
            INSERT INTO sw_events (id, tenant_id, room_id, sender_id, event_type, content,
                stream_position, origin_ts, do_not_index, created_at)
            SELECT {new_id}, tenant_id, room_id, sender_id, event_type, content,
                1000 + number, origin_ts, do_not_index, created_at
            FROM template, numbers
            """
        )

    def count_documents(self) -> int:
        return int(self.rows("SELECT count(*) FROM sw_search_documents")[0][0])

    def get_progress(self) -> int:
        """Return the number of processed positions of unfinished runs."""
        sql = "SELECT COALESCE(sum(done_through - first + 1), 0) FROM sw_search_ranges"
        return int(self.rows(sql)[0][0])

    def wait_for_progress(self, process: subprocess.Popen[str], beyond: int = 0) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.get_progress() <= beyond:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
