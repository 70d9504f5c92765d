"""Two connections of SQLite that see one moment, while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from rooms.queries.snapshot import begin_paired

INCREASE = "UPDATE counted SET number = number + 1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "counted.sqlite3"
    with closing(opened(path)) as first:
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("CREATE TABLE counted (number)")
        first.execute("INSERT INTO counted VALUES (0)")
    return path


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)


@pytest.fixture
def connections(file: Path) -> Iterator[list[sqlite3.Connection]]:
    found = [opened(file) for _ in range(3)]
    yield found
    for one in found:
        one.close()


def number(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT number FROM counted").fetchone()
    return int(found)


def test_success_both_see_the_same(file: Path, connections: list[sqlite3.Connection]) -> None:
    usual, beside, _ = connections
    stop, by_both = Event(), 0

    def write() -> None:
        with closing(opened(file)) as writer:
            while not stop.is_set():
                writer.execute(INCREASE)

    writing = Thread(target=write)
    writing.start()
    try:
        while number(usual) < 200:
            rows = begin_paired(usual, beside)
            assert number(rows) == number(usual)
            by_both += rows is beside
            for connection in {usual, rows}:
                connection.execute("ROLLBACK")
    finally:
        stop.set()
        writing.join()
    assert by_both


def test_success_another_try_where_somebody_wrote_in_between(
    connections: list[sqlite3.Connection],
) -> None:
    usual, beside, writer = connections
    writes = iter([INCREASE])

    def between(statement: str) -> None:
        if statement.startswith("BEGIN") and (write := next(writes, None)):
            writer.execute(write)

    usual.set_trace_callback(between)
    assert begin_paired(usual, beside) is beside
    assert (number(usual), number(beside)) == (1, 1)


def test_success_one_connection_where_others_never_cease(
    connections: list[sqlite3.Connection],
) -> None:
    usual, beside, writer = connections

    def between(statement: str) -> None:
        if statement.startswith("BEGIN"):
            writer.execute(INCREASE)

    usual.set_trace_callback(between)
    assert begin_paired(usual, beside) is usual
    assert not beside.in_transaction
    usual.set_trace_callback(None)
    seen = number(usual)
    writer.execute(INCREASE)
    assert number(usual) == seen
