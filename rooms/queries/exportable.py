"""Which rooms stay where they are (ScaiWave docs, concepts/incognito-and-restricted)."""

from __future__ import annotations

from rooms.bundle.format import CARRIED_ROOM_TYPES
from rooms.models import Room
from rooms.models.rooms import INCOGNITO_SCOPE


def export_blocker(room: Room) -> str | None:
    """What keeps a room from being exported, to follow 'since'; None if nothing does."""
    if room.scope_kind == INCOGNITO_SCOPE:
        return "it is incognito"
    if room.room_type not in CARRIED_ROOM_TYPES:
        return f"its type is {room.room_type}"
    if room.is_federated:
        return "it is federated"
    return None
