"""`scripts/bench search`: time the backfill of the search index against plain SQL.

For each database, in a home directory of its own: `scripts/backfill_search_index.py --execute
--inline` over sample messages, and again with nothing to do; against one INSERT … SELECT of the
very rows it writes, without and with the same full text, in this process. Then searches. Each
backfill is a process of its own, all kinds alternate, and the median of each counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from rooms.search.schema import LEXEMES, TOKENIZER
from scripts.benchmarks.databases import (
    TOP,
    Database,
    empty_home,
    exit_on_termination,
    postgresql_database,
    sqlite_database,
)
from scripts.benchmarks.metrics import describe_host, format_table
from scripts.benchmarks.rooms_timer import TENANT, seed_sample_rooms, time_scaiwave
from tests.services.unprivileged_user import ServiceUnavailable

SCRIPT = [sys.executable, "scripts/backfill_search_index.py", "--execute", "--inline", "--json"]
OURS, NOTHING, START = "backfill", "… again, nothing to do", "… of a tenant without events"
ROWS, TEXT = "INSERT … SELECT of its rows", "… and their full text"
PLAIN = "… without removing accents and punctuation"
SEARCHES = {"report": "search of a frequent word, ms", "nosuchword": "search of a rare word, ms"}
EMPTY = ("admin", "create-tenant", "--slug", "empty", "--name", "Empty", "--local")
TITLES = ("seconds", "messages/s", "ours ÷ this", "target")
NOTES = """\
ours ÷ this: the seconds of the line divided by the backfill's. The backfill's figures include
start-up; the figures of plain SQL do not. Both create the same columns, indexes and words."""
TARGETS = {TEXT: "≥ 0.5"}

_FROM = "FROM sw_events e JOIN sw_rooms r ON r.id = e.room_id WHERE e.event_type = 'swp.room.message' AND e.redacted_at IS NULL AND NOT e.do_not_index AND r.room_type <> 'incognito'"  # noqa: E501
_COLUMNS = "tenant_id, event_id, stream_position, body, edited_at, remote"
_INDEX = "CREATE INDEX baseline_stream ON baseline (tenant_id, stream_position)"
_SQLITE = (
    "CREATE TABLE baseline (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id, event_id UNIQUE, "
    "stream_position, body TEXT, edited_at, remote)",
    _INDEX,
    f"INSERT INTO baseline ({_COLUMNS}) SELECT e.tenant_id, e.id, e.stream_position, "
    f"json_extract(e.content, '$.body'), e.edited_at, 0 {_FROM}",
)
_SQLITE_TEXT = (
    "CREATE VIRTUAL TABLE baseline_words USING fts5(body, content='baseline', content_rowid='id', "
    f"tokenize='{TOKENIZER}')",
    "INSERT INTO baseline_words (rowid, body) SELECT id, body FROM baseline",
)
_POSTGRESQL = (
    "CREATE TABLE baseline (id bigserial PRIMARY KEY, tenant_id uuid, event_id uuid UNIQUE, "
    "stream_position bigint, body text, edited_at timestamptz, remote smallint)",
    _INDEX,
    f"INSERT INTO baseline ({_COLUMNS}) SELECT e.tenant_id, e.id, e.stream_position, "
    f"e.content ->> 'body', e.edited_at, 0 {_FROM}",
)
_POSTGRESQL_TEXT = (
    "ALTER TABLE baseline ADD COLUMN words tsvector GENERATED ALWAYS AS ({}) STORED",
    "CREATE INDEX baseline_words ON baseline USING gin (words)",
)


class Connection(Protocol):
    def execute(self, sql: Any) -> Any: ...


@contextmanager
def connect(environment: dict[str, str]) -> Iterator[Connection]:
    if url := environment.get("SCAIWAVE_DB_URL"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        return
    import sqlite3

    path = Path(environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")  # as in the suite's settings
        yield connection


def time_baseline(environment: dict[str, str], lexemes: str = "") -> float:
    """Return the seconds of plain SQL for the same rows; with `lexemes`, including full text."""
    is_sqlite = "SCAIWAVE_DB_URL" not in environment
    rows, words = (_SQLITE, _SQLITE_TEXT) if is_sqlite else (_POSTGRESQL, _POSTGRESQL_TEXT)
    with connect(environment) as connection:
        connection.execute(rows[0])
        started = time.perf_counter()
        # On PostgreSQL the lexemes are computed on insert, and indexed afterwards.
        before, after = (words[0].format(lexemes), words[1]) if lexemes else ("", "")
        for sql in filter(None, (before, *rows[1:], after)):
            connection.execute(sql)
        seconds = time.perf_counter() - started
        connection.execute("DROP TABLE baseline")
        if lexemes and is_sqlite:
            connection.execute("DROP TABLE baseline_words")
    return seconds


def time_backfill(environment: dict[str, str], *words: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [*SCRIPT, *words], cwd=TOP, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def clear_index(environment: dict[str, str]) -> None:
    """Restore the state before the first backfill."""
    with connect(environment) as connection:
        if "SCAIWAVE_DB_URL" in environment:
            connection.execute("TRUNCATE sw_search_documents")
            connection.execute("DROP INDEX IF EXISTS sw_search_documents_words")
        else:
            connection.execute("DELETE FROM sw_search_documents")
            # Faster than to delete the words of each document.
            connection.execute("INSERT INTO sw_search_words (sw_search_words) VALUES ('rebuild')")


def time_search(environment: dict[str, str], word: str) -> float:
    """Return the median milliseconds of a search, in a process that does nine."""
    code = (
        "import os, sys, time, django; django.setup()\n"
        "from rooms.search.queries import search_rooms\n"
        "from scaiwave.core.operators import get_host_operator\n"
        "def once():\n"
        "    started = time.perf_counter()\n"
        "    operator = get_host_operator()\n"
        f"    messages = list(search_rooms(operator=operator, text='{word}', tenant='{TENANT}'))\n"
        f"    assert len(messages) == {20 if word == 'report' else 0}\n"
        "    return time.perf_counter() - started\n"
        "print(sorted(once() for _ in range(9))[4])\n"
    )
    settings = {**environment, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=TOP, env=settings, check=True, capture_output=True)
    return float(process.stdout) * 1000


def measure_runs(
    database: Database, events: int, repeat: int
) -> tuple[int, dict[str, list[float]]]:
    """Return the number of messages, and the seconds of each run by name."""
    runs: dict[str, list[float]] = {}
    with empty_home(database) as environment, tempfile.TemporaryDirectory() as directory:
        seed_sample_rooms(environment, Path(directory) / "seeded.json", "--events", str(events))
        time_scaiwave(*EMPTY, environment=environment)
        measurements: dict[str, Callable[[], float]] = {
            OURS: lambda: time_backfill(environment),
            NOTHING: lambda: time_backfill(environment),
            START: lambda: time_backfill(environment, "--tenant", "empty"),
            ROWS: lambda: time_baseline(environment),
            TEXT: lambda: time_baseline(environment, LEXEMES),
        }
        if database.server:
            measurements[PLAIN] = lambda: time_baseline(environment, "to_tsvector('simple', body)")
        for word, title in SEARCHES.items():
            measurements[title] = partial(time_search, environment, word)
        for _ in range(repeat):
            clear_index(environment)
            for name, run in measurements.items():
                runs.setdefault(name, []).append(run())
        with connect(environment) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sw_search_documents").fetchone()
    return count, runs


def build_rows(count: int, runs: dict[str, list[float]]) -> Iterator[list[str]]:
    our_seconds = median(runs[OURS])
    for name, each in runs.items():
        figure = median(each)
        if name in SEARCHES.values():
            yield [name, f"{figure:.1f}", "-", "-", "-"]
            continue
        rate = "-" if name == START else f"{count / figure:,.0f}"
        ratio = f"{figure / our_seconds:.2f}" if name in {ROWS, TEXT, PLAIN} else "-"
        yield [name, f"{figure:.2f}", rate, ratio, TARGETS.get(name, "-")]


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    exit_on_termination()
    try:
        if options.database != "postgresql":
            _print_runs(sqlite_database(), options)
        if options.database != "sqlite":
            with postgresql_database() as database:
                _print_runs(database, options)
    except (ServiceUnavailable, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"\n{NOTES}")
    return 0


def _print_runs(database: Database, options: argparse.Namespace) -> None:
    count, runs = measure_runs(database, options.events, options.repeat)
    print(f"\n{describe_host(database.title)}\n{count:,} messages, {options.repeat} runs each")
    print(format_table(("", *TITLES), list(build_rows(count, runs))), flush=True)
    if options.json:
        print(json.dumps({"database": database.title, "messages": count, "runs": runs}))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench search", description=__doc__)
    parser.add_argument(
        "--events", metavar="N", type=int, default=256_000, help="number of events (default 256000)"
    )
    parser.add_argument(
        "--repeat", metavar="N", type=int, default=3, help="runs of each kind (default 3)"
    )
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), help="only this database (default both)"
    )
    parser.add_argument("--json", action="store_true", help="also print every run as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
