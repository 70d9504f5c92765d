"""A room and its copy, for the tests of increments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms.increments.histories import (
    Copy,
    Life,
    import_whole,
)
from tests.rooms.test_round_trip import a_home
from tests.scaiwave import row_factories


@pytest.fixture
def pair(media_root: Path, tmp_path: Path) -> Copy:
    home, there = a_home(), a_home()
    room = row_factories.make_room(home.workspace, home.anna, name="Lobby", topic="Old")
    life = Life(room, tmp_path / "chain")
    life.directory.mkdir()
    for number in range(4):
        life.do("add", 0, {"content": {"body": f"message {number}"}})
    life.end_day()
    return Copy(life, there, import_whole(there, life.links()[0].read_bytes()))
