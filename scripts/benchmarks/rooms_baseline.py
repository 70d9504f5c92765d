"""The baselines of `scripts/bench rooms`: the same rows and files, handled by other programs.

On PostgreSQL that is COPY by psql; on SQLite a SELECT of json_object by the sqlite3 program, and an
executemany. Where a program is not installed, a function of this module does its work.
"""

# ruff: noqa: S608 — statements contain only names of our own tables and columns

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path

from rooms.seeding.events import COLUMNS
from scripts.benchmarks.harness import SQLITE_FILE, connect
from scripts.benchmarks.processes import Clock, Run, build_call, call, time_pipeline

_NAMES = ", ".join(COLUMNS)
_JSON = ", ".join(
    f"'{name}', json({name})" if "content" in name else f"'{name}', {name}" for name in COLUMNS
)
Pipeline = list[list[str]]

ROW_TO_JSON, JSON_OBJECT = "COPY row_to_json", "json_object"
TEXT, BINARY = "COPY text", "COPY binary"
COPY_FROM, EXECUTEMANY = "COPY FROM", "bare executemany"
GZIP, IGZIP = " | gzip -1", " | igzip -1"


class PostgreSQL:
    """The baseline on PostgreSQL. `rows` is a file for the rows of a room."""

    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        self.environment, self.rows = environment, rows

    def export_pipelines(self, room: str) -> dict[str, Pipeline]:
        """Return pipelines by name; each writes the events of the room."""
        rows = f"FROM sw_events e WHERE room_id = '{room}' ORDER BY stream_position"
        copy = self._copy(f"COPY (SELECT row_to_json(e) {rows}) TO STDOUT")
        text = _compress(TEXT, self._copy(f"COPY (SELECT {_NAMES} {rows}) TO STDOUT"))
        del text[TEXT + GZIP]
        binary = self._copy(f"COPY (SELECT {_NAMES} {rows}) TO STDOUT (FORMAT BINARY)")
        return {**_compress(ROW_TO_JSON, copy), **text, BINARY: [binary]}

    def settle(self) -> None:
        """Let the database finish all pending work. Called before each run."""
        self._execute("VACUUM (ANALYZE) sw_events", "CHECKPOINT")

    def save_rows(self, room: str) -> int:
        """Write the rows of the room to the file; return how many there are."""
        select = f"SELECT {_NAMES} FROM sw_events WHERE room_id = '{room}' ORDER BY stream_position"
        command = self._copy(f"COPY ({select}) TO STDOUT")
        time_pipeline(command, environment=self.environment, target=self.rows)
        with self.rows.open("rb") as file:
            return sum(1 for _ in file)

    def clear_events(self) -> None:
        self._execute("TRUNCATE sw_events")

    def restore_rows(self) -> tuple[str, Run]:
        """Insert the rows of the file; return the name of the method, and its run."""
        command = self._copy(f"COPY sw_events ({_NAMES}) FROM STDIN")
        run = time_pipeline(command, environment=self.environment, source=self.rows)
        return COPY_FROM, run

    def _copy(self, statement: str) -> list[str]:
        url = self.environment["SCAIWAVE_DB_URL"]
        if psql := shutil.which("psql"):
            return [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url]
        return build_call(copy, url, statement)

    def _execute(self, *statements: str) -> None:
        with connect(self.environment) as connection:
            for statement in statements:
                connection.execute(statement)


class SQLite:
    """The baseline on SQLite, with the same methods."""

    def __init__(self, environment: dict[str, str], rows: Path) -> None:
        self.environment, self.rows = environment, rows
        self.file = str(Path(environment["SCAIWAVE_HOME"]) / SQLITE_FILE)

    def export_pipelines(self, room: str) -> dict[str, Pipeline]:
        statement = (
            f"SELECT json_object({_JSON}) FROM sw_events "
            f"WHERE room_id = '{room.replace('-', '')}' ORDER BY stream_position"
        )
        if program := shutil.which("sqlite3"):
            return _compress(JSON_OBJECT, [program, "-batch", self.file, statement])
        return _compress(JSON_OBJECT, build_call(select, self.file, statement))

    def settle(self) -> None:
        with connect(self.environment) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def save_rows(self, room: str) -> int:
        self.rows.unlink(missing_ok=True)
        with connect(self.environment) as connection:
            connection.execute("ATTACH ? AS kept", [str(self.rows)])
            connection.execute(
                f"CREATE TABLE kept.rows AS SELECT {_NAMES} FROM sw_events "
                "WHERE room_id = ? ORDER BY stream_position",
                [room.replace("-", "")],
            )
            return int(connection.execute("SELECT count(*) FROM kept.rows").fetchone()[0])

    def clear_events(self) -> None:
        with connect(self.environment) as connection:
            connection.execute("DELETE FROM sw_events")
            connection.execute("VACUUM")

    def restore_rows(self) -> tuple[str, Run]:
        words = (self.file, str(self.rows))
        return EXECUTEMANY, call(executemany, *words, environment=self.environment)


def _compress(name: str, command: list[str]) -> dict[str, Pipeline]:
    """Return the command alone, and with the fastest level of two programs that compress."""
    igzip = shutil.which("igzip")
    fast = [igzip, "-1"] if igzip else [sys.executable, "-m", "isal.igzip", "-1"]
    return {
        name: [command],
        name + GZIP: [command, ["gzip", "-1"]],
        name + IGZIP: [command, fast],
    }


def copy(url: str, statement: str) -> None:
    """Run COPY through psycopg, block by block."""
    import psycopg

    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement.encode()) as blocks,
    ):
        if statement.endswith("FROM STDIN"):
            while block := os.read(0, 1 << 18):
                blocks.write(block)
        else:
            sys.stdout.buffer.writelines(blocks)


def select(file: str, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for (line,) in connection.execute(statement):
            sys.stdout.buffer.write(line.encode() + b"\n")


def executemany(file: str, rows: str) -> Run:
    """Insert rows that were read before, and return the times of that."""
    with closing(sqlite3.connect(rows)) as connection:
        statement = f"SELECT {_NAMES} FROM rows ORDER BY stream_position"
        values = connection.execute(statement).fetchall()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("foreign_keys=ON", "synchronous=NORMAL"):  # as in the suite's settings
            connection.execute(f"PRAGMA {pragma}")
        placeholders = ", ".join("?" * len(COLUMNS))
        clock = Clock()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO sw_events ({_NAMES}) VALUES ({placeholders})", values)
        connection.execute("COMMIT")
        return clock.read()


def write(source: str, target: str) -> Run:
    """Write the files of a directory again, each synced, and return the times of that."""
    contents = {path.name: path.read_bytes() for path in Path(source).iterdir()}
    Path(target).mkdir()
    clock = Clock()
    for name, content in contents.items():
        with (Path(target) / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return clock.read()


def zip_files(directory: str) -> None:
    """Write an archive of stored entries to stdout."""
    with zipfile.ZipFile(sys.stdout.buffer, "w") as archive:
        for path in Path(directory).rglob("*"):
            archive.write(path)
