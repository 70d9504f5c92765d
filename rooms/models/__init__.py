"""What is said: workspaces, rooms and who is in them, events, and the media they show."""

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
    "Media",
    "Membership",
    "Room",
    "RoomMedia",
    "RoomMember",
    "RoomState",
    "RoomType",
    "ScanStatus",
    "Workspace",
    "WorkspaceMember",
    "WorkspaceRole",
]
