from __future__ import annotations

from django.db import models

from scaiwave.ids import new_id


class StoredOverview(models.Model):
    """The start page of the admin site as last built, so that all web processes share it.

    `scope` is this server, or the scope of one role, such as `tenant_admin` and
    the ScaiKey ID of a tenant. It is built again when the page is opened and it is old.
    """

    SERVER = "server"
    MAX_SCOPE_CHARS = 250

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=MAX_SCOPE_CHARS, default=SERVER)
    built_at = models.DateTimeField()
    document = models.JSONField()

    class Meta:
        db_table = "sw_overview"
        verbose_name = "stored overview"
        constraints = [
            models.UniqueConstraint(fields=["scope"], name="sw_overview_scope"),
        ]

    def __str__(self) -> str:
        return f"overview of {self.built_at:%Y-%m-%d %H:%M:%S}"


class DailyFigures(models.Model):
    """The size of this server on one day in UTC, as last counted on that day. It feeds charts."""

    day = models.DateField(primary_key=True)
    recorded_at = models.DateTimeField()
    tenants = models.PositiveBigIntegerField(help_text="active tenants")
    members = models.PositiveBigIntegerField("people", help_text="active people")
    rooms = models.PositiveBigIntegerField(help_text="rooms that are not closed")
    storage_bytes = models.PositiveBigIntegerField("storage")

    class Meta:
        db_table = "sw_daily_figures"
        verbose_name = verbose_name_plural = "daily figures"

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"
