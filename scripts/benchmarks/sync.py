"""`scripts/bench sync`: time a sync against downloads of the same pages.

For each database and each latency of the sandbox, each run is a separate process: two downloads
(several times between the others; the medians count), the first sync into an empty
database, a sync with nothing to do, one after 1 % of the people has changed, and one after a third
of the people, at most 20,000, has moved to other tenants. Times have no limit, but a run that
changes anything other than expected is an error.

The clock starts after all imports and the set-up of Django: `scripts/bench cli` measures the
start-up. The bare download requests a token and reads the same pages with the client of the sync.
It decodes them, counts the rows, and stores only the IDs of the groups, whose members it requests
the same way as the sync. The raw download has as many threads, with a connection of Python's
`http.client` each, and reads the URLs that the bare one has read, with `json.loads`.

The yardstick for the end of the first sync is plain SQL: for each table that it fills, an empty
copy with the same columns, indexes, checks and foreign keys is filled by one INSERT … SELECT, all
in one transaction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from math import ceil
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.harness import (
    MIB,
    POSTGRES_URL,
    Database,
    Rounds,
    connect,
    empty_home,
    parse_numbers,
    print_table,
    serve_scaikey,
)
from scripts.benchmarks.processes import BenchmarkError, Clock, Run, call, measure_peak_memory

if TYPE_CHECKING:
    from scaiwave.sandbox import Sandbox

RAW, BARE, FIRST, SECOND = "raw download", "bare download", "first sync", "second sync"
URLS = "urls.json"
SHARE = 0.01
MOVED_SHARE, MAX_MOVED = 1 / 3, 20_000
"""Each person that moves is looked up, which takes the latency of a request."""
COLLECTIONS = ("partners", "tenants", "users", "groups")
TABLES = (
    *("sw_partners", "sw_tenants", "sw_participants", "sw_groups", "sw_group_memberships"),
    "sw_sync_changes",
)
PREFIX = "baseline_"
TITLES = (
    *("seconds", "÷ raw", "÷ bare", "CPU s", "÷ raw", "÷ bare"),
    *("requests", "rows", "rows/s", "changed", "peak MB"),
)
NOTES = f"""\
÷ raw, ÷ bare: by the median of these downloads in the same block. The processor time is the
process's own, without the sandbox and a database server. Clocks start after all imports. The
sandbox shares the host's cores. The PostgreSQL that this program starts does not wait for the
disk; {POSTGRES_URL} selects another."""


def add_options(add: Callable[..., Any]) -> None:
    add("--people", type=int, default=100_000, help="number of people")
    add("--partners", type=int, default=3, help="number of partners")
    add("--tenants", type=int, help="number of tenants (default: one for 100 people)")
    add("--groups", type=int, help="number of groups (default: one for 10 people)")
    add("--latency", type=parse_numbers, default="0,30", help="delays of each response in ms")
    add("--repeat", type=int, default=3, help="runs of the sync without changes")
    add("--no-scim", action="store_true", help="use a ScaiKey without SCIM: one request a group")
    add("--scim-cursors", action="store_true", help="use a ScaiKey with lists by cursor (RFC 9865)")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    sizes = {
        "people": options.people,
        "partners": options.partners,
        "tenants": options.tenants or max(1, options.people // 100),
        "groups": options.groups or max(1, options.people // 10),
    }
    directory = ", ".join(f"{count:,} {name}" for name, count in sizes.items())
    print(f"Directory: {directory}.", flush=True)
    blocks = []
    for latency in options.latency:
        scim = {"scim": not options.no_scim, "scim_cursors": options.scim_cursors}
        with (
            empty_home(database) as environment,
            serve_scaikey(latency=latency / 1000, **scim, **sizes) as (sandbox, settings),
        ):
            rounds, plain = _measure_rounds({**environment, **settings}, sandbox, options.repeat)
        heading = f"{database.title}, {latency} ms"
        print_table((heading, *TITLES), [_build_row(name, rounds) for name in rounds])
        _print_first_sync(rounds[FIRST][0], plain["seconds"])
        ours, least = rounds[SECOND][0]["requests"], rounds[BARE][0]["least_requests"]
        print(
            f"Requests of a sync without changes: {ours:,}. The least possible with pages of this "
            f"size: {least:,}, {ours / least:.2f} times as many."
        )
        blocks.append({"latency": latency, "runs": rounds, "plain_insert": plain})
    return {"database": database.title, "blocks": blocks}


def _measure_rounds(
    environment: dict[str, str], sandbox: Sandbox, repeat: int
) -> tuple[Rounds, Run]:
    """Return the runs, and the one of plain SQL."""
    rounds = Rounds()

    def measure_downloads() -> None:
        run = rounds.add(BARE, call(download, environment=environment))
        rounds.add(RAW, {**run, **call(download_raw, environment=environment)})

    def sync(name: str, *arguments: int) -> Run:
        return rounds.add(name, call(run_sync, *arguments, environment=environment))

    measure_downloads()
    sync(FIRST)
    plain = time_plain_insert(environment)
    for _ in range(repeat):
        measure_downloads()
        changed = sync(SECOND)["changed"]
        if changed:
            raise BenchmarkError(f"A sync with nothing to do changed {changed} rows.")
    expected = sandbox.mutate("change_share", share=SHARE)
    measure_downloads()
    _require_changes(sync(f"{SHARE:.0%} of people changed"), expected)
    measure_downloads()
    # Who moves is deactivated in one tenant and added to another.
    people = rounds[FIRST][0]["kinds"]["participants"]["added"]
    moved = sandbox.mutate("move_share", share=min(MOVED_SHARE, MAX_MOVED / people))
    expected = {"renamed": 0, "removed": moved, "added": moved}
    _require_changes(sync("people moved to other tenants", sys.maxsize), expected)
    measure_downloads()
    return rounds, plain


def _require_changes(run: Run, expected: dict[str, int]) -> None:
    counts = run["kinds"]["participants"]
    actual = {
        "renamed": counts["updated"],
        "removed": counts["deactivated"],
        "added": counts["added"],
    }
    if actual != expected:
        raise BenchmarkError(f"ScaiKey changed {expected}, but the sync reported {actual}.")


def _build_row(name: str, rounds: Rounds) -> list[str]:
    """Return the median times and the highest peak of the runs."""
    runs = rounds[name]
    seconds, processor = rounds.get_median(name), rounds.get_median(name, "processor")
    return [
        f"{name} (median of {len(runs)})" if len(runs) > 1 else name,
        f"{seconds:.2f}",
        *(f"{seconds / rounds.get_median(base):.2f}" for base in (RAW, BARE)),
        f"{processor:.2f}",
        *(f"{processor / rounds.get_median(base, 'processor'):.2f}" for base in (RAW, BARE)),
        f"{runs[0]['requests']:,}",
        f"{runs[0]['rows']:,}",
        f"{runs[0]['rows'] / seconds:,.0f}",
        f"{runs[-1]['changed']:,}" if "changed" in runs[-1] else "-",
        f"{rounds.get_peak(name):.0f}",
    ]


def _print_first_sync(run: Run, plain: float) -> None:
    """Compare its end with plain SQL, and its temporary tables with its rows."""
    ours, sizes = run["apply_seconds"], run["sizes"]
    plan, rows, indexed = sizes["plan"], sizes["rows"], sizes["rows_with_indexes"]
    print(
        f"First sync, from the last response to the commit: {ours:.2f} s. Plain SQL for the same "
        f"rows: {plain:.2f} s, {plain / ours:.2f} of it.\n"
        f"Temporary tables of the first sync: {plan / MIB:.0f} MB for the plan, {plan / rows:.2f} "
        f"of its rows ({rows / MIB:.0f} MB) and {plan / indexed:.2f} of them with their indexes; "
        f"{sizes['staged'] / MIB:.0f} MB for what ScaiKey returned."
    )


def download() -> Run:
    """Fetch and decode all five entity types, and store only the URLs."""
    from django.conf import settings

    from identity_sync.sync.fetch.lists import MIN_GROUPS_FOR_SCIM
    from scaiwave.clients.scaikey.client import scaikey_client
    from scaiwave.clients.scaikey.results import MemberList
    from scaiwave.sandbox.api.scim import MAX_COUNT

    sent: list[Any] = []
    clock = Clock()
    with scaikey_client(settings.CONFIG) as client:
        client.http._client.event_hooks["request"].append(sent.append)
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
        run = {
            **clock.read(),
            "requests": client.requests,
            "least_requests": least,
            "rows": rows,
            "peak_memory": measure_peak_memory(),
        }
    reads = [each for each in sent if each.method == "GET" and "Authorization" in each.headers]
    token = reads[-1].headers["Authorization"]
    urls = [request.url.raw_path.decode() for request in reads]
    (settings.CONFIG.home / URLS).write_text(
        json.dumps([reads[0].url.netloc.decode(), token, urls])
    )
    return run


def download_raw() -> Run:
    """Read what `download` has read, by the least that Python needs for it."""
    from django.conf import settings

    from scaiwave.clients.http.client import MAX_CONCURRENT_REQUESTS

    server, token, urls = json.loads((settings.CONFIG.home / URLS).read_text())
    pending = deque(urls)

    def read() -> None:
        with closing(HTTPConnection(server, timeout=60)) as connection, suppress(IndexError):
            while True:
                connection.request("GET", pending.popleft(), headers={"Authorization": token})
                json.loads(connection.getresponse().read())

    clock = Clock()
    with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as threads:
        for each in [threads.submit(read) for _ in range(MAX_CONCURRENT_REQUESTS)]:
            each.result()
    return {**clock.read(), "requests": len(urls), "peak_memory": measure_peak_memory()}


def run_sync(allow_removals: int | None = None) -> Run:
    """Run a sync as `scaiwave sync` does when its output is not a terminal."""
    from identity_sync.sync import run
    from identity_sync.sync.options import Permissions, SyncOptions
    from scaiwave.core.operators import get_host_operator

    module: Any = run
    sizes: dict[str, int] = {}
    options = SyncOptions(
        get_host_operator(),
        permissions=Permissions(allow_removals=allow_removals),
        on_planned=lambda: sizes.update(_measure_tables()),
    )
    last_response = 0.0
    fetch_lists = module.fetch_lists

    def note_end(source: Any) -> Any:
        nonlocal last_response
        fetched = fetch_lists(source)
        last_response = time.perf_counter()
        return fetched

    module.fetch_lists = note_end
    clock = Clock()
    report = module.run_sync(options)
    return {
        **clock.read(),
        "apply_seconds": time.perf_counter() - last_response,
        "own_seconds": report.duration_seconds,
        "requests": report.requests,
        "rows": sum(counts.seen for counts in report.kinds.values()),
        "changed": report.change_count,
        "kinds": report.counts(),
        "sizes": sizes,
        "peak_memory": measure_peak_memory(),
    }


def _measure_tables() -> dict[str, int]:
    """Sum up the sizes of the plan, of the staged responses, and of the rows that a sync writes."""
    from identity_sync.sync.tables import TABLES as TEMPORARY

    sizes = dict.fromkeys(("plan", "staged", "rows", "rows_with_indexes"), 0)
    for name, rows, total in _list_sizes():
        if name in TEMPORARY:
            sizes["staged" if name.startswith("stage_") else "plan"] += int(total)
        elif name in TABLES:
            sizes["rows"] += int(rows)
            sizes["rows_with_indexes"] += int(total)
    return sizes


def _list_sizes() -> list[tuple[str, int, int]]:
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


def time_plain_insert(environment: dict[str, str]) -> Run:
    """Measure from the first INSERT to the end of the commit."""
    is_sqlite = "SCAIWAVE_DB_URL" not in environment
    list_definitions = _list_sqlite_definitions if is_sqlite else _list_postgresql_definitions
    with connect(environment) as connection:
        if is_sqlite:
            connection.execute("PRAGMA foreign_keys = ON")
        for table in TABLES:
            for definition in list_definitions(connection, table):
                connection.execute(definition)
        try:
            clock = Clock()
            connection.execute("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
            for table in TABLES:
                sql = f"INSERT INTO {PREFIX}{table} SELECT * FROM {table}"  # noqa: S608
                connection.execute(sql)
            connection.execute("COMMIT")
            return clock.read()
        finally:
            for table in TABLES:
                connection.execute(f"DROP TABLE {PREFIX}{table}")


def _list_postgresql_definitions(connection: Any, table: str) -> Iterator[str]:
    """Yield the statements that create a copy of the table."""
    yield f"CREATE TABLE {PREFIX}{table} (LIKE {table} INCLUDING ALL)"
    constraints = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype = 'f'",
        [table],
    )
    for (definition,) in constraints.fetchall():
        yield f"ALTER TABLE {PREFIX}{table} ADD {definition}"


def _list_sqlite_definitions(connection: Any, table: str) -> Iterator[str]:
    """Yield the statements that create a copy of the table and of its indexes, under new names."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL "
        "AND type IN ('table', 'index') ORDER BY type DESC",
        [table],
    ).fetchall()
    for kind, name, sql in rows:
        renamed = sql.replace(f'"{name}"', f'"{PREFIX}{name}"', 1)
        yield renamed if kind == "table" else renamed.replace(f'"{table}"', f'"{PREFIX}{table}"', 1)
