from __future__ import annotations

import pytest

from rooms.models import Room
from rooms.views.export_room import format_content_disposition


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("Lobby", 'filename="Lobby.zip"'),
        ('a"b\\c/../d', 'filename="a_b_c_.._d.zip"'),
        ("a\r\nSet-Cookie: x", 'filename="a__Set-Cookie_ x.zip"'),
        ("", 'filename="{id}.zip"'),
        ("東", "filename=\"{id}.zip\"; filename*=UTF-8''%E6%9D%B1.zip"),
    ],
)
def test_success_file_names(name: str, header: str) -> None:
    room = Room(name=name)
    assert format_content_disposition(room) == "attachment; " + header.replace("{id}", str(room.pk))
