"""`scripts/bench backup`: compare backup, verification and restore with the database's own copy.

For PostgreSQL that is `pg_dump` and `pg_restore` into an empty database, and for SQLite `VACUUM
INTO`. A verification also starts a temporary server.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import (
    Database,
    Rounds,
    connect,
    empty_database,
    empty_home,
    seed_rooms,
)
from scripts.benchmarks.processes import Clock, time_pipeline, time_scaiwave

EVENTS = "100000,400000"
COPY, DUMP = "the database's own copy", "the copy's pg_dump alone"
BACKUP, VERIFY, RESTORE = "admin backup", "admin verify-backup", "admin restore"
ROOMS = 3
NOTES = "Targets: 20,000 events per second beside the migrations, and 160 MB of any number."


def measure(database: Database, events: int, repeat: int, heading: str) -> dict[str, Any]:
    runs = Rounds()
    for _ in range(repeat):
        with empty_home(database) as environment, tempfile.TemporaryDirectory() as scratch:
            seed_rooms(environment, "--events", str(events // ROOMS), "--rooms", str(ROOMS))
            scaiwave = partial(time_scaiwave, environment=environment)
            scaiwave("admin", "federation", "key", "generate")
            _copy(database, environment, Path(scratch), runs)
            runs.add(BACKUP, scaiwave("admin", "backup", "--output", scratch))
            [backup] = (str(path) for path in Path(scratch).glob("scaiwave-*"))
            runs.add(VERIFY, scaiwave("admin", "verify-backup", backup))
            with empty_database(database, Path(scratch)) as url:
                runs.add(RESTORE, scaiwave("admin", "restore", backup, "--into", url))
    dump = DUMP if database.server else COPY
    ratios = {BACKUP: (dump, ""), VERIFY: (COPY, ""), RESTORE: (COPY, "")}
    runs.print_table(heading, ratios, items=events)
    return {"runs": runs}


def _copy(database: Database, environment: dict[str, str], directory: Path, runs: Rounds) -> None:
    file = directory / "copy"
    if not database.server:
        clock = Clock()
        with connect(environment) as connection:
            connection.execute("VACUUM INTO ?", [str(file)])
        runs.add(COPY, clock.read())
        return
    dump = ["pg_dump", "--format=custom", "--file", str(file), environment["SCAIWAVE_DB_URL"]]
    with empty_database(database, directory) as url:
        dumped = runs.add(DUMP, time_pipeline(dump, environment=environment))
        words = ["pg_restore", "--no-owner", "--dbname", url, str(file)]
        restored = time_pipeline(words, environment=environment)
    runs.add(COPY, {key: dumped[key] + restored[key] for key in dumped})
