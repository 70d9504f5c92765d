"""The search index, and how far filling it has come.

What is here is derived from the events and can be made again from them, so it never stands in
their way: its foreign keys are none to the database, whoever deletes an event, room or tenant.
The full-text part of the table of documents is no field: see `rooms.search.schema`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from rooms.models.events import Event
from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant


def _kept_by_us(to: type[models.Model], **options: Any) -> Any:
    return models.ForeignKey(to, models.CASCADE, db_constraint=False, related_name="+", **options)


class RemoteState(models.IntegerChoices):
    """What the search server beside the database has of a document.

    `VECTOR` is also what there will be no vector of, since the model refuses its text.
    """

    NOTHING = 0
    TEXT = 1
    VECTOR = 2


class SearchDocument(models.Model):
    """What can be found of one event: its text as it was at `edited_at`.

    A document whose event has another `edited_at` by now is stale.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = _kept_by_us(Tenant, db_index=False)
    # It outlives its event, since it tells what a search server still has of that.
    event = models.OneToOneField(Event, models.DO_NOTHING, db_constraint=False, related_name="+")
    stream_position = models.BigIntegerField(help_text="that of its event")
    body = models.TextField()
    edited_at = models.DateTimeField(null=True)
    remote = models.SmallIntegerField(choices=RemoteState, default=RemoteState.NOTHING)

    class Meta:
        db_table = "sw_search_documents"
        indexes = [
            # Not unique: an event that is gone may have left its document behind.
            models.Index(fields=["tenant", "stream_position"], name="sw_search_documents_stream"),
        ]

    def __str__(self) -> str:
        return self.body[:100]


class SearchBackfill(models.Model):
    """One run over the events, by any number of processes, and over several days if need be.

    `scope` says in one text what it is about, so that there is one unfinished run of each.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=200)
    tenant = _kept_by_us(Tenant, null=True)
    room = _kept_by_us(Room, null=True, db_index=False)
    since = models.DateTimeField(null=True)
    rewrite = models.BooleanField(
        default=False, help_text="also what is in the index and up to date"
    )
    operator = models.CharField(max_length=1000)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.JSONField(null=True, help_text="what it came to, by tenant")

    class Meta:
        db_table = "sw_search_backfills"
        constraints = [
            models.UniqueConstraint(
                fields=["scope"],
                condition=Q(finished_at=None),
                name="sw_search_backfills_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} of {self.started_at:%Y-%m-%d %H:%M:%S}"


class SearchRange(models.Model):
    """A part of a run: the positions `first` to `last` of a tenant, read up to `done_through`.

    Gone when the run is finished.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    backfill = models.ForeignKey(SearchBackfill, models.CASCADE, related_name="ranges")
    tenant = _kept_by_us(Tenant, db_index=False)
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    done_through = models.BigIntegerField()
    events = models.BigIntegerField(help_text="how many there were when the run began")
    written = models.BigIntegerField(default=0)
    removed = models.BigIntegerField(default=0)

    class Meta:
        db_table = "sw_search_ranges"
        constraints = [
            models.CheckConstraint(
                condition=Q(done_through__gte=F("first") - 1, done_through__lte=F("last")),
                name="sw_search_ranges_done_through",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"
