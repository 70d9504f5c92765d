"""The pace of a deletion: the rows of a transaction, and the pauses for other writers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from rooms.lifecycle import deletion as module
from rooms.lifecycle.deletion import MAX_ROWS, MIN_ROWS, Deletion, open_deletion
from rooms.models import Event, RoomMember
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, NOW, make_person, make_tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("media_root"),
    pytest.mark.dated,
]


@pytest.fixture
def deletion() -> Iterator[Deletion]:
    with open_deletion(HOST_OPERATOR, NOW) as opened:
        yield opened


@pytest.mark.parametrize(
    ("seconds", "sizes"), [(0, [MIN_ROWS, MIN_ROWS]), (3600, [2000, 8000, MAX_ROWS])]
)
def test_success_the_time_of_a_transaction_sets_the_size_of_the_next(
    deletion: Deletion, monkeypatch: pytest.MonkeyPatch, seconds: float, sizes: list[int]
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(module, "TARGET_SECONDS", dict.fromkeys(["sqlite", "postgresql"], seconds))
    for size in sizes:
        with deletion.transaction():
            pass
        assert deletion.rows == size


def test_success_a_pause_for_other_writers_only_after_work(
    deletion: Deletion, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("rooms.lifecycle.deletion.time.sleep", pauses.append)
    monkeypatch.setattr(module, "TARGET_SECONDS", {"sqlite": 3600, "postgresql": 3600})
    with deletion.transaction():
        pass
    assert not pauses
    monkeypatch.setattr(module, "TARGET_SECONDS", {"sqlite": 0, "postgresql": 0})
    with deletion.transaction():
        pass
    assert len(pauses) == (connection.vendor == "sqlite")


def test_success_rows_of_several_tables_and_ranges_of_events(
    deletion: Deletion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_ROWS", 1)
    tenant = make_tenant()
    people = [make_person(tenant, f"person{number}") for number in range(5)]
    workspace = row_factories.make_workspace(tenant)
    room, other = (row_factories.make_room(workspace, people[0], name) for name in "ab")
    for person in people:
        RoomMember.objects.create(tenant=tenant, room=room, participant=person)
    for position in range(1, 8):
        row_factories.make_event(other if position == 4 else room, position, sender=people[0])
    deletion.rows = 3
    events = Event.objects.filter(room=room)
    ranges = [
        (after, through, batch.count()) for (after, through), batch in deletion.iter_batches(events)
    ]
    assert ranges == [(0, 3, 3), (3, 7, 3)]
    tables = [RoomMember.objects.filter(room=room), events]
    assert sum(deletion.delete_rows(tables, lambda: None)) == 11
    assert (RoomMember.objects.count(), list(Event.objects.values_list("room", flat=True))) == (
        0,
        [other.pk],
    )
