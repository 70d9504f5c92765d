"""Delete events of a room, or their content, in batches of short transactions.

Events refer to each other, and a bundle with a reference to nothing can't be imported. So reactions
and redactions go with the event that they are about, and an event that others still refer to stays
as a tombstone, without content. Both are found before the first deletion. Nothing is remembered
between two runs: a later one finds the remaining rows of an interrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import (
    BooleanField,
    Case,
    Exists,
    F,
    Field,
    JSONField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    UUIDField,
    Value,
    When,
)
from django.db.models.expressions import RawSQL

from rooms.bundle.format import IMPORTED_SENDER, REFERENCE_KEYS
from rooms.lifecycle.deletion import Deletion, Positions, lock_room
from rooms.lookup.holds import held_events_q
from rooms.models import Event, Room
from rooms.search.documents import block_writers
from scaiwave.core.sql import execute, fetch_number
from tenants.holds.queries import holds_in_force

MESSAGE, REACTION, REDACTION = "swp.room.message", "swp.room.reaction", "swp.room.redaction"
UNCHANGED_TYPES = ("swp.room.member", "swp.room.read_marker")
"""They contain IDs alone, so nothing of them is redacted."""
_GONE, _KEPT = "sw_retention_gone", "sw_retention_kept"
"""Temporary tables: events that go only because of another one, with the number of events between
them, and events that stay empty because another one refers to them, with their positions."""

# The content of an event without its texts: of a message an empty text, as the platform leaves it,
# and of an imported event also its original sender.
_BARE = {
    "postgresql": f"""(
        CASE sw_events.event_type WHEN '{MESSAGE}'
        THEN '{{"msgtype": "swp.text", "body": ""}}'::jsonb ELSE '{{}}'::jsonb END
        || jsonb_strip_nulls(jsonb_build_object(
            '{IMPORTED_SENDER}', sw_events.content -> '{IMPORTED_SENDER}'))
    )""",
    "sqlite": f"""json_patch(
        CASE sw_events.event_type WHEN '{MESSAGE}'
        THEN '{{"msgtype": "swp.text", "body": ""}}' ELSE '{{}}' END,
        json_object('{IMPORTED_SENDER}', json_extract(sw_events.content, '$.{IMPORTED_SENDER}'))
    )""",
}
_WITHOUT_REASON = {
    "postgresql": "sw_events.content - 'reason'",
    "sqlite": "json_remove(sw_events.content, '$.reason')",
}
# An ID as the platform writes it; other spellings lead to no event.
_REFERENCE = {
    "postgresql": "CASE WHEN {0} ->> '{1}' ~* '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{4}}[0-9a-f]{{8}}$' "
    "THEN ({0} ->> '{1}')::uuid END",
    "sqlite": "lower(replace(json_extract({0}, '$.{1}'), '-', ''))",
}


class HoldsChanged(Exception):
    """A hold was placed or lifted, so what goes must be found again."""


@dataclass(frozen=True)
class DeletedEvents:
    """Numbers of events: deleted with their reactions, redacted, and emptied since others refer to
    them."""

    deleted_events: int = 0
    redacted_events: int = 0
    emptied_events: int = 0


class HoldGuard:
    """Finds out whether holds have changed since it was made."""

    def __init__(self) -> None:
        self._state = self._read()
        self.is_needed = bool(self._state)

    def check(self) -> None:
        """Call it where no hold can be placed. Raises `HoldsChanged`."""
        if self._read() != self._state:
            raise HoldsChanged

    def exclude_held(self, due: Q) -> Q:
        return due & ~held_events_q() if self.is_needed else due

    def _read(self) -> set[UUID]:
        return set(holds_in_force().values_list("pk", flat=True))


class EventDeletion:
    """What goes of a room: the events that `due` matches and no hold covers.

    With `content_only` they stay without content, and only reactions are deleted. `with_reactions`
    also deletes the reactions of others to them. Use it in `temporary_tables`.
    """

    def __init__(
        self, room: Room, due: Q, *, content_only: bool = False, with_reactions: bool = True
    ) -> None:
        self.room = room
        self.guard = HoldGuard()
        self.going = self.guard.exclude_held(due)
        self._content_only, self._with_reactions = content_only, with_reactions
        # The last event whose references were looked for, and how many steps the longest row of
        # reactions to reactions has.
        self._newest = self._levels = 0
        self._has_kept = False
        # Where their targets stay, redactions stay too, and only lose their reason.
        self._redactions = REDACTION if content_only else ""
        vendor = connection.vendor
        self._bare = (
            f"CASE sw_events.event_type WHEN '{self._redactions}' THEN {_WITHOUT_REASON[vendor]} "
            f"ELSE {_BARE[vendor]} END"
        )

    def count(self) -> DeletedEvents:
        """Return what `run` would do now."""
        self._find_references()
        batches = (self._find_pending(), self._events().filter(_is_in(_GONE)))
        deleted = sum(self._find_deleted(batch).count() for batch in batches)
        if self._content_only:
            redacted = sum(self._find_redacted(batch).count() for batch in batches)
        else:
            redacted = self._find_tombstones().count()
        return self._build_result(deleted, redacted)

    def run(
        self, deletion: Deletion, record: Callable[[DeletedEvents], None]
    ) -> Iterator[DeletedEvents]:
        """Do it in batches; `record` is called in the transaction of each.

        Raises `HoldsChanged`, and the errors of a search server.
        """
        if not self._find_pending().exists() and not self._content_only:
            return
        self._find_references()
        # A reaction to a reaction goes before that one, and both before what they are about. They
        # are found by their IDs alone, which are few.
        gone = [
            Event.objects.filter(pk__in=_sql(f"SELECT id FROM {_GONE} WHERE level = {level}"))
            for level in reversed(range(self._levels))
        ]
        for events in (*gone, self._find_pending()):
            for positions, batch in deletion.iter_batches(events):
                with deletion.transaction():
                    finish, result = self._remove(deletion, positions, batch)
                    if any(asdict(result).values()):
                        record(result)
                finish()
                yield result

    def _remove(
        self, deletion: Deletion, positions: Positions, batch: QuerySet[Event]
    ) -> tuple[Callable[[], None], DeletedEvents]:
        # First, so that a backfill does not wait for a row while this waits for the backfill.
        block_writers()
        self.guard.check()
        lock_room(self.room)
        self._find_new_references()
        _, finish = deletion.index.remove_documents(self.room.tenant_id, batch)
        redacted = (
            self._find_redacted(batch) if self._content_only else self._find_tombstones(positions)
        )
        number = redacted.update(
            content=_sql(self._bare, JSONField()),
            original_content=None,
            # A redaction that was redacted would be about nothing. All others are emptied now, also
            # ones that another server has redacted without removing the text.
            redacted_at=Case(
                When(event_type=self._redactions, then=F("redacted_at")), default=deletion.now
            ),
        )
        return finish, self._build_result(self._find_deleted(batch, positions).delete()[0], number)

    def _find_deleted(
        self, events: QuerySet[Event], positions: Positions | None = None
    ) -> QuerySet[Event]:
        deleted = events.filter(event_type=REACTION) if self._content_only else events
        if not self._has_kept:
            return deleted
        # PostgreSQL puts the few of a batch into a hash table, but not any number of them.
        kept = Q(pk__in=_kept_in(positions)) if positions else Q(_is_in(_KEPT))
        return deleted.exclude(kept)

    def _find_redacted(self, events: QuerySet[Event]) -> QuerySet[Event]:
        """Return the events of those to redact that have a content."""
        redacted = events.exclude(event_type__in=UNCHANGED_TYPES)
        redacted = redacted.filter(~Q(event_type=REACTION) | Q(_is_in(_KEPT)))
        return redacted.exclude(self._is_bare())

    def _find_tombstones(self, positions: Positions | None = None) -> QuerySet[Event]:
        """Return the events to empty that have a content, by their IDs alone: they are few."""
        return Event.objects.filter(pk__in=_kept_in(positions)).exclude(self._is_bare())

    def _build_result(self, deleted: int, redacted: int) -> DeletedEvents:
        if self._content_only:
            return DeletedEvents(deleted, redacted)
        return DeletedEvents(deleted, emptied_events=redacted)

    def _events(self) -> QuerySet[Event]:
        return Event.objects.filter(room=self.room).order_by()

    def _is_bare(self) -> RawSQL:
        sql = f"(sw_events.original_content IS NULL AND sw_events.content = {self._bare})"
        return _sql(sql, BooleanField())

    def _find_pending(self) -> QuerySet[Event]:
        """Return the events that are to go, without those whose content is gone already."""
        going = self._events().filter(self.going)
        if not self._content_only:
            return going
        return going.exclude(Q(event_type__in=UNCHANGED_TYPES) | Q(self._is_bare()))

    # References.

    def _find_references(self) -> None:
        execute(f"DELETE FROM {_GONE}")
        execute(f"DELETE FROM {_KEPT}")
        self._levels = 0
        self._newest = self._events().aggregate(last=Max("stream_position"))["last"] or 0
        if self._with_reactions:
            self._find_gone()
        self._find_kept(self._events())
        if connection.vendor == "postgresql":
            # It does not analyse temporary tables, and would read all events for a few IDs.
            execute(f"ANALYZE {_GONE}")
            execute(f"ANALYZE {_KEPT}")

    def _find_gone(self) -> None:
        """Find reactions and redactions of events that go, and reactions to those reactions."""
        types = [REACTION] if self._content_only else [REACTION, REDACTION]
        others = self.guard.exclude_held(~self.going & Q(event_type__in=types))
        about = self._events().filter(others).annotate(target=_reference("content"))
        going = Q(Exists(self._events().filter(self.going, pk=OuterRef("target"))))
        while _insert(_GONE, about.filter(going).values_list("pk", Value(self._levels))):
            going = Q(target__in=_sql(f"SELECT id FROM {_GONE} WHERE level = {self._levels}"))
            self._levels += 1

    def _find_kept(self, events: QuerySet[Event]) -> None:
        """Find the events that are deleted, and that some of these events still refer to."""
        has_gone = fetch_number(f"SELECT count(*) FROM {_GONE}")
        stays, deleted = ~self.going, self.going
        if self._content_only:
            stays |= Q(event_type=REDACTION)
            deleted &= Q(event_type=REACTION)
        staying = events.filter(stays)
        if has_gone:
            staying = staying.exclude(_is_in(_GONE))
        going = Exists(self._events().filter(deleted, pk=OuterRef("target")))
        for column in ("content", "original_content"):
            rows = staying.filter(event_type__in=REFERENCE_KEYS, **{f"{column}__isnull": False})
            found = rows.annotate(target=_reference(column)).values_list("target")
            _insert(_KEPT, found.filter(going))
            if has_gone:
                _insert(_KEPT, found.filter(target__in=_sql(f"SELECT id FROM {_GONE}")))
        self._has_kept = bool(fetch_number(f"SELECT count(*) FROM {_KEPT}"))
        execute(
            f"UPDATE {_KEPT} SET position = (SELECT stream_position FROM sw_events "
            f"WHERE sw_events.id = {_KEPT}.id) WHERE position IS NULL"
        )

    def _find_new_references(self) -> None:
        """Keep what events refer to that were added in the meantime."""
        new = self._events().filter(stream_position__gt=self._newest)
        if (newest := new.aggregate(last=Max("stream_position"))["last"]) is not None:
            self._find_kept(new)
            self._newest = newest


@contextmanager
def temporary_tables() -> Iterator[None]:
    """Create the tables of references of a room, which end with the connection."""
    uuid = "uuid" if connection.vendor == "postgresql" else "text"
    for name, more in ((_GONE, "level integer"), (_KEPT, "position bigint")):
        execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (id {uuid} PRIMARY KEY, {more})")
    yield


def _insert(table: str, rows: QuerySet[Any, Any]) -> int:
    sql, params = rows.query.sql_with_params()
    columns = "(id, level)" if table == _GONE else "(id)"
    return execute(f"INSERT INTO {table} {columns} {sql} ON CONFLICT DO NOTHING", params)


def _kept_in(positions: Positions | None) -> RawSQL:
    sql = f"SELECT id FROM {_KEPT}"
    if positions:
        sql += " WHERE position > {} AND position <= {}".format(*positions)
    return _sql(sql)


def _is_in(table: str) -> RawSQL:
    sql = f"EXISTS (SELECT 1 FROM {table} found WHERE found.id = sw_events.id)"
    return _sql(sql, BooleanField())


def _reference(column: str) -> RawSQL:
    """Return the ID of the event that an event refers to."""
    form = _REFERENCE[connection.vendor]
    cases = " ".join(
        f"WHEN '{event_type}' THEN {form.format(f'sw_events.{column}', key)}"
        for event_type, key in REFERENCE_KEYS.items()
    )
    return _sql(f"(CASE sw_events.event_type {cases} END)", UUIDField())


def _sql(text: str, field: Field[Any, Any] | None = None) -> RawSQL:
    """Return an expression of constants; no value of a row or of an operator is part of it."""
    return RawSQL(text, [], output_field=field)  # noqa: S611
