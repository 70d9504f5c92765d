"""Attachments: the bytes once per tenant, and which rooms show them under which name."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant

# What is left of a hash when its hexadecimal digits are taken away; nothing, of a good one. A
# regular expression would say it too, but SQLite has none of its own.
_NOT_HEXADECIMAL = Func(
    F("sha256"), Value("0123456789abcdef"), function="LTRIM", output_field=models.CharField()
)


class ScanStatus(models.TextChoices):
    PENDING = "pending"
    CLEAN = "clean"
    INFECTED = "infected"


class Media(models.Model):
    """Bytes known by their hash. Infected ones are deleted and their row stays, so that a row
    does not prove that there are bytes (ScaiWave docs, reference/api/media-and-files)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="media", db_index=False)
    sha256 = models.CharField(max_length=64, help_text="in lower-case hexadecimal")
    size = models.PositiveBigIntegerField(help_text="in bytes")
    mime_type = models.CharField(max_length=255)
    scan_status = models.CharField(max_length=16, choices=ScanStatus, default=ScanStatus.PENDING)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_media"
        verbose_name_plural = "media"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sha256"], name="sw_media_sha256"),
            # The hash is a file's name, so a path must not get in here.
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
        """Its name in Django's storage."""
        return f"tenant/{self.tenant_id}/{self.sha256}"


class RoomMedia(models.Model):
    """A room shows these bytes under this file name; the same bytes may have several."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="room_media")
    room = models.ForeignKey(Room, models.CASCADE, related_name="media", db_index=False)
    # Bytes that a room shows can't be deleted before the room.
    media = models.ForeignKey(Media, models.RESTRICT, related_name="in_rooms")
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_room_media"
        verbose_name_plural = "room media"
        constraints = [
            models.UniqueConstraint(fields=["room", "media", "name"], name="sw_room_media_once"),
        ]

    def __str__(self) -> str:
        return self.name
