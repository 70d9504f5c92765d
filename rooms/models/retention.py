"""How long messages and files are kept."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rooms.models.rooms import Room
from scaiwave.console.text import pluralize
from scaiwave.ids import new_id
from tenants.models import Tenant


class RetentionPolicy(models.Model):
    """A policy of this server, of a tenant or of a room; the nearest one counts as a whole.

    `scope` names what it is of, so that each has one at most. Without numbers of days it keeps
    everything. `last_run_at` is when a run last got to the end of all its rooms.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=100)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, blank=True, related_name="retention_policies"
    )
    room = models.ForeignKey(
        Room, models.CASCADE, null=True, blank=True, related_name="retention_policies"
    )
    days = models.PositiveIntegerField(
        "days of messages", null=True, blank=True, help_text="older messages are deleted"
    )
    media_days = models.PositiveIntegerField(
        "days of files", null=True, blank=True, help_text="as messages, if empty"
    )
    content_only = models.BooleanField(
        default=False, help_text="messages stay, without their content"
    )
    updated_at = models.DateTimeField()
    last_run_at = models.DateTimeField("last run", null=True, blank=True)

    class Meta:
        db_table = "sw_retention_policies"
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(fields=["scope"], name="sw_retention_policies_scope"),
            models.CheckConstraint(
                condition=Q(room=None) | Q(tenant__isnull=False),
                name="sw_retention_policies_tenant_of_room",
            ),
            models.CheckConstraint(
                condition=(Q(days=None) | Q(days__gte=1))
                & (Q(media_days=None) | Q(media_days__gte=1)),
                name="sw_retention_policies_days",
            ),
        ]

    def __str__(self) -> str:
        if self.days is None and self.media_days is None:
            return "keep everything"
        verb = "redact" if self.content_only else "delete"
        days = self.days
        parts = [] if days is None else [f"{verb} messages after {pluralize(days, 'day')}"]
        if (media_days := self.get_media_days()) is not None:
            parts.append(f"delete files after {pluralize(media_days, 'day')}")
        return ", ".join(parts)

    def get_media_days(self) -> int | None:
        return self.days if self.media_days is None else self.media_days

    @property
    def kind(self) -> str:
        return "room" if self.room_id else "tenant" if self.tenant_id else "server"
