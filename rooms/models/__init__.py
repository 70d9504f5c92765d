"""Models: workspaces, rooms and their members, events, media, imports, the search index."""

from rooms.models.events import Event
from rooms.models.imports import ImportIntent, RoomImport, StreamCounter, TenantImport
from rooms.models.media import Media, RemovedFile, RoomMedia, ScanStatus
from rooms.models.retention import RetentionPolicy
from rooms.models.rooms import (
    DeletedRoom,
    Membership,
    Room,
    RoomMember,
    RoomState,
    RoomType,
    Workspace,
    WorkspaceMember,
    WorkspaceRole,
)
from rooms.models.search import RemoteState, SearchBackfill, SearchDocument, SearchRange
from rooms.models.tasks import TaskKind, TaskState, TenantTask

__all__ = [
    "DeletedRoom",
    "Event",
    "ImportIntent",
    "Media",
    "Membership",
    "RemoteState",
    "RemovedFile",
    "RetentionPolicy",
    "Room",
    "RoomImport",
    "RoomMedia",
    "RoomMember",
    "RoomState",
    "RoomType",
    "ScanStatus",
    "SearchBackfill",
    "SearchDocument",
    "SearchRange",
    "StreamCounter",
    "TaskKind",
    "TaskState",
    "TenantImport",
    "TenantTask",
    "Workspace",
    "WorkspaceMember",
    "WorkspaceRole",
]
