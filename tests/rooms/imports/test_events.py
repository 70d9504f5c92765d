"""Events in bulk: what goes in is what Django reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.bundle.manifest.events import Batch, BundleEvent
from rooms.imports.events import EventDestination, write_events
from rooms.imports.id_mapping import BundleOrigin, EventRewriter, IdMapper
from rooms.models import Room
from scaiwave.core.operators import get_host_operator
from scaiwave.core.sql import batched
from scaiwave.ids import new_id
from scaiwave.storage.error_mapping import DatabaseBusy
from tenants.people.suspension import suspend_participant, suspend_tenant
from tests.rooms.imports.bundle_factories import make_event
from tests.rooms.imports.factories import make_home
from tests.scaiwave import row_factories
from tests.tools import count_examples

IMPORTED_SENDER = "_imported_sender"
# Without characters that no bundle may contain: U+0000 and single surrogates.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.text(
    '\\", u0\n\t\u2028', max_size=20
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
contents = st.dictionaries(texts, values, max_size=4).map(
    lambda content: {**content, IMPORTED_SENDER: {}}
)
# Texts like those that an encoder of several contents puts between them.
SEPARATORS: dict[str, Any] = {
    ', "\\u0000", ': [', "\\u0000", ', '"', "\\u0000", ", "],
    "\n": "\n{}\n",
    IMPORTED_SENDER: {"a": '}\\n", "\\\\u0000", "'},
}
# This server's own signature: the original senders in the events stay.
OWN = BundleOrigin(is_signed=True, is_own=True, server_name="chat.example")
pytestmark = pytest.mark.django_db


@pytest.fixture
def room() -> Room:
    home = make_home()
    return row_factories.make_room(home.workspace, home.anna)


def write(room: Room, events: list[dict[str, Any]], first: int = 1) -> list[tuple[int, int | None]]:
    """Return the calls of the progress callback."""
    reported: list[tuple[int, int | None]] = []
    rewriter = EventRewriter(IdMapper(room.pk), senders={}, media_ids={}, origin=OWN)
    write_events(
        (Batch(BundleEvent(**one) for one in part) for part in batched(events, 1000)),
        EventDestination(room, first, rewriter),
        total=len(events),
        progress=lambda done, total: reported.append((done, total)),
    )
    return reported


@given(st.lists(st.tuples(contents, st.none() | contents, texts.filter(bool)), max_size=5))
@settings(
    max_examples=count_examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_success_any_content(
    room: Room, given: list[tuple[dict[str, Any], dict[str, Any] | None, str]]
) -> None:
    room.events.all().delete()
    events = [
        make_event(number, content=content, original_content=original, event_type=kind)
        for number, (content, original, kind) in enumerate(given, 1)
    ]
    events += [make_event(6, content=SEPARATORS), make_event(7, content={IMPORTED_SENDER: {}})]
    write(room, events)
    expected = [*given, (SEPARATORS, None, "swp.room.message")]
    expected.append(({IMPORTED_SENDER: {}}, None, "swp.room.message"))
    stored = room.events.order_by("stream_position")
    assert list(stored.values_list("content", "original_content", "event_type")) == expected


def test_success_progress(room: Room) -> None:
    events = [make_event(number, content={IMPORTED_SENDER: {}}) for number in range(1, 2502)]
    reported = write(room, events)
    assert reported == [(0, 2501), (1000, 2501), (2000, 2501), (2501, 2501)]


def test_fail_position_is_taken(room: Room) -> None:
    row_factories.make_event(room, 12)
    events = [make_event(number, content={IMPORTED_SENDER: {}}) for number in range(1, 6)]
    with pytest.raises(DatabaseBusy) as caught, transaction.atomic():
        write(room, events, first=10)
    assert caught.value.message == (
        "Another process wrote to the tenant's stream at the same time."
    )
    assert room.events.count() == 1


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("name", ["pk", "creator_id"])
def test_fail_keys_are_checked_while_events_are_written(room: Room, name: str) -> None:
    """Otherwise the server would need memory for each row until the end of the transaction."""
    setattr(room, name, new_id())
    with pytest.raises(IntegrityError), transaction.atomic():
        write(room, [make_event(1, content={IMPORTED_SENDER: {}})])


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_sender_and_tenant_can_be_suspended_while_events_are_written(room: Room) -> None:
    """Another session does not wait for an import that takes minutes."""

    def suspend() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '10s'")
            options: Any = {
                "operator": get_host_operator(),
                "reason": "left",
                "confirm": lambda question: None,
                "now": timezone.now(),
            }
            suspend_participant(name=str(room.creator_id), **options)
            suspend_tenant(name=str(room.tenant_id), **options)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        write(room, [make_event(1, content={IMPORTED_SENDER: {}})])
        other.submit(suspend).result()
    room.creator.refresh_from_db()
    assert room.creator.suspended_by_hand_at is not None
