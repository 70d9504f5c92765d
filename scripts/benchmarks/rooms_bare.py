"""What a room's export and import are measured beside: the same rows, and nothing done to them.

On PostgreSQL that is COPY, by psql where there is one; on SQLite it is a SELECT of json_object, by
the sqlite3 program where there is one, and an executemany. Where such a program is missing, and
for executemany, this module does it: `python -m scripts.benchmarks.rooms_bare WHAT …`.
"""

# ruff: noqa: S608 — statements put together from names of our own

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scripts.benchmarks.databases import Database
from scripts.benchmarks.rooms_timing import Run, timed

COLUMNS = (
    "id", "tenant_id", "room_id", "sender_id", "event_type", "content", "original_content",
    "stream_position", "origin_ts", "event_uuid", "do_not_index", "created_at", "edited_at",
    "redacted_at",
)  # fmt: skip
_NAMES = ", ".join(COLUMNS)
_JSON = ", ".join(
    f"'{name}', json({name})" if "content" in name else f"'{name}', {name}" for name in COLUMNS
)
_SELF = (sys.executable, "-m", "scripts.benchmarks.rooms_bare")
Pipeline = list[list[str]]


class Bare:
    """The yardsticks of one database. `rows` is a file beside it that takes a room's rows."""

    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        self.environment = environment
        self.rows = rows

    def exports(self, room: str) -> dict[str, Pipeline]:
        """By name, each writing the events of the room as lines of JSON."""
        raise NotImplementedError

    def settle(self) -> None:
        """Before each run: nothing is left to do for the database of what went before."""
        raise NotImplementedError

    def keep_rows(self, room: str) -> int:
        """Put the room's rows into the file; returns how many there are."""
        raise NotImplementedError

    def empty(self) -> None:
        """Take all events out of the table."""
        raise NotImplementedError

    def fill(self) -> tuple[str, Run]:
        """What it was done with, and the time it took to put the rows of the file back."""
        raise NotImplementedError


class PostgreSQL(Bare):
    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        super().__init__(environment, rows)
        self.url = environment["SCAIWAVE_DB_URL"]
        self.psql = shutil.which("psql")
        self.program = "psql" if self.psql else "psycopg"

    def exports(self, room: str) -> dict[str, Pipeline]:
        copy = self._copy(
            "COPY (SELECT row_to_json(e) FROM sw_events e "
            f"WHERE room_id = '{room}' ORDER BY stream_position) TO STDOUT"
        )
        name = f"{self.program} COPY row_to_json"
        return {name: [copy], f"{name} | gzip -1": [copy, ["gzip", "-1"]]}

    def settle(self) -> None:
        self._execute("VACUUM (ANALYZE) sw_events", "CHECKPOINT")

    def keep_rows(self, room: str) -> int:
        select = f"SELECT {_NAMES} FROM sw_events WHERE room_id = '{room}' ORDER BY stream_position"
        command = self._copy(f"COPY ({select}) TO STDOUT")
        timed(command, environment=self.environment, target=self.rows)
        with self.rows.open("rb") as file:
            return sum(1 for _ in file)

    def empty(self) -> None:
        self._execute("TRUNCATE sw_events")

    def fill(self) -> tuple[str, Run]:
        command = self._copy(f"COPY sw_events ({_NAMES}) FROM STDIN")
        done = timed(command, environment=self.environment, source=self.rows)
        return f"{self.program} COPY FROM", done

    def _copy(self, statement: str) -> list[str]:
        if self.psql:
            return [self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url]
        return [*_SELF, "copy", self.url, statement]

    def _execute(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


class SQLite(Bare):
    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        super().__init__(environment, rows)
        self.file = str(Path(environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3")
        self.sqlite3 = shutil.which("sqlite3")

    def exports(self, room: str) -> dict[str, Pipeline]:
        select = (
            f"SELECT json_object({_JSON}) FROM sw_events "
            f"WHERE room_id = '{room.replace('-', '')}' ORDER BY stream_position"
        )
        own = [*_SELF, "select", self.file, select]
        command = [self.sqlite3, "-batch", self.file, select] if self.sqlite3 else own
        name = f"{'sqlite3' if self.sqlite3 else 'Python sqlite3'} json_object"
        return {name: [command], f"{name} | gzip -1": [command, ["gzip", "-1"]]}

    def settle(self) -> None:
        with _open(self.file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def keep_rows(self, room: str) -> int:
        self.rows.unlink(missing_ok=True)
        with _open(self.file) as connection:
            connection.execute("ATTACH ? AS kept", [str(self.rows)])
            connection.execute(
                f"CREATE TABLE kept.rows AS SELECT {_NAMES} FROM sw_events "
                "WHERE room_id = ? ORDER BY stream_position",
                [room.replace("-", "")],
            )
            return int(connection.execute("SELECT count(*) FROM kept.rows").fetchone()[0])

    def empty(self) -> None:
        with _open(self.file) as connection:
            connection.execute("DELETE FROM sw_events")
            connection.execute("VACUUM")

    def fill(self) -> tuple[str, Run]:
        told = self.rows.with_suffix(".seconds")
        command = [*_SELF, "executemany", self.file, str(self.rows)]
        timed(command, environment=self.environment, target=told)
        return "bare executemany", {"seconds": float(told.read_text())}


def bare(database: Database, environment: dict[str, str], rows: Path) -> Bare:
    kind = PostgreSQL if database.server else SQLite
    return kind(environment, rows)


@contextmanager
def _open(file: str) -> Iterator[sqlite3.Connection]:
    """A connection that commits each statement, and is closed at the end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def _copy(url: str, statement: str) -> None:
    """COPY through psycopg, the server's blocks as they come."""
    import psycopg

    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement.encode()) as copy,
    ):
        if statement.endswith("FROM STDIN"):
            while block := os.read(0, 1 << 18):
                copy.write(block)
        else:
            sys.stdout.buffer.writelines(copy)


def _select(file: str, statement: str) -> None:
    with _open(file) as connection:
        for (line,) in connection.execute(statement):
            sys.stdout.buffer.write(line.encode() + b"\n")


def _executemany(file: str, rows: str) -> None:
    """Prints the seconds; the rows are in memory before the clock runs."""
    with _open(rows) as kept:
        values = kept.execute(f"SELECT {_NAMES} FROM rows ORDER BY stream_position").fetchall()
    with _open(file) as connection:
        for pragma in ("foreign_keys=ON", "synchronous=NORMAL"):  # as the suite sets them
            connection.execute(f"PRAGMA {pragma}")
        marks = ", ".join("?" * len(COLUMNS))
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO sw_events ({_NAMES}) VALUES ({marks})", values)
        connection.execute("COMMIT")
        print(time.perf_counter() - began)


if __name__ == "__main__":
    {"copy": _copy, "select": _select, "executemany": _executemany}[sys.argv[1]](*sys.argv[2:])
