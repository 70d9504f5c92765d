"""Read-only admin pages of workspaces, rooms, events, media, imports and search."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html

from rooms.lookup.rooms import load_room_row
from rooms.messages.page import find_reader, show_messages
from rooms.models import (
    DeletedRoom,
    Event,
    ImportIntent,
    Media,
    RemovedFile,
    RetentionPolicy,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    RoomState,
    ScanStatus,
    SearchBackfill,
    SearchDocument,
    SearchRange,
    StreamCounter,
    TenantImport,
    Workspace,
    WorkspaceMember,
)
from rooms.retention.policies import PolicyPlace, find_policy
from rooms.site import acts, tenants, uploads
from scaiwave.console.text import pluralize
from scaiwave.core.operators import OperatorRole
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant, find_limited_operator
from scaiwave.site.acts import ActLink
from scaiwave.site.formatting import Tone, format_badge, format_id, format_size, format_time
from scaiwave.site.related import register_soft_reference
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import TermForm
from tenants.holds.queries import find_hold
from tenants.models import Hold, Participant, Tenant
from tenants.people.site.filters import ConditionFilter, TenantFilter

__all__ = ["acts", "tenants", "uploads"]

register_tab(Tenant, "Rooms", Room, "tenant", position=4)
register_tab(Participant, "Rooms", RoomMember, "participant", position=3)
register_tab(Workspace, "Rooms", Room, "workspace", position=1)
register_tab(Workspace, "Members", WorkspaceMember, "workspace", position=2)
register_tab(Room, "Memberships", RoomMember, "room", position=1)
register_tab(Room, "Files", RoomMedia, "room", position=2)
register_tab(Room, "Events", Event, "room", position=3)
register_tab(Room, "Removed files", RemovedFile, "room", position=4)
register_tab(Room, "Retention", RetentionPolicy, "room", position=5)
register_soft_reference(Hold, "room_id", at=[Room, DeletedRoom])
register_tab(Room, "Holds", Hold, "room_id", position=6)
register_tab(DeletedRoom, "Holds", Hold, "room_id", position=1)
register_tab(Tenant, "Retention", RetentionPolicy, "tenant", position=7)


ROOM_TONES = {RoomState.OPEN: Tone.GOOD}


SCAN_TONES = {
    ScanStatus.CLEAN: Tone.GOOD,
    ScanStatus.PENDING: Tone.INFO,
    ScanStatus.INFECTED: Tone.BAD,
}


def format_scan(media: Media) -> str:
    return format_badge(media.scan_status, SCAN_TONES[ScanStatus(media.scan_status)])


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    searched_forms = frozenset({TermForm.TEXT})
    list_display = ("slug", "name", "tenant", "created_at", "updated_at")
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("slug", "name")
    search_help_text = "Search by slug or name."
    sortable_by = ("slug", "name")


@admin.register(WorkspaceMember)
class WorkspaceMemberAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    list_display = ("role", "participant", "workspace", "tenant", "created_at")
    list_filter = ("role",)
    list_select_related = ("participant", "workspace", "tenant")
    search_fields = ("id", "participant", "workspace")
    search_help_text = "Search by ID of a membership, participant or workspace."
    named_by = ("participant", "workspace")
    id_fields = ("id", "participant", "workspace")


class RoomStateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"
    conditions: ClassVar = {
        "not_closed": ~Q(state=RoomState.CLOSED),
        **{state.value: Q(state=state) for state in RoomState},
    }
    titles: ClassVar = {"not_closed": "Not closed"}


@admin.register(Room)
class RoomAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    searched_forms = frozenset({TermForm.TEXT, TermForm.DAY})
    list_display = (
        "__str__",
        "room_type",
        "state_badge",
        "is_federated",
        "room_alias",
        "workspace",
        "tenant",
        "creator",
        "created_at",
    )
    list_filter = (TenantFilter, "room_type", RoomStateFilter, "is_federated")
    search_fields = ("name", "room_alias")
    search_help_text = "Search by name, alias or ID."
    hidden_fields = ("deleted_at", "purge_at", "deletion")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # The page of a room shows them, as the list does.
        return super().get_queryset(request).select_related("workspace", "tenant", "creator")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.show_messages)
        return [
            path("<str:room_id>/messages/", view, name="rooms_room_messages"),
            *super().get_urls(),
        ]

    def show_messages(self, request: HttpRequest, room_id: str) -> HttpResponse:
        return show_messages(self, request, room_id)

    def list_acts(self, request: HttpRequest, row: Room) -> list[ActLink]:
        acts = super().list_acts(request, row)
        if find_reader(request) is not None:
            url = reverse("admin:rooms_room_messages", args=[row.pk])
            acts.insert(0, ActLink("Read messages", url, is_destructive=False))
        return acts

    def summarise(self, room: Room, request: HttpRequest) -> str:
        context = {
            "figures": load_room_row(room),
            "badge": self.state_badge(room),
            "retention": find_policy(PolicyPlace(room.tenant, room)),
            "hold": self._can_view(request, Hold) and find_hold(room.tenant_id, room_id=room.pk),
            "sees_members": self._can_view(request, RoomMember),
            "sees_events": self._can_view(request, Event),
            "sees_files": self._can_view(request, RoomMedia),
        }
        return render_to_string("rooms/admin/room.html", context)

    @admin.display(description="state")
    def state_badge(self, room: Room) -> str:
        return format_badge(room.state, ROOM_TONES.get(RoomState(room.state), Tone.NEUTRAL))


@admin.register(DeletedRoom)
class DeletedRoomAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    list_display = ("__str__", "tenant", "deleted_at", "purge_at")
    list_select_related = ("tenant",)
    search_fields = ("id",)
    search_help_text = "Search by ID."
    hidden_fields = ("deletion",)
    shows_related = False


class RoomRowAdmin(ReadOnlyAdmin):
    """Rows of rooms; rows of deleted rooms are not shown."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(room__in=DeletedRoom.objects.values("pk"))


