"""Measures one sync, or one bare download, in a process of its own and prints it as JSON.

The clock starts when everything is imported and Django is set up, for both alike: the start of
Python is the command line's to measure. Both ask for a token and read the same pages with the
same client; the bare download decodes them, counts the rows and keeps nothing but the ids of
the groups, whose members it asks for the way the sync does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from typing import Any

import django

from scripts.benchmarks.measure import peak_memory

COLLECTIONS = ("partners", "tenants", "users", "groups")


def download() -> dict[str, Any]:
    """Fetch and decode all five kinds, and store nothing."""
    from django.conf import settings

    from identity_sync.services.sync.fetch import MIN_GROUPS_FOR_SCIM
    from scaiwave.clients.connect import scaikey_client

    began = _start()
    with scaikey_client(settings.CONFIG) as client:
        rows = 0
        tenants: dict[str, str] = {}
        for collection in COLLECTIONS:
            for page in client.iter_pages(collection):
                rows += len(page)
                if collection == "groups":
                    tenants |= {row.id: row.tenant_id for row in page}
        counts = Counter(tenants.values())
        several = [tenant for tenant, number in counts.items() if number >= MIN_GROUPS_FOR_SCIM]
        read: set[str] = set()
        for _, groups in client.iter_scim_groups(several):
            for group in groups or ():
                if group.members is not None:
                    read.add(group.id)
                    rows += len(group.members)
        remaining = [group_id for group_id in tenants if group_id not in read]
        for _, members in client.iter_members(remaining):
            rows += sum(member.is_direct for member in members.records) if members else 0
        return {**_spent(began), "requests": client.requests, "rows": rows}


def sync() -> dict[str, Any]:
    """One whole run, as `scaiwave sync` does it when its output is not a terminal."""
    from identity_sync.services.sync.run import SyncOptions, run_sync
    from scaiwave.auth.operators import host_operator
    from scaiwave.console.progress import null_progress_factory

    wish = SyncOptions(operator=host_operator(), bars=null_progress_factory)
    began = _start()
    report = run_sync(wish)
    return {
        **_spent(began),
        "own_seconds": report.duration_seconds,
        "requests": report.requests,
        "rows": sum(counts.seen for counts in report.kinds.values()),
        "changed": report.changed,
        "kinds": report.counts(),
    }


def _start() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _spent(began: tuple[float, float]) -> dict[str, float]:
    wall, processor = began
    return {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    django.setup()
    answer = {"bare": download, "sync": sync}[sys.argv[1]]()
    print(json.dumps({**answer, "peak_memory": peak_memory()}))
