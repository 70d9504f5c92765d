"""A chain, merged, is the room as a full export has it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings

from tests.rooms.increments.histories import Life, export_whole, histories, merge, value
from tests.rooms.random_rooms import Drawn, create_room, rooms
from tests.rooms.test_round_trip import a_home
from tests.tools import count_examples

_NUMBERS = count()


@pytest.mark.django_db(transaction=True)
@property_settings(
    max_examples=count_examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=rooms, history=histories)
def test_success_any_history(
    media_root: Path, tmp_path: Path, drawn: Drawn, history: list[Any]
) -> None:
    directory = tmp_path / str(next(_NUMBERS))
    directory.mkdir()
    # A chain keeps a file that the media store loses later; a whole export has lost it.
    life = Life(create_room(drawn, a_home()), directory, is_careful=True)
    life.end_day()
    for day in history:
        for act in day:
            life.do(*act)
        before = len(life.links())
        assert life.end_day() == (len(life.links()) > before)
        life.day -= 1
        whole = export_whole(life)
        life.day += 1
        assert value(merge(life.links())) == value(whole)
        # Nothing has changed since.
        assert not life.end_day()
