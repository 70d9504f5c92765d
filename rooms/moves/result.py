"""The results of a move, as the commands print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rooms.moves.index import RoomEntry
from scaiwave.core.errors import DomainError
from tenants.lookup.serializers import Row


@dataclass(frozen=True)
class MoveResult:
    """Figures by their names, lists of rows that need attention, and a sentence.

    `error` is raised once all is printed. An act that changes nothing has no `changed`.
    """

    figures: Row
    sentence: str
    lists: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    error: DomainError | None = None
    changed: bool | None = None


def list_not_exported(rooms: Sequence[RoomEntry]) -> list[Row]:
    return [
        {"id": room.id, "room_type": room.room_type, "events": room.events, "reason": room.reason}
        for room in rooms
        if room.reason is not None
    ]
