"""`scripts/bench audit`: time seals of the audit log, their verification and exports.

For each database and number of entries, spread over three years, in a home directory of its own:
the commands that seal all of it, verify it, export it to a file and verify that file. Each is a
process of its own. The baseline of the first two reads the same rows in the same order and adds
them to one SHA-256. The baseline of the export lets the database write them as JSON, hashes it and
writes it to a file. The baseline of the last parses each line of this file and adds it to one
SHA-256. Baselines are processes without Django. All alternate, and the median of each counts. Peak
memory should not grow with the number of entries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import Database, Rounds, connect, empty_home
from scripts.benchmarks.large_server import ServerSize, fill_server
from scripts.benchmarks.processes import (
    BenchmarkError,
    Run,
    build_call,
    time_pipeline,
    time_scaiwave,
)

SEAL, VERIFY, EXPORT, VERIFY_FILE = "seal", "verify", "export", "verify FILE"
ROWS, JSON, LINES = "SELECT, SHA-256", "JSON by the database, SHA-256", "parse lines, SHA-256"
BASELINES = {SEAL: ROWS, VERIFY: ROWS, EXPORT: JSON, VERIFY_FILE: LINES}
NOTES = """\
seconds: from start to end of the process; of ours, a second is the start of Django. CPU s:
seconds of this process, without PostgreSQL."""
COLUMNS = (
    *("id", "at", "operator", "operator_id", "operator_role", "origin", "action", "tenant_id"),
    *("tenant_slug", "subject_type", "subject_id", "subject_name", "details"),
)
BATCH_SIZE = 1000
_FROM = "FROM sw_audit_entries ORDER BY id"
_SEALS = ("sw_audit_seal_parts", "sw_audit_seals", "sw_audit_chain")


def add_options(add: Callable[..., Any]) -> None:
    add("--entries", type=int, nargs="+", default=[20_000, 200_000], help="numbers of entries")
    add("--repeat", type=int, default=3, metavar="N", help="rounds")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    sizes = []
    for entries in options.entries:
        rounds = _measure_rounds(database, entries, options.repeat)
        sizes.append({"entries": entries, "runs": rounds})
        comparisons = {name: (other, "") for name, other in BASELINES.items()}
        rounds.print_table(f"{entries:,} entries", comparisons, items=entries)
    return {"database": database.title, "sizes": sizes}


def _measure_rounds(database: Database, entries: int, repeat: int) -> Rounds:
    rounds = Rounds()
    with empty_home(database) as environment, tempfile.TemporaryDirectory() as directory:
        exported, plain = Path(directory) / "export.jsonl", Path(directory) / "plain.json"
        fill_server(environment, ServerSize(100, 300, 10, entries))
        scaiwave = partial(time_scaiwave, environment=environment)
        scaiwave("admin", "federation", "key", "generate")
        audit = partial(scaiwave, "admin", "audit")

        def baseline(function: Callable[..., str], *words: str, **options: Any) -> Run:
            command = build_call(function, *words)
            return time_pipeline(command, environment=environment, **options)

        steps: dict[str, Callable[[], Run]] = {
            ROWS: lambda: baseline(hash_rows),
            SEAL: lambda: audit("seal"),
            VERIFY: lambda: audit("verify", "--json", target=plain),
            EXPORT: lambda: audit("export", target=exported),
            JSON: lambda: baseline(hash_json, target=plain),
            VERIFY_FILE: lambda: audit("verify", str(exported)),
            LINES: lambda: baseline(hash_lines, str(exported)),
        }
        for _ in range(repeat):
            with connect(environment) as connection:
                for table in _SEALS:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
            for name, step in steps.items():
                rounds.add(name, step())
                if name == VERIFY and (n := json.loads(plain.read_bytes())["entries"]) != entries:
                    raise BenchmarkError(f"{n:,} entries were verified instead of {entries:,}.")
    return rounds


def hash_rows() -> str:
    """Read each column of each entry in the order of the IDs."""
    digest = sha256()
    for row in _select(", ".join(COLUMNS)):
        digest.update("|".join(map(str, row)).encode())
    return digest.hexdigest()


def hash_json() -> str:
    """Let the database write each entry as JSON, and write it to stdout, as an export does."""
    digest = sha256()
    if "SCAIWAVE_DB_URL" in os.environ:
        chunks = _copy_json()
    else:
        pairs = ", ".join(f"'{name}', {name}" for name in COLUMNS)
        chunks = (f"{row[0]}\n".encode() for row in _select(f"json_object({pairs})"))
    for chunk in chunks:
        digest.update(chunk)
        sys.stdout.buffer.write(chunk)
    return digest.hexdigest()


def hash_lines(file: str) -> str:
    digest = sha256()
    with Path(file).open("rb") as lines:
        for line in lines:
            json.loads(line)
            digest.update(line)
    return digest.hexdigest()


def _select(columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows in batches, so that memory does not grow with their number."""
    sql = f"SELECT {columns} {_FROM}"
    with connect(dict(os.environ)) as connection:
        if "SCAIWAVE_DB_URL" not in os.environ:
            yield from connection.execute(sql)
            return
        # A cursor of the server; otherwise the driver keeps all rows in memory.
        connection.execute("BEGIN")
        connection.execute(f"DECLARE entries NO SCROLL CURSOR FOR {sql}")
        while rows := connection.execute(f"FETCH {BATCH_SIZE} FROM entries").fetchall():
            yield from rows


def _copy_json() -> Iterator[bytes]:
    query = f"SELECT row_to_json(e) FROM (SELECT {', '.join(COLUMNS)} {_FROM}) e"  # noqa: S608
    with (
        connect(dict(os.environ)) as connection,
        connection.cursor().copy(f"COPY ({query}) TO STDOUT") as chunks,
    ):
        yield from map(bytes, chunks)
