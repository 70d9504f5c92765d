"""`scripts/bench admin`: the admin site on a large server.

The queries and seconds of the overview, built and stored, and of every list (also with each search,
filter and order) and page, as the median of several runs. It prints the overview and the slowest.
A page is rendered by Django's test client, without a web server and a network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from statistics import median
from time import perf_counter
from typing import Any

from scripts.benchmarks.harness import Database, empty_home, print_table
from scripts.benchmarks.large_server import LARGE_TENANT, ServerSize, fill_server
from scripts.benchmarks.processes import call

SIZE = ServerSize(tenants=10_000, people=200_000, rooms=50_000, audit_entries=1_000_000)
SHOWN = 12


def add_options(add: Callable[..., Any]) -> None:
    add("--runs", type=int, default=3, help="runs of each page")
    add("--divisor", type=int, default=1, metavar="N", help="only 1/N of the rows")
    add("--only", default="", metavar="TEXT", help="only pages whose names contain this text")


def measure(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    size = SIZE.scale(options.divisor)
    with empty_home(database) as environment:
        fill_server(environment, size)
        print(size, flush=True)
        result = call(
            time_pages,
            options.runs,
            options.only,
            environment={**environment, "SCAIWAVE_PROFILE": "full"},
        )
    _print_result(result)
    return {"database": database.title, **asdict(size), **result}


def time_pages(runs: int, only: str) -> dict[str, Any]:
    """Measure the overview, and each list and page whose name contains `only`."""
    from django.test import Client
    from django.test.utils import setup_test_environment

    from tenants.models import AdminUser, Participant, StoredOverview, Tenant
    from tests.scaiwave.site.addresses import Address, iter_addresses, iter_page

    setup_test_environment()
    client = Client()
    user, _ = AdminUser.objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    client.force_login(user)
    tenant = Tenant.objects.get(slug=LARGE_TENANT)
    person = Participant.objects.filter(tenant=tenant).order_by("pk")[0]
    addresses = [*iter_addresses(client)]
    for row in (tenant, person):
        addresses += [
            Address(f"{each.name} (large)", each.url, is_list=each.is_list)
            for each in iter_page(client, row)
        ]
    overview = Address("the overview", "/admin/", is_list=False)
    return {
        "cold": _time_page(client, overview, runs, StoredOverview.objects.all().delete),
        "stored": _time_page(client, overview, runs),
        "pages": [_time_page(client, each, runs) for each in addresses if only in each.name],
    }


def _time_page(
    client: Any, address: Any, runs: int, prepare: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Return the queries of a page, and the seconds of each run after it."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    prepare()
    with CaptureQueriesContext(connection) as caught:
        response = client.get(address.url)
        queries = len(caught)  # later requests delete them
    if response.status_code != 200:
        raise SystemExit(f"{address.url} responded {response.status_code}.")
    seconds = []
    for _ in range(runs):
        prepare()
        started = perf_counter()
        client.get(address.url)
        seconds.append(perf_counter() - started)
    return {
        "name": address.name,
        "is_list": address.is_list,
        "queries": queries,
        "seconds": seconds,
        "url": address.url,
    }


def _print_result(result: dict[str, Any]) -> None:
    """Print the overview, the slowest lists and pages, and the most queries of each kind."""
    pages = sorted(result["pages"], key=lambda page: median(page["seconds"]), reverse=True)
    overview = [
        {**result["cold"], "name": "overview, built"},
        {**result["stored"], "name": "overview, stored"},
    ]
    rows = [
        [page["name"], str(page["queries"]), f"{median(page['seconds']) * 1000:.0f}"]
        for page in (*overview, *pages[:SHOWN])
    ]
    print_table(("page", "queries", "ms"), rows)
    print()
    for title, is_list in (("lists", True), ("pages", False)):
        kind = [page for page in pages if page["is_list"] is is_list]
        milliseconds = 1000 * median(median(page["seconds"]) for page in kind)
        queries = max(page["queries"] for page in kind)
        print(f"{len(kind)} {title}: at most {queries} queries, median {milliseconds:.0f} ms")
