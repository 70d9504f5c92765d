"""Attachments: the bytes once per tenant, and their file names in each room."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant

# A hash without its leading hexadecimal digits: empty if it is valid. SQLite has no regular
# expressions of its own.
_NOT_HEXADECIMAL = Func(
    F("sha256"), Value("0123456789abcdef"), function="LTRIM", output_field=models.CharField()
)


class ScanStatus(models.TextChoices):
    PENDING = "pending"
    CLEAN = "clean"
    INFECTED = "infected"


class Media(models.Model):
    """A file identified by its hash (ScaiWave docs, reference/api/media-and-files).

    The bytes of an infected file are deleted and its row is kept, so a row does not prove that
    there are bytes.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="media", db_index=False)
    sha256 = models.CharField("SHA-256", max_length=64)
    size = models.PositiveBigIntegerField()
    mime_type = models.CharField("type", max_length=255)
    scan_status = models.CharField(
        "scan", max_length=16, choices=ScanStatus, default=ScanStatus.PENDING
    )
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_media"
        verbose_name_plural = "media"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sha256"], name="sw_media_sha256"),
            # The hash becomes a file name, so it must not be able to contain a path.
            models.CheckConstraint(
                condition=Q(Exact(Length("sha256"), 64)) & Q(Exact(_NOT_HEXADECIMAL, Value(""))),
                name="sw_media_sha256_form",
            ),
            models.CheckConstraint(
                condition=Q(scan_status__in=ScanStatus.values), name="sw_media_scan_status"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256

    @property
    def storage_name(self) -> str:
        return get_storage_name(self.tenant_id, self.sha256)


def get_storage_name(tenant_id: UUID, sha256: str) -> str:
    """Return the name of a file in Django's storage."""
    return f"tenant/{tenant_id}/{sha256}"


class RoomMedia(models.Model):
    """A file attached to a room under this name; one file may have several names."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="room_media")
    room = models.ForeignKey(Room, models.CASCADE, related_name="media", db_index=False)
    # Files can't be deleted before the rooms they are attached to.
    media = models.ForeignKey(Media, models.RESTRICT, related_name="in_rooms")
    name = models.CharField(max_length=255)
    source_media_id = models.UUIDField(
        "ID in the bundle", null=True, blank=True, help_text="on the server that exported the room"
    )
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_room_media"
        verbose_name_plural = "room media"
        constraints = [
            models.UniqueConstraint(fields=["room", "media", "name"], name="sw_room_media_once"),
        ]

    def __str__(self) -> str:
        return self.name


class RemovedFile(models.Model):
    """A file that an operator removed from a room: the name that it had there, and the reason.

    Its bytes stay until `purge_at` unless another room has the file, and `media` is empty
    afterwards. Retention and erasures empty `name` once they have deleted the messages with it.
    Increments don't bring back a file with the same hash.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="removed_files")
    room = models.ForeignKey(Room, models.CASCADE, related_name="removed_files", db_index=False)
    media = models.ForeignKey(Media, models.RESTRICT, null=True, blank=True, related_name="+")
    sha256 = models.CharField("SHA-256", max_length=64)
    name = models.CharField(max_length=255)
    source_media_id = models.UUIDField("ID in the bundle", null=True, blank=True)
    reason = models.CharField(max_length=1000)
    removed_at = models.DateTimeField("removed")
    purge_at = models.DateTimeField("deleted for good")

    class Meta:
        db_table = "sw_removed_files"
        constraints = [
            models.UniqueConstraint(
                fields=["room", "sha256", "name"], name="sw_removed_files_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["purge_at"], condition=Q(media__isnull=False), name="sw_removed_files_due"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.sha256
