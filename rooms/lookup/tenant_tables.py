"""The tables of this app that reach a tenant, for its export."""

from __future__ import annotations

from collections.abc import Sequence

from scaiwave.extensions import TenantTable

_IN_BUNDLES = "in the bundles of the rooms"
_SEARCH = "computed from the events: run a backfill on the new server"

_TABLES = (
    TenantTable("rooms.Workspace", "workspaces"),
    TenantTable("rooms.WorkspaceMember", "workspace-members"),
    TenantTable("rooms.Room", "rooms"),
    TenantTable("rooms.RoomMember", "room-members"),
    TenantTable("rooms.Event", reason=_IN_BUNDLES),
    TenantTable("rooms.Media", reason=_IN_BUNDLES),
    TenantTable("rooms.RoomMedia", reason=_IN_BUNDLES),
    TenantTable("rooms.RetentionPolicy", reason="of this server: set it again on the new one"),
    TenantTable("rooms.RemovedFile", reason="about files that are no longer in the rooms"),
    TenantTable("rooms.StreamCounter", reason="follows from the positions of the events"),
    TenantTable("rooms.ImportIntent", reason="about an import in progress on this server"),
    TenantTable("rooms.RoomImport", reason="about bundles that were imported on this server"),
    TenantTable("rooms.TenantImport", reason="about an import on this server"),
    TenantTable("rooms.TenantTask", reason="about exports and erasures on this server"),
    TenantTable("rooms.SearchDocument", reason=_SEARCH),
    TenantTable("rooms.SearchBackfill", reason=_SEARCH),
    TenantTable("rooms.SearchRange", reason=_SEARCH),
)


def list_tables() -> Sequence[TenantTable]:
    return _TABLES
