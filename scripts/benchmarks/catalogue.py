"""`scripts/bench catalogue`: how the catalogue of PostgreSQL grows with the number of syncs.

A sync stages its records in temporary tables, whose rows in the system catalogue stay as dead rows
until autovacuum removes them. This runs many small syncs in a row, each with a database connection
of its own, and prints the size of the catalogue. Autovacuum visits each database once a second here
instead of once a minute, since here a sync starts as soon as the one before has ended instead of
every ten minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from scripts.benchmarks.harness import (
    MIB,
    Database,
    connect,
    empty_home,
    print_table,
    serve_scaikey,
)
from scripts.benchmarks.processes import call

NAPTIME_SECONDS = 1
DIRECTORY = {"people": 300, "partners": 2, "tenants": 10, "groups": 20}
_SIZES = """
    SELECT sum(pg_total_relation_size(c.oid)), COALESCE(sum(s.n_dead_tup), 0)
    FROM pg_class c LEFT JOIN pg_stat_sys_tables s ON s.relid = c.oid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
"""


def add_options(add: Callable[..., Any]) -> None:
    add("--runs", type=int, default=1000, help="number of syncs")
    add("--step", type=int, default=100, help="syncs between two measurements")


def choose_database(options: argparse.Namespace) -> str:
    return "postgresql"


def measure(database: Database, options: argparse.Namespace) -> list[tuple[int, int, int]]:
    """Return the number of syncs so far, the size of the catalogue in bytes, and its dead rows."""
    points = []
    with (
        empty_home(database) as environment,
        serve_scaikey(**DIRECTORY) as (_, settings),
        connect(environment) as connection,
    ):
        connection.execute(f"ALTER SYSTEM SET autovacuum_naptime = {NAPTIME_SECONDS}")
        connection.execute("SELECT pg_reload_conf()")
        for done in range(0, options.runs + 1, options.step):
            if done:
                call(run_syncs, options.step, environment={**environment, **settings})
            size, dead = connection.execute(_SIZES).fetchone()
            points.append((done, int(size), int(dead)))
    rows = [[f"{done:,}", f"{size / MIB:.1f}", f"{dead:,}"] for done, size, dead in points]
    print_table(("syncs", "catalogue MB", "dead rows"), rows)
    return points


def run_syncs(number: int) -> None:
    from django.db import connection

    from identity_sync.sync.options import SyncOptions
    from identity_sync.sync.run import run_sync
    from scaiwave.core.operators import get_host_operator

    for _ in range(number):
        run_sync(SyncOptions(get_host_operator()))
        connection.close()
