"""The baseline for room export and import: the database reads and writes the same rows.

On PostgreSQL that is COPY by psql; on SQLite a SELECT of json_object by the sqlite3 program, and an
executemany. Where such a program is not installed, and for loops in Python, this module is the
program: `python -m scripts.benchmarks.rooms_baseline OPERATION …`.
"""

# ruff: noqa: S608 — statements contain only names of our own tables and columns

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scripts.benchmarks.databases import Database
from scripts.benchmarks.rooms_timer import Run, time_pipeline

COLUMNS = (
    "id", "tenant_id", "room_id", "sender_id", "event_type", "content", "original_content",
    "stream_position", "origin_ts", "event_uuid", "do_not_index", "created_at", "edited_at",
    "redacted_at",
)  # fmt: skip
_NAMES = ", ".join(COLUMNS)
_JSON = ", ".join(
    f"'{name}', json({name})" if "content" in name else f"'{name}', {name}" for name in COLUMNS
)
SELF = (sys.executable, "-m", "scripts.benchmarks.rooms_baseline")
Pipeline = list[list[str]]

ROW_TO_JSON, BINARY, JSON_OBJECT = "COPY row_to_json", "COPY binary", "json_object"
COPY_FROM, EXECUTEMANY = "COPY FROM", "bare executemany"
GZIP, IGZIP = " | gzip -1", " | igzip -1"


class Baseline:
    """The baseline on one database. `rows` is a file for the rows of a room."""

    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        self.environment = environment
        self.rows = rows

    def export_pipelines(self, room: str) -> dict[str, Pipeline]:
        """Return pipelines by name; each writes the events of the room as lines of JSON."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let the database finish all pending work. Called before each run."""
        raise NotImplementedError

    def save_rows(self, room: str) -> int:
        """Write the rows of the room to the file; return how many there are."""
        raise NotImplementedError

    def clear_events(self) -> None:
        """Delete all events."""
        raise NotImplementedError

    def restore_rows(self) -> tuple[str, Run]:
        """Insert the rows of the file; return the name of the method, and its run."""
        raise NotImplementedError


