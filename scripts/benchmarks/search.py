"""`scripts/bench search`: what filling the search index costs, beside the database alone.

For each database, in a home of its own: `scripts/backfill_search_index.py --execute --inline` over
made-up messages, and again with nothing to do; beside one INSERT … SELECT of the very rows it
writes, without and with the same full text, by hand and in this process. Then words are searched
for. Each backfill is a process of its own, all kinds take turns, and of each the median counts.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, Protocol

from rooms.search.schema import LEXEMES, TOKENIZER
from scripts.benchmarks.databases import TOP, Database, empty_home, postgresql, sqlite
from scripts.benchmarks.measure import aligned, describe_machine
from scripts.benchmarks.rooms_timing import TENANT, console, seeded
from tests.services.account import ServiceAbsent

SCRIPT = [sys.executable, "scripts/backfill_search_index.py", "--execute", "--inline", "--json"]
OURS, NOTHING, START = "backfill", "… again, nothing to do", "… of a tenant without events"
ROWS, TEXT = "INSERT … SELECT of its rows", "… and their full text"
PLAIN = "… accents and punctuation left in it"
SEARCHES = {"report": "search of a frequent word, ms", "nosuchword": "search of a rare word, ms"}
EMPTY = ("admin", "create-tenant", "--slug", "empty", "--name", "Empty", "--local")
TITLES = ("seconds", "messages/s", "ours ÷ this", "aim")
NOTES = """\
ours ÷ this: the seconds of the line by those of the backfill. What starting takes is part of the
backfill's figures and not of those in SQL alone, which make the same columns, indices and words."""
AIM = {TEXT: "≥ 0.5"}

_FROM = "FROM sw_events e JOIN sw_rooms r ON r.id = e.room_id WHERE e.event_type = 'swp.room.message' AND e.redacted_at IS NULL AND NOT e.do_not_index AND r.room_type <> 'incognito'"  # noqa: E501
_COLUMNS = "tenant_id, event_id, stream_position, body, edited_at, remote"
_INDEX = "CREATE INDEX bare_stream ON bare (tenant_id, stream_position)"
_SQLITE = (
    "CREATE TABLE bare (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id, event_id UNIQUE, "
    "stream_position, body TEXT, edited_at, remote)",
    _INDEX,
    f"INSERT INTO bare ({_COLUMNS}) SELECT e.tenant_id, e.id, e.stream_position, "
    f"json_extract(e.content, '$.body'), e.edited_at, 0 {_FROM}",
)
_SQLITE_TEXT = (
    "CREATE VIRTUAL TABLE bare_words USING fts5(body, content='bare', content_rowid='id', "
    f"tokenize='{TOKENIZER}')",
    "INSERT INTO bare_words (rowid, body) SELECT id, body FROM bare",
)
_POSTGRESQL = (
    "CREATE TABLE bare (id bigserial PRIMARY KEY, tenant_id uuid, event_id uuid UNIQUE, "
    "stream_position bigint, body text, edited_at timestamptz, remote smallint)",
    _INDEX,
    f"INSERT INTO bare ({_COLUMNS}) SELECT e.tenant_id, e.id, e.stream_position, "
    f"e.content ->> 'body', e.edited_at, 0 {_FROM}",
)
_POSTGRESQL_TEXT = (
    "ALTER TABLE bare ADD COLUMN words tsvector GENERATED ALWAYS AS ({}) STORED",
    "CREATE INDEX bare_words ON bare USING gin (words)",
)


class Connection(Protocol):
    def execute(self, sql: Any) -> Any: ...


