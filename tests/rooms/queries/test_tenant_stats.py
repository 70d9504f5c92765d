from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.queries.tenant_stats import rooms_per_tenant, storage_per_tenant
from scaiwave.registry import get_tenant_columns
from tests.scaiwave import rows

pytestmark = pytest.mark.django_db


def test_success_counts_rooms_that_are_not_closed() -> None:
    acme, empty, other = (rows.tenant(slug) for slug in ("acme", "empty", "other"))
    main, anna = rows.workspace(acme), rows.participant(acme)
    for state in ("open", "archived", "closed", "closed"):
        rows.room(main, anna, state=state)
    rows.room(rows.workspace(other), rows.participant(other))
    assert rooms_per_tenant([acme.pk, empty.pk]) == {acme.pk: 2, empty.pk: 0}


def test_success_sums_stored_bytes() -> None:
    acme, other, empty = (rows.tenant(slug) for slug in ("acme", "other", "empty"))
    rows.media(acme, "one", size=2**40)
    rows.media(acme, "two", size=5, scan_status="pending")
    rows.media(acme, "bad", size=1000, scan_status="infected")
    rows.media(other, "one", size=2**40)
    stored = storage_per_tenant([acme.pk, other.pk, empty.pk])
    assert stored == {acme.pk: 2**40 + 5, other.pk: 2**40, empty.pk: 0}
    # PostgreSQL returns a Decimal, which would become a string in JSON.
    assert {type(size) for size in stored.values()} == {int}


def test_success_no_tenants() -> None:
    assert rooms_per_tenant([]) == storage_per_tenant([]) == {}


def test_success_registered_columns_take_one_query_each() -> None:
    ids = [rows.everything(number).pk for number in range(3)]
    with CaptureQueriesContext(connection) as caught:
        columns = {
            "rooms": rooms_per_tenant(ids),
            "storage_bytes": storage_per_tenant(ids),
        }
    assert len(caught) == 2
    registered = get_tenant_columns(ids)
    assert {name: registered[name] for name in columns} == columns
