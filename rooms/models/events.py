"""Events: everything that happens in a room, in order.

The fields follow the ScaiWave docs, reference/api/messages-and-reactions.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Participant, Tenant


class Event(models.Model):
    """One event.

    There are millions, so every index has a reader: (tenant, stream_position), which also makes
    positions unique, and (room, stream_position), the order of an export. By sender there is one on
    PostgreSQL alone, whose foreign key looks for events of each person of an erased tenant
    (migration 0013).

    On PostgreSQL one foreign key checks room and tenant together, instead of one for each: the
    checks are most of what inserting an event costs (migration 0007).

    `event_uuid` is stored as the creator of the event sent it; it is not unique, and
    not used to address an event (assumption). `origin_ts` is in whole seconds since 1970.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="events", db_index=False)
    room = models.ForeignKey(Room, models.CASCADE, related_name="events", db_index=False)
    sender = models.ForeignKey(Participant, models.RESTRICT, related_name="+", db_index=False)
    event_type = models.CharField("type", max_length=255)
    content = models.JSONField()
    original_content = models.JSONField(
        null=True, blank=True, help_text="content before the first edit"
    )
    stream_position = models.BigIntegerField(help_text="position in the tenant's stream")
    origin_ts = models.BigIntegerField(help_text="time sent, in seconds since 1970")
    event_uuid = models.UUIDField(
        "event ID", null=True, blank=True, help_text="as its creator has sent it"
    )
    do_not_index = models.BooleanField("left out of the search", default=False)
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
