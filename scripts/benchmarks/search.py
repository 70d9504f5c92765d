"""`scripts/bench search`: time the backfill of the search index against plain SQL.

For each database, in a home directory of its own: `scripts/backfill_search_index.py --execute
--inline` over sample messages, and again with nothing to do; against one INSERT … SELECT of the
very rows it writes, without and with the same full text, in this process. Then searches. Each
backfill is a process of its own, all kinds alternate, and the median of each counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from rooms.search.schema import LEXEMES, TOKENIZER
from scripts.benchmarks.harness import TENANT, Database, Rounds, connect, empty_home, seed_rooms
from scripts.benchmarks.processes import BenchmarkError, Clock, Run, call, time_pipeline

EVENTS = "256000"
SCRIPT = [sys.executable, "scripts/backfill_search_index.py", "--execute", "--inline", "--json"]
OURS, NOTHING = "backfill", "… again, nothing to do"
ROWS, TEXT = "INSERT … SELECT of its rows", "… and their full text"
SEARCHES = {
    # A title, a word, and how many messages its first page has.
    "search of a frequent word": ("report", 20),
    "search of a rare word": ("nosuchword", 0),
}
NOTES = """\
The backfill's figures include start-up; the figures of plain SQL do not. Both create the same
columns, indexes and words."""

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


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    rounds = Rounds()
    with empty_home(database) as environment:
        seed_rooms(environment, "--events", str(events))
        steps: dict[str, Callable[[], Run]] = {
            OURS: lambda: time_pipeline(SCRIPT, environment=environment),
            NOTHING: lambda: time_pipeline(SCRIPT, environment=environment),
            ROWS: lambda: _time_baseline(environment),
            TEXT: lambda: _time_baseline(environment, LEXEMES),
        }
        for title, (word, found) in SEARCHES.items():
            steps[title] = partial(call, time_search, word, found, environment=environment)
        for _ in range(repeat):
            _clear_index(environment)
            for name, step in steps.items():
                rounds.add(name, step())
        with connect(environment) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sw_search_documents").fetchone()
    comparisons = {ROWS: (OURS, ""), TEXT: (OURS, "≥ 0.5")}
    rounds.print_table(f"{heading}, {count:,} messages", comparisons, items=count)
    return {"messages": count, "runs": rounds}


def _time_baseline(environment: dict[str, str], lexemes: str = "") -> Run:
    """Time plain SQL for the same rows; with `lexemes`, including full text."""
    is_sqlite = "SCAIWAVE_DB_URL" not in environment
    rows, words = (_SQLITE, _SQLITE_TEXT) if is_sqlite else (_POSTGRESQL, _POSTGRESQL_TEXT)
    with connect(environment) as connection:
        connection.execute(rows[0])
        clock = Clock()
        # On PostgreSQL the lexemes are computed on insert, and indexed afterwards.
        before, after = (words[0].format(lexemes), words[1]) if lexemes else ("", "")
        for sql in filter(None, (before, *rows[1:], after)):
            connection.execute(sql)
        run = clock.read()
        connection.execute("DROP TABLE baseline")
        if lexemes and is_sqlite:
            connection.execute("DROP TABLE baseline_words")
    return run


def _clear_index(environment: dict[str, str]) -> None:
    """Restore the state before the first backfill."""
    with connect(environment) as connection:
        if "SCAIWAVE_DB_URL" in environment:
            connection.execute("TRUNCATE sw_search_documents")
            connection.execute("DROP INDEX IF EXISTS sw_search_documents_words")
        else:
            connection.execute("DELETE FROM sw_search_documents")
            # Faster than to delete the words of each document.
            connection.execute("INSERT INTO sw_search_words (sw_search_words) VALUES ('rebuild')")


def time_search(word: str, found: int) -> Run:
    """Return the median seconds of nine searches in this process."""
    from rooms.search.queries import search_rooms
    from scaiwave.core.operators import get_host_operator

    def search_once() -> float:
        clock = Clock()
        operator = get_host_operator()
        messages = list(search_rooms(operator=operator, text=word, tenant=TENANT)[0])
        if len(messages) != found:
            raise BenchmarkError(f"The search for {word} found {len(messages)} messages.")
        return float(clock.read()["seconds"])

    return {"seconds": median(search_once() for _ in range(9))}
