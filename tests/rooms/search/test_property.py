"""Whatever is said, edited, taken back or deleted: after a backfill is found what may be found."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.models import Event, Room, RoomType
from tests.rooms.search.places import backfill, edit, found, lobby, redact, say

ACTS = ("say", "say", "edit", "redact", "hide", "show", "delete", "empty", "backfill")
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 99)), min_size=1, max_size=25)
TENANTS = ("acme", "globex")


class Talk:
    """Every version of every message has a word of its own."""

    def __init__(self, rooms: list[Room]) -> None:
        self.rooms = rooms
        self.words: list[str] = []

    def word(self) -> str:
        self.words.append(f"word{len(self.words)}")
        return self.words[-1]

    def act(self, name: str, number: int) -> None:
        if name == "say":
            say(self.rooms[number % len(self.rooms)], self.word())
        elif name == "backfill":
            backfill(restart=number % 5 == 0)
        elif events := list(Event.objects.order_by("stream_position")):
            self.change(name, events[number % len(events)])

    def change(self, name: str, event: Event) -> None:
        if name == "edit":
            edit(event, self.word())
        elif name == "empty":
            edit(event, "")
        elif name == "redact":
            redact(event)
        elif name == "delete":
            event.delete()
        else:
            event.do_not_index = name == "hide"
            event.save()


def expected(tenant: str) -> dict[Any, str]:
    events = Event.objects.filter(tenant__slug=tenant, redacted_at=None, do_not_index=False)
    seen = events.exclude(room__room_type=RoomType.INCOGNITO)
    return {event.pk: event.content["body"] for event in seen if event.content["body"]}


@pytest.mark.django_db
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_success_what_is_found_is_what_may_be_found(db: None, steps: list[tuple[str, int]]) -> None:
    with transaction.atomic():
        hidden = {"room_type": RoomType.INCOGNITO, "scope_kind": "incognito"}
        talk = Talk([lobby(), lobby(), lobby("globex"), lobby(**hidden)])
        for name, number in steps:
            talk.act(name, number)
        done = backfill()
        assert done.wrong == []
        for tenant in TENANTS:
            shown = {key: word for word in talk.words for key in found(word, tenant)}
            assert shown == expected(tenant)
        transaction.set_rollback(True)
