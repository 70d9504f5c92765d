"""Two SQLite connections with one snapshot, while other connections write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from rooms.exports.snapshot import begin_paired

INCREASE = "UPDATE counted SET number = number + 1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "counted.sqlite3"
    with closing(open_database(path)) as first:
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("CREATE TABLE counted (number)")
        first.execute("INSERT INTO counted VALUES (0)")
    return path


def open_database(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)


@pytest.fixture
def connections(file: Path) -> Iterator[list[sqlite3.Connection]]:
    opened = [open_database(file) for _ in range(3)]
    yield opened
    for connection in opened:
        connection.close()


def read_number(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT number FROM counted").fetchone()
    return int(number)


def test_success_both_read_the_same_snapshot(
    file: Path, connections: list[sqlite3.Connection]
) -> None:
    first, second, _ = connections
    stop = Event()

    def write() -> None:
        with closing(open_database(file)) as writer:
            while not stop.is_set():
                writer.execute(INCREASE)

    writer_thread = Thread(target=write)
    writer_thread.start()
    try:
        while read_number(first) < 200:
            rows = begin_paired(first, second)
            assert read_number(rows) == read_number(first)
            for connection in {first, rows}:
                connection.execute("ROLLBACK")
    finally:
        stop.set()
        writer_thread.join()
    assert begin_paired(first, second) is second


def test_success_retries_after_a_write_in_between(
    connections: list[sqlite3.Connection],
) -> None:
    first, second, writer = connections
    writes = iter([INCREASE])

    def write_in_between(statement: str) -> None:
        if statement.startswith("BEGIN") and (write := next(writes, None)):
            writer.execute(write)

    first.set_trace_callback(write_in_between)
    assert begin_paired(first, second) is second
    assert (read_number(first), read_number(second)) == (1, 1)


def test_success_falls_back_to_one_connection_under_constant_writes(
    connections: list[sqlite3.Connection],
) -> None:
    first, second, writer = connections

    def write_in_between(statement: str) -> None:
        if statement.startswith("BEGIN"):
            writer.execute(INCREASE)

    first.set_trace_callback(write_in_between)
    assert begin_paired(first, second) is first
    assert not second.in_transaction
    first.set_trace_callback(None)
    seen = read_number(first)
    writer.execute(INCREASE)
    assert read_number(first) == seen
