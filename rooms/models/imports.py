"""What carrying rooms in needs to remember: positions handed out, files on their way, imports."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant


class StreamCounter(models.Model):
    """The last position of a tenant's stream that was handed out.

    A block is taken in one step, so that two importers never get the same one; a block whose
    import failed stays a gap.
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
    """Files that an import is about to put into the media store.

    Written before the first file and gone with the import, however it ends; one that is left
    belongs to an import that was killed, and tells what to clean up.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="import_intents")
    hashes = models.JSONField(default=list, help_text="SHA-256 of each file, in hexadecimal")
    operator = models.CharField(max_length=1000)
    origin = models.CharField(max_length=255, blank=True, help_text="the machine it ran on")
    started_at = models.DateTimeField()

    class Meta:
        db_table = "sw_import_intents"

    def __str__(self) -> str:
        return f"{len(self.hashes)} files of {self.started_at:%Y-%m-%d %H:%M:%S}"


class RoomImport(models.Model):
    """Which bundle a room was made from; gone with the room."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="room_imports", db_index=False)
    room = models.OneToOneField(Room, models.CASCADE, related_name="imported_from")
    manifest_sha256 = models.CharField(max_length=64, help_text="in lower-case hexadecimal")
    source_room_id = models.CharField(max_length=64, help_text="the room's id where it came from")
    source_server_name = models.CharField(max_length=255, blank=True)
    operator = models.CharField(max_length=1000)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_room_imports"
        indexes = [
            models.Index(fields=["tenant", "manifest_sha256"], name="sw_room_imports_bundle")
        ]

    def __str__(self) -> str:
        return f"{self.source_room_id} of {self.source_server_name or 'an unknown server'}"