@contextmanager
def connected(environment: dict[str, str]) -> Iterator[Connection]:
    if url := environment.get("SCAIWAVE_DB_URL"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        return
    import sqlite3

    path = Path(environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")  # as ours
        yield connection


def bare(environment: dict[str, str], lexemes: str = "") -> float:
    """Seconds of the same rows in SQL alone; with `lexemes`, of their full text too."""
    on_sqlite = "SCAIWAVE_DB_URL" not in environment
    rows, words = (_SQLITE, _SQLITE_TEXT) if on_sqlite else (_POSTGRESQL, _POSTGRESQL_TEXT)
    with connected(environment) as connection:
        connection.execute(rows[0])
        began = time.perf_counter()
        # PostgreSQL makes the lexemes as the rows come in, and their index after it.
        before, after = (words[0].format(lexemes), words[1]) if lexemes else ("", "")
        for sql in filter(None, (before, *rows[1:], after)):
            connection.execute(sql)
        seconds = time.perf_counter() - began
        connection.execute("DROP TABLE bare")
        if lexemes and on_sqlite:
            connection.execute("DROP TABLE bare_words")
    return seconds


def backfill(environment: dict[str, str], *words: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [*SCRIPT, *words], cwd=TOP, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def emptied(environment: dict[str, str]) -> None:
    """As before the first backfill."""
    with connected(environment) as connection:
        if "SCAIWAVE_DB_URL" in environment:
            connection.execute("TRUNCATE sw_search_documents")
            connection.execute("DROP INDEX IF EXISTS sw_search_documents_words")
        else:
            connection.execute("DELETE FROM sw_search_documents")
            # Or it would have to be told of every word that is gone.
            connection.execute("INSERT INTO sw_search_words (sw_search_words) VALUES ('rebuild')")


def searched(environment: dict[str, str], word: str) -> float:
    """Milliseconds of one search inside a process that does several; the median of them."""
    code = (
        "import os, sys, time, django; django.setup()\n"
        "from rooms.queries.search import search_rooms\n"
        "from scaiwave.auth.operators import host_operator\n"
        "def once():\n"
        "    began = time.perf_counter()\n"
        f"    found = search_rooms(operator=host_operator(), text='{word}', tenant='{TENANT}')\n"
        f"    assert len(found) == {20 if word == 'report' else 0}\n"
        "    return time.perf_counter() - began\n"
        "print(sorted(once() for _ in range(9))[4])\n"
    )
    settings = {**environment, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=TOP, env=settings, check=True, capture_output=True)
    return float(told.stdout) * 1000


def measured(database: Database, events: int, repeat: int) -> tuple[int, dict[str, list[float]]]:
    """How many messages there are, and seconds by name."""
    runs: dict[str, list[float]] = {}
    with empty_home(database) as environment, tempfile.TemporaryDirectory() as folder:
        seeded(environment, Path(folder) / "made.json", "--events", str(events))
        console(*EMPTY, environment=environment)
        kinds: dict[str, Callable[[], float]] = {
            OURS: lambda: backfill(environment),
            NOTHING: lambda: backfill(environment),
            START: lambda: backfill(environment, "--tenant", "empty"),
            ROWS: lambda: bare(environment),
            TEXT: lambda: bare(environment, LEXEMES),
        }
        if database.server:
            kinds[PLAIN] = lambda: bare(environment, "to_tsvector('simple', body)")
        for word, title in SEARCHES.items():
            kinds[title] = partial(searched, environment, word)
        for _ in range(repeat):
            emptied(environment)
            for name, run in kinds.items():
                runs.setdefault(name, []).append(run())
        with connected(environment) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sw_search_documents").fetchone()
    return count, runs


def lines(count: int, runs: dict[str, list[float]]) -> Iterator[list[str]]:
    ours = median(runs[OURS])
    for name, several in runs.items():
        figure = median(several)
        if name in SEARCHES.values():
            yield [name, f"{figure:.1f}", "-", "-", "-"]
            continue
        rate = "-" if name == START else f"{count / figure:,.0f}"
        ratio = f"{figure / ours:.2f}" if name in {ROWS, TEXT, PLAIN} else "-"
        yield [name, f"{figure:.2f}", rate, ratio, AIM.get(name, "-")]


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        if options.database != "postgresql":
            _show(sqlite(), options)
        if options.database != "sqlite":
            with postgresql() as database:
                _show(database, options)
    except (ServiceAbsent, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"\n{NOTES}")
    return 0


def _show(database: Database, options: argparse.Namespace) -> None:
    count, runs = measured(database, options.events, options.repeat)
    print(f"\n{describe_machine(database.title)}\n{count:,} messages, {options.repeat} times")
    print(aligned(("", *TITLES), list(lines(count, runs))), flush=True)
    if options.json:
        print(json.dumps({"database": database.title, "messages": count, "runs": runs}))


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench search", description=__doc__)
    parser.add_argument("--events", metavar="N", type=int, default=256_000, help="(default 256000)")
    parser.add_argument("--repeat", metavar="N", type=int, default=3, help="(default 3)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="(default both)")
    parser.add_argument("--json", action="store_true", help="also every run")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