@admin.register(RoomMember)
class RoomMemberAdmin(RoomRowAdmin):
    scope = by_tenant()
    list_display = ("membership", "participant", "room", "power_level", "joined_at", "tenant")
    list_filter = ("membership",)
    list_select_related = ("participant", "room", "tenant")
    search_fields = ("id", "participant", "room")
    search_help_text = "Search by ID of a membership, participant or room."
    named_by = ("participant", "room")
    id_fields = ("id", "participant", "room")


@admin.register(Event)
class EventAdmin(RoomRowAdmin):
    """A table of millions of rows, read by its indexes only: by id, by room or by tenant."""

    scope = by_tenant()
    section = Section.ROOMS
    list_display = (
        "stream_position",
        "event_type",
        "sender",
        "room",
        "tenant",
        "created_at",
        "edited_at",
        "redacted_at",
    )
    list_select_related = ("sender", "room", "tenant")
    search_fields = ("id",)
    search_help_text = "Search by ID of an event. The page of a room links to its events."
    # What people wrote is read on the page of the messages of a room, for a reason.
    hidden_fields = ("content", "original_content", "origin_ts")
    unexported_fields = ("content", "original_content")
    more_fields = ("sent_at",)

    @admin.display(description="sent")
    def sent_at(self, event: Event) -> str:
        try:
            return format_time(datetime.fromtimestamp(event.origin_ts, UTC))
        except (OSError, OverflowError, ValueError):
            return f"{event.origin_ts:,} seconds after 1970"

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Sort newest first, by the index that fits the filter."""
        is_filtered = {"room__id__exact", "tenant__id__exact"} & set(request.GET)
        operator = find_limited_operator(request)
        is_of_tenant = operator is not None and operator.role is OperatorRole.TENANT_ADMIN
        return ["-stream_position"] if is_filtered or is_of_tenant else ["-id"]


@admin.register(Media)
class MediaAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    searched_forms = frozenset({TermForm.HASH})
    list_display = (
        "short_hash",
        "mime_type",
        "formatted_size",
        "scan_badge",
        "tenant",
        "created_at",
    )
    list_filter = ("scan_status",)
    list_select_related = ("tenant",)
    search_fields = ("sha256__exact",)
    search_help_text = "Search by SHA-256 or ID."

    def format_name(self, media: Media) -> str:
        return format_id(media.sha256)

    @admin.display(description="scan")
    def scan_badge(self, media: Media) -> str:
        return format_scan(media)

    @admin.display(description="SHA-256")
    def short_hash(self, media: Media) -> str:
        return format_id(media.sha256)

    @admin.display(description="size")
    def formatted_size(self, media: Media) -> str:
        return format_size(media.size)


@admin.register(RoomMedia)
class RoomMediaAdmin(RoomRowAdmin):
    scope = by_tenant()
    list_display = ("name", "room", "mime_type", "formatted_size", "scan_status", "tenant")
    list_select_related = ("room", "media", "tenant")
    search_fields = ("id", "room", "media")
    search_help_text = "Search by ID of a room or a file."
    field_models: ClassVar = dict.fromkeys(("mime_type", "formatted_size", "scan_status"), (Media,))
    id_fields = ("id", "room", "media")
    number_columns = ("formatted_size",)

    @admin.display(description="type")
    def mime_type(self, link: RoomMedia) -> str:
        return link.media.mime_type

    @admin.display(description="size")
    def formatted_size(self, link: RoomMedia) -> str:
        return format_size(link.media.size)

    @admin.display(description="scan")
    def scan_status(self, link: RoomMedia) -> str:
        return format_scan(link.media)


@admin.register(RemovedFile)
class RemovedFileAdmin(RoomRowAdmin):
    scope = by_tenant()
    list_display = ("name", "room", "reason", "removed_at", "purge_at", "tenant")
    list_select_related = ("room", "tenant")
    search_fields = ("id", "room", "media")
    search_help_text = "Search by ID of a room or a file."
    id_fields = ("id", "room", "media")


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(RoomRowAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    list_display = ("rule", "tenant", "room", "updated_at", "last_run_at")
    list_select_related = ("tenant", "room")
    hidden_fields = ("scope",)
    search_fields = ("id", "tenant", "room")
    search_help_text = "Search by ID of a policy, a tenant or a room."
    id_fields = ("id", "tenant", "room")

    @admin.display(description="retention")
    def rule(self, policy: RetentionPolicy) -> str:
        return str(policy)


@admin.register(StreamCounter)
class StreamCounterAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    list_display = ("tenant", "last_position")
    list_select_related = ("tenant",)
    search_fields = ("tenant",)
    search_help_text = "Search by the ID of a tenant."
    id_fields = ("tenant",)
    ordering = ("tenant",)
    named_by = ("tenant",)

    def format_name(self, counter: StreamCounter) -> str:
        return f"{counter.tenant}: {counter.last_position:,}"


@admin.register(ImportIntent)
class ImportIntentAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    list_display = ("started_at", "tenant", "operator", "origin", "files")
    list_select_related = ("tenant",)

    def format_name(self, intent: ImportIntent) -> str:
        files = pluralize(len(intent.hashes), "file")
        return format_html("{}, started {}", files, format_time(intent.started_at))

    @admin.display(description="files")
    def files(self, intent: ImportIntent) -> int:
        return len(intent.hashes)


@admin.register(RoomImport)
class RoomImportAdmin(RoomRowAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    list_display = ("room", "source_room_id", "source_server_name", "operator", "created_at")
    list_select_related = ("room", "tenant")
    search_fields = ("source_room_id", "manifest_sha256__exact")
    search_help_text = "Search by ID of the exported room, or SHA-256 of a manifest."

    def format_name(self, imported: RoomImport) -> str:
        source = imported.source_server_name or "a server that the bundle does not name"
        return format_html("{} from {}", format_time(imported.created_at), source)


@admin.register(TenantImport)
class TenantImportAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.ROOMS
    list_display = ("tenant", "source_server_name", "operator", "started_at", "finished_at")
    hidden_fields = ("people",)
    unexported_fields = ("people",)
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug", "source_server_name")
    search_help_text = "Search by slug of the tenant, or name of the server it came from."

    def format_name(self, imported: TenantImport) -> str:
        source = imported.source_server_name
        return format_html("{} from {}", format_time(imported.started_at), source)


@admin.register(SearchDocument)
class SearchDocumentAdmin(ReadOnlyAdmin):
    """Found by id here; `scaiwave room search` finds messages by their words."""

    scope = by_tenant()
    list_display = ("event", "tenant", "edited_at", "remote")
    hidden_fields = ("body",)
    unexported_fields = ("body", "event__content", "event__original_content")
    list_select_related = ("event", "tenant")
    search_fields = ("event",)
    search_help_text = "Search by number of a document or ID of an event."
    id_fields = ("event",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if term.isdecimal() and len(term) < 19:  # so that the number fits the column
            return queryset.filter(pk=int(term)), False
        return super().get_search_results(request, queryset, term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        documents = super().get_queryset(request)
        return documents.exclude(event__room__in=DeletedRoom.objects.values("pk"))


@admin.register(SearchBackfill)
class SearchBackfillAdmin(RoomRowAdmin):
    scope = by_tenant()
    section = Section.JOBS
    list_display = ("started_at", "finished_at", "tenant", "room", "since", "rewrite", "operator")
    list_select_related = ("tenant", "room")
    hidden_fields = ("scope",)

    def format_name(self, run: SearchBackfill) -> str:
        if run.room_id is not None:
            what = "one room"
        else:
            what = "all tenants" if run.tenant_id is None else "one tenant"
        return format_html("{} {}", format_time(run.started_at), what)


@admin.register(SearchRange)
class SearchRangeAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    list_display = (
        "backfill",
        "tenant",
        "first",
        "last",
        "done_through",
        "events",
        "written",
        "removed",
    )
    list_select_related = ("backfill__tenant", "tenant")
