"""The search index, and the progress of its backfills.

All rows are derived from the events and can be recreated from them, so they must not keep anyone
from deleting an event, room or tenant: their foreign keys are not constraints in the database. The
full-text part of the table of documents is not a field: see `rooms.search.schema`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from rooms.models.events import Event
from rooms.models.rooms import Room
from scaiwave.ids import new_id
from tenants.models import Tenant


def _soft_foreign_key(to: type[models.Model], **options: Any) -> Any:
    """Return a foreign key that Django uses and the database does not enforce."""
    return models.ForeignKey(to, models.CASCADE, db_constraint=False, related_name="+", **options)


class RemoteState(models.IntegerChoices):
    """What the search server, if one is configured, has of a document.

    `VECTOR` also marks a document that will get no vector because the model refuses its text.
    """

    NOTHING = 0, "nothing"
    TEXT = 1, "its text"
    VECTOR = 2, "its text and vector"


class SearchDocument(models.Model):
    """The searchable text of one event as of `edited_at`.

    A document is stale if its event now has another `edited_at`.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = _soft_foreign_key(Tenant, db_index=False)
    # It outlives its event, since it records that a search server still has its text.
    event = models.OneToOneField(Event, models.DO_NOTHING, db_constraint=False, related_name="+")
    stream_position = models.BigIntegerField(help_text="stream position of the event")
    body = models.TextField()
    edited_at = models.DateTimeField(null=True)
    remote = models.SmallIntegerField(
        "in the search server", choices=RemoteState, default=RemoteState.NOTHING
    )

    class Meta:
        db_table = "sw_search_documents"
        indexes = [
            # Not unique: a deleted event may have left its document behind.
            models.Index(fields=["tenant", "stream_position"], name="sw_search_documents_stream"),
        ]

    def __str__(self) -> str:
        """Without the text, which only those who may read messages see."""
        return f"document {self.pk}"


class SearchBackfill(models.Model):
    """One run over the events, by any number of processes and with any interruptions.

    `scope` identifies its tenant, room and time, so that each has one unfinished run at most.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scope = models.CharField(max_length=200)
    tenant = _soft_foreign_key(Tenant, null=True)
    room = _soft_foreign_key(Room, null=True, db_index=False)
    since = models.DateTimeField(null=True)
    rewrite = models.BooleanField(
        "rewrites all", default=False, help_text="also write documents that are up to date"
    )
    operator = models.CharField(max_length=1000)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.JSONField(null=True, help_text="results by tenant")

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
        chosen = {"tenant": self.tenant, "room": self.room_id, "since": self.since}
        scope = ", ".join(f"{name} {value}" for name, value in chosen.items() if value)
        return f"{scope or 'all messages'}, started {self.started_at:%Y-%m-%d %H:%M:%S} UTC"


class SearchRange(models.Model):
    """A part of a run: positions `first` to `last` of a tenant, processed up to `done_through`.

    Deleted when the run is finished.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    backfill = models.ForeignKey(SearchBackfill, models.CASCADE, related_name="ranges")
    tenant = _soft_foreign_key(Tenant, db_index=False)
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    done_through = models.BigIntegerField()
    events = models.BigIntegerField(help_text="number of events when the run started")
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
