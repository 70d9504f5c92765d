"""`scripts/bench catalogue`: how the catalogue of PostgreSQL grows with the number of syncs.

A sync stages its records in temporary tables, whose rows in the system catalogue stay as dead rows
until autovacuum removes them. This runs many small syncs in a row, each with a database connection
of its own, and prints the size of the catalogue. Autovacuum visits each database once a second here
instead of once a minute, since here a sync starts as soon as the one before has ended instead of
every ten minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg

from scripts.benchmarks.databases import (
    TOP,
    Database,
    empty_home,
    exit_on_termination,
    postgresql_database,
)
from scripts.benchmarks.fake_scaikey import run_scaikey
from scripts.benchmarks.metrics import MIB, BenchmarkError, describe_host, format_table
from tests.services.unprivileged_user import ServiceUnavailable

NAPTIME_SECONDS = 1
DIRECTORY = {"people": 300, "partners": 2, "tenants": 10, "groups": 20}
_SIZES = """
    SELECT sum(pg_total_relation_size(c.oid)), COALESCE(sum(s.n_dead_tup), 0)
    FROM pg_class c LEFT JOIN pg_stat_sys_tables s ON s.relid = c.oid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
"""
_WORKER = """
import sys
import django
django.setup()
from django.db import connection
from identity_sync.sync.run import run_sync
from identity_sync.sync.options import SyncOptions
from scaiwave.core.operators import get_host_operator
from scaiwave.console.progress import null_progress_factory
runs, step = map(int, sys.argv[1:])
for done in range(1, runs + 1):
    run_sync(SyncOptions(get_host_operator(), null_progress_factory))
    connection.close()
    if done % step == 0:
        print(done, flush=True)
"""


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    exit_on_termination()
    try:
        with postgresql_database() as database:
            print(describe_host(database.title), flush=True)
            points = list(_measure(database, options.runs, options.step))
    except (ServiceUnavailable, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    rows = [[f"{runs:,}", f"{size / MIB:.1f}", f"{dead:,}"] for runs, size, dead in points]
    print("\n" + format_table(("syncs", "catalogue MB", "dead rows"), rows))
    if options.json:
        options.json.write_text(json.dumps(points) + "\n")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench catalogue", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--runs", type=int, default=1000, help="number of syncs (default 1,000)")
    add("--step", type=int, default=100, help="syncs between two measurements (default 100)")
    add("--json", type=Path, metavar="FILE", help="also write the measurements to FILE")
    return parser


def _measure(database: Database, runs: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of syncs so far, the size of the catalogue in bytes, and its dead rows."""
    with (
        empty_home(database) as environment,
        run_scaikey(latency=0, scim=True, **DIRECTORY) as scaikey,
        psycopg.connect(environment["SCAIWAVE_DB_URL"], autocommit=True) as connection,
    ):
        connection.execute(f"ALTER SYSTEM SET autovacuum_naptime = {NAPTIME_SECONDS}")
        connection.execute("SELECT pg_reload_conf()")
        settings = {
            **environment,
            **scaikey.settings,
            "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
        }
        yield 0, *_measure_catalogue(connection)
        command = [sys.executable, "-c", _WORKER, str(runs), str(step)]
        with subprocess.Popen(command, cwd=TOP, env=settings, stdout=subprocess.PIPE) as worker:
            for line in worker.stdout or ():
                yield int(line), *_measure_catalogue(connection)
        if worker.returncode:
            raise BenchmarkError("A sync failed; see above.")


def _measure_catalogue(connection: psycopg.Connection) -> tuple[int, int]:
    size, dead = connection.execute(_SIZES).fetchone() or (0, 0)
    return int(size), int(dead)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
