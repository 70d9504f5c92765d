from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.queries.tenant_stats import rooms_per_tenant, storage_per_tenant
from scaiwave.registry import tenant_columns
from tests.scaiwave import rows

pytestmark = pytest.mark.django_db


def test_success_rooms_that_are_not_closed_are_counted() -> None:
    of, empty, unasked = (rows.tenant(slug) for slug in ("acme", "empty", "unasked"))
    place, anna = rows.workspace(of), rows.participant(of)
    for state in ("open", "archived", "closed", "closed"):
        rows.room(place, anna, state=state)
    rows.room(rows.workspace(unasked), rows.participant(unasked))
    assert rooms_per_tenant([of.pk, empty.pk]) == {of.pk: 2, empty.pk: 0}


def test_success_storage_is_the_sum_of_bytes_that_are_there() -> None:
    of, other, empty = (rows.tenant(slug) for slug in ("acme", "other", "empty"))
    rows.media(of, "one", size=2**40)
    rows.media(of, "two", size=5, scan_status="pending")
    rows.media(of, "bad", size=1000, scan_status="infected")
    rows.media(other, "one", size=2**40)
    stored = storage_per_tenant([of.pk, other.pk, empty.pk])
    assert stored == {of.pk: 2**40 + 5, other.pk: 2**40, empty.pk: 0}
    # PostgreSQL sums into a decimal, which JSON would show as text.
    assert {type(size) for size in stored.values()} == {int}


def test_success_no_tenants_have_nothing() -> None:
    assert rooms_per_tenant([]) == storage_per_tenant([]) == {}


def test_success_columns_are_registered_and_ask_once_each() -> None:
    ids = [rows.everything(number).pk for number in range(3)]
    with CaptureQueriesContext(connection) as caught:
        columns = {
            "rooms": rooms_per_tenant(ids),
            "storage_bytes": storage_per_tenant(ids),
        }
    assert len(caught) == 2
    registered = tenant_columns(ids)
    assert {name: registered[name] for name in columns} == columns
