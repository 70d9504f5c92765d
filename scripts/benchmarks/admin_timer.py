"""Time the pages of the admin site: `python -m scripts.benchmarks.admin_timer RUNS ONLY`.

A process of its own, with the environment of the server to measure. Prints a JSON document: the
overview, and each list and page whose name contains ONLY, with its queries and the seconds of each
run.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any


def measure(runs: int, only: str) -> dict[str, Any]:
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
    tenant = Tenant.objects.get(slug="large")
    person = Participant.objects.filter(tenant=tenant).order_by("pk")[0]
    addresses = [*iter_addresses(client)]
    for row in (tenant, person):
        addresses += [
            Address(f"{each.name} (large)", each.url, is_list=each.is_list)
            for each in iter_page(client, row)
        ]
    overview = Address("the overview", "/admin/", is_list=False)
    return {
        "cold": _measure_page(client, overview, runs, StoredOverview.objects.all().delete),
        "stored": _measure_page(client, overview, runs),
        "pages": [_measure_page(client, each, runs) for each in addresses if only in each.name],
    }


def _measure_page(client: Any, address: Any, runs: int, prepare: Any = None) -> dict[str, Any]:
    """Return the queries of a page, and the seconds of each run after it."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    prepare = prepare or (lambda: None)
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


def main() -> None:
    import django

    django.setup()
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))


if __name__ == "__main__":
    main()
