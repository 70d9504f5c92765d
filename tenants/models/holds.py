from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id
from tenants.models.directory import Participant, Tenant


class Hold(models.Model):
    """Keeps what it covers from being deleted or erased, until it is lifted.

    It is of a tenant, of one participant or of one room; `tenants.holds.queries` defines what each
    covers. The room is not a foreign key: rooms are of an upper app, and a lifted hold outlives its
    room. Lifted holds stay as a record.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="holds")
    participant = models.ForeignKey(
        Participant, models.PROTECT, null=True, blank=True, related_name="holds"
    )
    room_id = models.UUIDField("room ID", null=True, blank=True)
    reason = models.CharField(max_length=1000)
    placed_by = models.CharField(max_length=1000)
    placed_at = models.DateTimeField()
    lift_reason = models.CharField("reason for lifting", max_length=1000, blank=True)
    lifted_by = models.CharField(max_length=1000, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_holds"
        constraints = [
            models.CheckConstraint(
                condition=Q(participant=None) | Q(room_id=None), name="sw_holds_one_subject"
            ),
        ]

    def __str__(self) -> str:
        subject = f"room {self.room_id}" if self.room_id else self.participant or self.tenant
        return f"hold of {self.placed_at:%Y-%m-%d} on {subject}"
