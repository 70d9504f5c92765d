"""Read the audit log, or an export of it, with nothing but its SHA-256 as the result.

A process of its own: `python -m scripts.benchmarks.audit_baseline rows|json|lines [FILE]`, with the
environment of the server. `rows` reads each column of each entry in the order of the IDs, `json`
lets the database write each entry as JSON, and `lines` parses the lines of a file. Entries are read
in batches, so that memory does not grow with their number. Django is not imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from scripts.benchmarks.search import connect

COLUMNS = (
    *("id", "at", "operator", "operator_id", "operator_role", "origin", "action", "tenant_id"),
    *("tenant_slug", "subject_type", "subject_id", "subject_name", "details"),
)
BATCH_SIZE = 1000
_FROM = "FROM sw_audit_entries ORDER BY id"


def hash_rows() -> str:
    digest = sha256()
    for row in _select(", ".join(COLUMNS)):
        digest.update("|".join(map(str, row)).encode())
    return digest.hexdigest()


def hash_json() -> str:
    """Also write the JSON to stdout, as an export does."""
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


def hash_lines(file: Path) -> str:
    digest = sha256()
    with file.open("rb") as lines:
        for line in lines:
            json.loads(line)
            digest.update(line)
    return digest.hexdigest()


def _select(columns: str) -> Iterator[tuple[Any, ...]]:
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
    import psycopg

    query = f"SELECT row_to_json(e) FROM (SELECT {', '.join(COLUMNS)} {_FROM}) e"  # noqa: S608
    with (
        psycopg.connect(os.environ["SCAIWAVE_DB_URL"]) as connection,
        connection.cursor().copy(f"COPY ({query}) TO STDOUT".encode()) as copy,
    ):
        for chunk in copy:
            yield bytes(chunk)


def main(kind: str, *files: str) -> None:
    if kind == "lines":
        result = hash_lines(Path(files[0]))
    else:
        result = hash_rows() if kind == "rows" else hash_json()
    sys.stdout.write(f"{result}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