class PostgreSQL(Baseline):
    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        super().__init__(environment, rows)
        self.url = environment["SCAIWAVE_DB_URL"]
        self.psql = shutil.which("psql")

    def export_pipelines(self, room: str) -> dict[str, Pipeline]:
        rows = f"FROM sw_events e WHERE room_id = '{room}' ORDER BY stream_position"
        copy = self._copy(f"COPY (SELECT row_to_json(e) {rows}) TO STDOUT")
        binary = self._copy(f"COPY (SELECT {_NAMES} {rows}) TO STDOUT (FORMAT BINARY)")
        return {**_compress(ROW_TO_JSON, copy), BINARY: [binary]}

    def settle(self) -> None:
        self._execute("VACUUM (ANALYZE) sw_events", "CHECKPOINT")

    def save_rows(self, room: str) -> int:
        select = f"SELECT {_NAMES} FROM sw_events WHERE room_id = '{room}' ORDER BY stream_position"
        command = self._copy(f"COPY ({select}) TO STDOUT")
        time_pipeline(command, environment=self.environment, target=self.rows)
        with self.rows.open("rb") as file:
            return sum(1 for _ in file)

    def clear_events(self) -> None:
        self._execute("TRUNCATE sw_events")

    def restore_rows(self) -> tuple[str, Run]:
        command = self._copy(f"COPY sw_events ({_NAMES}) FROM STDIN")
        run = time_pipeline(command, environment=self.environment, source=self.rows)
        return COPY_FROM, run

    def _copy(self, statement: str) -> list[str]:
        if self.psql:
            return [self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url]
        return [*SELF, "copy", self.url, statement]

    def _execute(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


class SQLite(Baseline):
    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        super().__init__(environment, rows)
        self.file = str(Path(environment["SCAIWAVE_HOME"]) / "scaiwave.sqlite3")
        self.sqlite3 = shutil.which("sqlite3")

    def export_pipelines(self, room: str) -> dict[str, Pipeline]:
        select = (
            f"SELECT json_object({_JSON}) FROM sw_events "
            f"WHERE room_id = '{room.replace('-', '')}' ORDER BY stream_position"
        )
        fallback = [*SELF, "select", self.file, select]
        command = [self.sqlite3, "-batch", self.file, select] if self.sqlite3 else fallback
        return _compress(JSON_OBJECT, command)

    def settle(self) -> None:
        with _connect(self.file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def save_rows(self, room: str) -> int:
        self.rows.unlink(missing_ok=True)
        with _connect(self.file) as connection:
            connection.execute("ATTACH ? AS kept", [str(self.rows)])
            connection.execute(
                f"CREATE TABLE kept.rows AS SELECT {_NAMES} FROM sw_events "
                "WHERE room_id = ? ORDER BY stream_position",
                [room.replace("-", "")],
            )
            return int(connection.execute("SELECT count(*) FROM kept.rows").fetchone()[0])

    def clear_events(self) -> None:
        with _connect(self.file) as connection:
            connection.execute("DELETE FROM sw_events")
            connection.execute("VACUUM")

    def restore_rows(self) -> tuple[str, Run]:
        seconds_file = self.rows.with_suffix(".seconds")
        command = [*SELF, "executemany", self.file, str(self.rows)]
        run = time_pipeline(command, environment=self.environment, target=seconds_file)
        return EXECUTEMANY, {**run, **json.loads(seconds_file.read_text())}


def _compress(name: str, command: list[str]) -> dict[str, Pipeline]:
    """Return the command alone, and with the fastest level of two programs that compress."""
    igzip = shutil.which("igzip")
    fast = [igzip, "-1"] if igzip else [sys.executable, "-m", "isal.igzip", "-1"]
    return {
        name: [command],
        name + GZIP: [command, ["gzip", "-1"]],
        name + IGZIP: [command, fast],
    }


def make_baseline(database: Database, environment: dict[str, str], rows: Path) -> Baseline:
    baseline_class = PostgreSQL if database.server else SQLite
    return baseline_class(environment, rows)


@contextmanager
def _connect(file: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection in autocommit mode."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def _copy(url: str, statement: str) -> None:
    """Run COPY through psycopg, block by block."""
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
    with _connect(file) as connection:
        for (line,) in connection.execute(statement):
            sys.stdout.buffer.write(line.encode() + b"\n")


def _executemany(file: str, rows: str) -> None:
    """Print the seconds and the processor time of the insert; the rows are read before."""
    with _connect(rows) as rows_database:
        values = rows_database.execute(
            f"SELECT {_NAMES} FROM rows ORDER BY stream_position"
        ).fetchall()
    with _connect(file) as connection:
        for pragma in ("foreign_keys=ON", "synchronous=NORMAL"):  # as in the suite's settings
            connection.execute(f"PRAGMA {pragma}")
        placeholders = ", ".join("?" * len(COLUMNS))
        started, processor = time.perf_counter(), time.process_time()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO sw_events ({_NAMES}) VALUES ({placeholders})", values)
        connection.execute("COMMIT")
        _print_times(started, processor)


def _write(source: str, target: str) -> None:
    """Write the files of a directory again, each synced; print the seconds and processor time."""
    contents = {path.name: path.read_bytes() for path in Path(source).iterdir()}
    Path(target).mkdir()
    started, processor = time.perf_counter(), time.process_time()
    for name, content in contents.items():
        with (Path(target) / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _print_times(started, processor)


def _print_times(started: float, processor: float) -> None:
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "processor": time.process_time() - processor}))


def _zip(directory: str) -> None:
    """Write an archive of stored entries to stdout."""
    with zipfile.ZipFile(sys.stdout.buffer, "w") as archive:
        for path in Path(directory).rglob("*"):
            archive.write(path)


if __name__ == "__main__":
    operations: dict[str, Callable[..., None]] = {
        "copy": _copy,
        "select": _select,
        "executemany": _executemany,
        "write": _write,
        "zip": _zip,
    }
    operations[sys.argv[1]](*sys.argv[2:])
