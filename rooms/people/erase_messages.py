"""Erase the content of a person's messages, for `purge-participant --with-messages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from rooms.imports.intents import delete_announced
from rooms.lifecycle.deletion import open_deletion
from rooms.lookup.authors import Author, list_fqids
from rooms.lookup.holds import contains_held
from rooms.models import Event, Room
from rooms.retention.event_deletion import EventDeletion, HoldsChanged, temporary_tables
from rooms.retention.room_deletion import RoomDeletion
from rooms.search.documents import wait_for_writers
from rooms.stream_positions import lock_stream
from scaiwave.core.operators import Operator
from scaiwave.storage.media import collect_refusals
from tenants.audit.record import record_audit
from tenants.errors import ParticipantOnHold
from tenants.holds.queries import require_person_not_held
from tenants.models import Participant


def erase_messages(
    operator: Operator, person: Participant, reason: str, now: datetime, *, dry_run: bool
) -> Mapping[str, int]:
    """Redact the person's events, delete their reactions, and the files that only they sent.

    Each batch has its own transaction and audit entry, and an interrupted call is continued by the
    next one. Returns the numbers, and in a dry run changes nothing. The caller has checked the
    permission. Raises OnHold, ServerRestored, MediaVersioned, and the errors of the media store and
    the search server; a refusal to delete a file once everything else is erased.
    """
    counts = Counter[str]()
    if dry_run:
        names_left: dict[UUID, int] = {}
        with temporary_tables():
            for due in _iter_deletions(person):
                counts.update(due.count(names_left))
        return _summarise(counts)

    def record(room: Room, counts: dict[str, int]) -> None:
        record_audit(
            operator=operator,
            action="purge-participant",
            subject=person,
            tenant=person.tenant,
            now=now,
            details={"reason": reason, "room": str(room.pk), **counts},
        )

    with (
        open_deletion(operator, now) as deletion,
        temporary_tables(),
        collect_refusals() as attempt,
    ):
        is_done = False
        while not is_done:
            require_person_not_held(person, f"erase the messages of {person.pk}")
            with transaction.atomic():
                # Imports that end later leave the messages out; earlier ones are searched here.
                lock_stream(person.tenant_id)
                Participant.objects.filter(pk=person.pk).update(messages_erased_at=now)
            try:
                for due in _iter_deletions(person):
                    with attempt():
                        for part in due.run(deletion, record):
                            counts.update(part)
                is_done = True
            except HoldsChanged:
                continue
        # A backfill may have been writing documents of redacted events, or an interrupted call may
        # have left them, or files.
        wait_for_writers()
        deletion.index.finish_deletion(person.tenant_id)
        with attempt():
            delete_announced(person.tenant_id)
        deletion.forget_words()
    return _summarise(counts)


def _iter_deletions(person: Participant) -> Iterator[RoomDeletion]:
    """Yield one for each room of the tenant that the person has written in.

    Raises OnHold, for example for a hold on the importer of a room, who is the sender there.
    """
    author = Author(person.pk, list_fqids([person.pk]))
    events = Event.objects.filter(author.events_q, tenant=person.tenant_id).order_by()
    if contains_held(events):
        raise ParticipantOnHold(
            f"Can't erase the messages of {person.pk}: a hold on someone else covers some of them.",
            fix="Run `scaiwave admin hold list` to see all holds. Lift that one first.",
        )
    keys = sorted(events.values_list("room", flat=True).distinct())
    for key in keys:
        room = Room.all_objects.filter(pk=key).first()
        if room is not None:
            due = EventDeletion(room, author.events_q, content_only=True, with_reactions=False)
            yield RoomDeletion(room, due, due)


def _summarise(counts: Counter[str]) -> Mapping[str, int]:
    names = {"redacted_events": "messages", "deleted_events": "reactions", "files": "files"}
    return {title: counts[name] for name, title in names.items()}
