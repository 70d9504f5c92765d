"""State of imports: reserved stream positions, files being stored, imported bundles."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant


class StreamCounter(models.Model):
    """The last reserved position of a tenant's stream.

    Blocks are reserved atomically, so two imports never get the same positions. The block of a
    failed import remains a gap.
    """

    tenant = models.OneToOneField(
        Tenant, models.CASCADE, primary_key=True, related_name="stream_counter"
    )
    last_position = models.BigIntegerField(default=0)

    class Meta:
        db_table = "sw_stream_counters"
        constraints = [
            models.CheckConstraint(
                condition=Q(last_position__gte=0), name="sw_stream_counters_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return str(self.last_position)


class ImportIntent(models.Model):
    """Files that an import is about to store, or that a deletion is about to delete.

    Created before the first file and deleted when the import ends, successfully or not. A row left
    over belongs to an interrupted import or deletion and lists the files to clean up.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="import_intents")
    hashes = models.JSONField("files", default=list, help_text="SHA-256 of each file")
    operator = models.CharField(max_length=1000)
    origin = models.CharField(max_length=255, blank=True, help_text="host that ran the import")
    started_at = models.DateTimeField()
    is_deletion = models.BooleanField("deletes them", default=False, db_default=False)

    class Meta:
        db_table = "sw_import_intents"

    def __str__(self) -> str:
        count = len(self.hashes)
        files = "1 file" if count == 1 else f"{count} files"
        return f"{files}, started {self.started_at:%Y-%m-%d %H:%M:%S}"


class RoomImport(models.Model):
    """The bundle that a room was imported from, and its increments; deleted with the room."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="room_imports", db_index=False)
    room = models.OneToOneField(Room, models.CASCADE, related_name="imported_from")
    manifest_sha256 = models.CharField("SHA-256 of the manifest", max_length=64)
    source_room_id = models.CharField(
        "exported room", max_length=64, help_text="ID of the room on the server that exported it"
    )
    source_server_name = models.CharField("exporting server", max_length=255, blank=True)
    operator = models.CharField(max_length=1000)
    created_at = models.DateTimeField()
    links = models.JSONField(
        "increments", default=list, blank=True, help_text="SHA-256 of the manifest of each"
    )
    # As the last bundle had them; empty for a room that was imported before increments existed.
    tip_exported_at = models.DateTimeField("last export", null=True, blank=True)
    tip_events = models.BigIntegerField("events at the last export", null=True, blank=True)
    tip_room = models.JSONField("room at the last export", null=True, blank=True)
    # IDs without hyphens are of events that were emptied here, and then deleted.
    edited_here = models.JSONField(
        "events edited here", default=list, blank=True, help_text="IDs, as of the last increment"
    )
    is_signed = models.BooleanField(
        "signed",
        default=False,
        db_default=False,
        help_text="by a known key; increments must be too",
    )

    class Meta:
        db_table = "sw_room_imports"
        indexes = [
            models.Index(fields=["tenant", "manifest_sha256"], name="sw_room_imports_bundle")
        ]

    def __str__(self) -> str:
        return f"{self.source_room_id} of {self.source_server_name or 'an unknown server'}"


class TenantImport(models.Model):
    """A tenant that was, or is being, imported from another server; deleted with the tenant.

    Until `finished_at` the tenant is suspended. `people` has the participants here of people of the
    other server, if they are other rows than the IDs say, by their IDs there, and by @ and their
    local IDs there, or by their whole addresses since that server was renamed. By # and their IDs
    there, it has a hash of who they were there.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="imported_from")
    source_tenant_id = models.UUIDField("exported tenant")
    source_server_name = models.CharField("exporting server", max_length=255)
    is_new = models.BooleanField("created by the import")
    people = models.JSONField("mapped people", default=dict, blank=True)
    emptied_events = models.JSONField(
        "events emptied here", null=True, blank=True, help_text="IDs of events that were deleted"
    )
    index_sha256 = models.CharField("SHA-256 of the last index", max_length=64, blank=True)
    exported_at = models.DateTimeField("last export", null=True, blank=True)
    operator = models.CharField(max_length=1000)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_tenant_imports"

    def __str__(self) -> str:
        return f"{self.source_tenant_id} of {self.source_server_name}"
