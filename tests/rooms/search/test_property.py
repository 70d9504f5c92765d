"""After any sequence of changes and a backfill, a search finds exactly the eligible messages."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.models import Event, Room, RoomType
from tests.rooms.search.factories import (
    backfill,
    edit_message,
    find_event_ids,
    list_mismatched,
    make_lobby,
    make_message,
    redact_message,
)
from tests.tools import count_examples

ACTS = ("post", "post", "edit", "redact", "hide", "show", "delete", "empty", "backfill")
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 99)), min_size=1, max_size=25)
TENANTS = ("acme", "globex")


class Conversation:
    """Rooms in which every version of every message has a unique word."""

    def __init__(self, rooms: list[Room]) -> None:
        self.rooms = rooms
        self.words: list[str] = []

    def make_word(self) -> str:
        self.words.append(f"word{len(self.words)}")
        return self.words[-1]

    def act(self, name: str, number: int) -> None:
        if name == "post":
            make_message(self.rooms[number % len(self.rooms)], self.make_word())
        elif name == "backfill":
            backfill(restart=number % 5 == 0)
        elif events := list(Event.objects.order_by("stream_position")):
            self.change_event(name, events[number % len(events)])

    def change_event(self, name: str, event: Event) -> None:
        if name == "edit":
            edit_message(event, self.make_word())
        elif name == "empty":
            edit_message(event, "")
        elif name == "redact":
            redact_message(event)
        elif name == "delete":
            event.delete()
        else:
            event.do_not_index = name == "hide"
            event.save()


def expected_words(tenant: str) -> dict[Any, str]:
    events = Event.objects.filter(tenant__slug=tenant, redacted_at=None, do_not_index=False)
    eligible = events.exclude(room__room_type=RoomType.INCOGNITO)
    return {event.pk: event.content["body"] for event in eligible if event.content["body"]}


@pytest.mark.django_db
@settings(
    max_examples=count_examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_success_exactly_the_eligible_messages_are_found(
    db: None, steps: list[tuple[str, int]]
) -> None:
    with transaction.atomic():
        hidden = {"room_type": RoomType.INCOGNITO, "scope_kind": "incognito"}
        conversation = Conversation(
            [make_lobby(), make_lobby(), make_lobby("globex"), make_lobby(**hidden)]
        )
        for name, number in steps:
            conversation.act(name, number)
        result = backfill()
        assert list_mismatched(result) == []
        for tenant in TENANTS:
            words_by_event = {
                key: word for word in conversation.words for key in find_event_ids(word, tenant)
            }
            assert words_by_event == expected_words(tenant)
        transaction.set_rollback(True)
