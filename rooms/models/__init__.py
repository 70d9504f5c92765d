"""What is said: workspaces, rooms and who is in them, events, the media they show, and imports."""

from rooms.models.carrying import ImportIntent, RoomImport, StreamCounter
from rooms.models.events import Event
from rooms.models.media import Media, RoomMedia, ScanStatus
from rooms.models.places import (
    Membership,
    Room,
    RoomMember,
    RoomState,
    RoomType,
    Workspace,
    WorkspaceMember,
    WorkspaceRole,
)

__all__ = [
    "Event",
    "ImportIntent",
    "Media",
    "Membership",
    "Room",
    "RoomImport",
    "RoomMedia",
    "RoomMember",
    "RoomState",
    "RoomType",
    "ScanStatus",
    "StreamCounter",
    "Workspace",
    "WorkspaceMember",
    "WorkspaceRole",
]
