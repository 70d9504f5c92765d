from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rooms.lookup.tenant_figures import ROOMS, STORAGE
from scaiwave.extensions import TENANT_TOTALS
from tests.scaiwave import row_factories
from tests.tenants.helpers import list_steps

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def test_success_counts_rooms_that_are_not_closed() -> None:
    acme, empty, other = (row_factories.make_tenant(slug) for slug in ("acme", "empty", "other"))
    main, anna = row_factories.make_workspace(acme), row_factories.make_participant(acme)
    for state in ("open", "archived", "closed", "closed"):
        row_factories.make_room(main, anna, state=state)
    row_factories.make_room(
        row_factories.make_workspace(other), row_factories.make_participant(other)
    )
    assert ROOMS([acme.pk, empty.pk]) == {acme.pk: 2, empty.pk: 0}


@pytest.mark.only_on("sqlite")
def test_success_rooms_are_counted_in_an_index_alone() -> None:
    with CaptureQueriesContext(connection) as queries:
        ROOMS([row_factories.make_tenant("acme").pk])
    (step,) = list_steps(queries, "sw_rooms")
    assert "USING COVERING INDEX sw_rooms_tenant_state" in step


def test_success_sums_stored_bytes() -> None:
    acme, other, empty = (row_factories.make_tenant(slug) for slug in ("acme", "other", "empty"))
    row_factories.make_media(acme, "one", size=2**40)
    row_factories.make_media(acme, "two", size=5, scan_status="pending")
    row_factories.make_media(acme, "bad", size=1000, scan_status="infected")
    row_factories.make_media(other, "one", size=2**40)
    stored = STORAGE([acme.pk, other.pk, empty.pk])
    assert stored == {acme.pk: 2**40 + 5, other.pk: 2**40, empty.pk: 0}
    # PostgreSQL returns a Decimal, which would become a string in JSON.
    assert {type(size) for size in stored.values()} == {int}


def test_success_no_tenants() -> None:
    assert ROOMS([]) == STORAGE([]) == {}


def test_success_registered_columns_take_one_query_each() -> None:
    ids = [row_factories.make_row_of_every_model(number).pk for number in range(3)]
    with CaptureQueriesContext(connection) as caught:
        columns = {
            "rooms": ROOMS(ids),
            "storage_bytes": STORAGE(ids),
        }
    assert len(caught) == 2
    assert {name: column.load()(ids) for name, column in TENANT_TOTALS.items()} == columns
