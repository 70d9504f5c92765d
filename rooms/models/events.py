"""Everything that happens in a room, in order.

The fields are the platform's (ScaiWave docs, reference/api/messages-and-reactions).
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Participant, Tenant


class Event(models.Model):
    """One event. There are millions, so an index is here only if something reads by it:

    * by key; by (tenant, stream_position), which also makes positions unique; by (room,
      stream_position), the order of an export.
    * Not by sender: nothing lists a person's events, and participants are never deleted.

    `event_uuid` comes from whoever made the event and is kept as it came, so it is neither unique
    nor an address (assumption). `origin_ts` is in whole seconds since 1970.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="events", db_index=False)
    room = models.ForeignKey(Room, models.CASCADE, related_name="events", db_index=False)
    sender = models.ForeignKey(Participant, models.RESTRICT, related_name="+", db_index=False)
    event_type = models.CharField(max_length=255)
    content = models.JSONField()
    original_content = models.JSONField(
        null=True, blank=True, help_text="what it was before the first edit"
    )
    stream_position = models.BigIntegerField(help_text="its place in the tenant's stream")
    origin_ts = models.BigIntegerField(help_text="when it was sent, in seconds since 1970")
    event_uuid = models.UUIDField(null=True, blank=True)
    do_not_index = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True, blank=True)
    redacted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_events"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "stream_position"], name="sw_events_stream_position"
            ),
            models.CheckConstraint(
                condition=Q(stream_position__gt=0), name="sw_events_position_positive"
            ),
        ]
        indexes = [models.Index(fields=["room", "stream_position"], name="sw_events_room")]

    def __str__(self) -> str:
        return f"{self.event_type} at {self.stream_position}"
