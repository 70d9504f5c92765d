"""Measure one sync, or one bare download, in a separate process, and print the result as JSON.

For both, the clock starts after all imports and the set-up of Django: `scripts/bench cli` measures
the start-up. Both request a token and read the same pages with the same client. The bare download
decodes them, counts the rows, and stores only the IDs of the groups, whose members it requests the
same way as the sync.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

import django

from scripts.benchmarks.metrics import measure_peak_memory
from scripts.benchmarks.sync_baseline import TABLES

COLLECTIONS = ("partners", "tenants", "users", "groups")


def download() -> dict[str, Any]:
    """Fetch and decode all five entity types, and store nothing."""
    from django.conf import settings

    from identity_sync.sync.fetch import MIN_GROUPS_FOR_SCIM
    from scaiwave.clients.scaikey.client import scaikey_client
    from scaiwave.clients.scaikey.results import MemberList
    from scaiwave.sandbox.api.scim import MAX_COUNT

    started = _start_clocks()
    with scaikey_client(settings.CONFIG) as client:
        rows = 0
        least = 1  # the token
        tenants: dict[str, str] = {}
        for collection in COLLECTIONS:
            pages = client.iter_pages(collection)
            for page in pages:
                rows += len(page)
                if collection == "groups":
                    tenants |= {row.id: row.tenant_id for row in page}
            least += max(1, ceil(pages.row_count / max(1, pages.page_size)))
        counts = Counter(tenants.values())
        several = [tenant for tenant, number in counts.items() if number >= MIN_GROUPS_FOR_SCIM]
        read: set[str] = set()
        for _, groups in client.iter_scim_groups(several):
            for group in groups or ():
                if group.people is not None:
                    read.add(group.id)
                    rows += len(group.people) + len(group.groups)
        remaining = [group_id for group_id in tenants if group_id not in read]
        for _, members in client.iter_members(remaining):
            if isinstance(members, MemberList):
                rows += sum(member.is_direct for member in members.records)
        if read:
            least += sum(ceil(number / MAX_COUNT) for number in counts.values())
        else:
            least += len(tenants)
        return {
            **_measure_since(started),
            "requests": client.requests,
            "least_requests": least,
            "rows": rows,
        }


def sync(allow_removals: int | None = None) -> dict[str, Any]:
    """Run a sync as `scaiwave sync` does when its output is not a terminal."""
    from identity_sync.sync import run
    from scaiwave.console.progress import null_progress_factory
    from scaiwave.core.operators import get_host_operator

    sync_run: Any = run
    sizes: dict[str, int] = {}
    options = sync_run.SyncOptions(
        get_host_operator(),
        null_progress_factory,
        allow_removals=allow_removals,
        on_planned=lambda: sizes.update(_measure_tables(_table_sizes())),
    )
    last_response = 0.0
    stage_all = sync_run.stage_all

    def note_end(*args: Any, **kwargs: Any) -> None:
        nonlocal last_response
        stage_all(*args, **kwargs)
        last_response = time.perf_counter()

    sync_run.stage_all = note_end
    started = _start_clocks()
    report = sync_run.run_sync(options)
    return {
        **_measure_since(started),
        "apply_seconds": time.perf_counter() - last_response,
        "own_seconds": report.duration_seconds,
        "requests": report.requests,
        "rows": sum(counts.seen for counts in report.kinds.values()),
        "changed": report.change_count,
        "kinds": report.counts(),
        "sizes": sizes,
    }


def _table_sizes() -> list[tuple[str, int, int]]:
    """Return name, bytes of rows and bytes with indexes of all tables, temporary ones included."""
    from django.db import connection

    from scaiwave.core.sql import fetch

    if connection.vendor == "postgresql":
        return fetch(
            "SELECT relname, pg_table_size(oid), pg_total_relation_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace IN (pg_my_temp_schema(), 'public'::regnamespace)"
        )
    return [
        row
        for schema in ("main", "temp")
        for row in fetch(
            f"""
            SELECT m.tbl_name, sum(CASE WHEN m.type = 'table' THEN d.pgsize END), sum(d.pgsize)
            FROM dbstat('{schema}', 1) d JOIN {schema}.sqlite_master m ON m.name = d.name
            GROUP BY m.tbl_name
            """  # noqa: S608 - our own names
        )
    ]


def _measure_tables(tables: list[tuple[str, int, int]]) -> dict[str, int]:
    """Sum up the sizes of the plan, of the staged responses, and of the rows that a sync writes."""
    from identity_sync.sync.staging import TABLES as TEMPORARY

    sizes = dict.fromkeys(("plan", "staged", "rows", "rows_with_indexes"), 0)
    for name, rows, total in tables:
        if name in TEMPORARY:
            sizes["staged" if name.startswith("stage_") else "plan"] += int(total)
        elif name in TABLES:
            sizes["rows"] += int(rows)
            sizes["rows_with_indexes"] += int(total)
    return sizes


def _start_clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _measure_since(started: tuple[float, float]) -> dict[str, float]:
    wall, processor = started
    return {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    django.setup()
    operations: dict[str, Callable[[], dict[str, Any]]] = {
        "bare": download,
        "sync": sync,
        "sync-allowing-removals": partial(sync, allow_removals=sys.maxsize),
    }
    result = operations[sys.argv[1]]()
    print(json.dumps({**result, "peak_memory": measure_peak_memory()}))
