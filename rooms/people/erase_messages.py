"""Erase the content of a person's messages, for `purge-participant --with-messages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, cast

from django.core.files.storage import default_storage

from rooms.lookup.authors import Author
from rooms.models import Event, Room
from rooms.retention.files import RemovedFiles, count_files, find_files, remove_files
from rooms.retention.removal import HoldsChanged, Removal, RemovedEvents, temporary_tables
from rooms.search.backend import open_index
from rooms.search.base import SearchIndex
from rooms.search.documents import wait_for_writers
from scaiwave.core.operators import Operator
from scaiwave.storage.media import MediaStore
from tenants.audit.record import record_audit
from tenants.holds.queries import require_person_not_held
from tenants.lookup.restoration import require_activated
from tenants.lookup.serializers import get_server_name
from tenants.models import Participant


def count_messages(person: Participant) -> Mapping[str, int]:
    """Return how many events `erase_messages` would redact and delete, and how many files."""
    counts, names_left = Counter[str](), dict[Any, int]()
    with temporary_tables():
        for removal in _iter_removals(person):
            counts.update(asdict(removal.count()))
            files = find_files(removal.room, removal.going, None)
            counts.update(asdict(count_files(files, names_left)))
    return _summarise(counts)


def erase_messages(
    operator: Operator, person: Participant, reason: str, now: datetime
) -> Mapping[str, int]:
    """Redact the person's events, delete their reactions, and the files that only they sent.

    Each batch has its own transaction and audit entry, and an interrupted call is continued by the
    next one. The caller has checked the permission. Raises OnHold, ServerRestored, MediaVersioned,
    and the errors of the media store and the search server.
    """
    require_activated()
    cast(MediaStore, default_storage).require_erasable()
    counts = Counter[str]()
    with open_index() as index, temporary_tables():
        is_done = False
        while not is_done:
            require_person_not_held(person, f"erase the messages of {person.pk}")
            try:
                for part in _iter_parts(operator, person, reason, now, index):
                    counts.update(asdict(part))
                is_done = True
            except HoldsChanged:
                continue
        # A backfill may have been writing documents of redacted events.
        wait_for_writers()
        index.remove_orphans(person.tenant_id)
    return _summarise(counts)


def _iter_parts(
    operator: Operator, person: Participant, reason: str, now: datetime, index: SearchIndex
) -> Iterator[RemovedEvents | RemovedFiles]:
    """The files go first: the events say which."""

    def record(room: Room, part: RemovedEvents | RemovedFiles) -> None:
        counts = {name: number for name, number in asdict(part).items() if number}
        record_audit(
            operator=operator,
            action="purge-participant",
            subject=person,
            tenant=person.tenant,
            now=now,
            details={"reason": reason, "room": str(room.pk), **counts},
        )

    for removal in _iter_removals(person):
        record_of_room = partial(record, removal.room)
        keys = find_files(removal.room, removal.going, None)
        yield from remove_files(
            removal.room,
            keys,
            guard=removal.guard,
            operator=operator,
            now=now,
            record=record_of_room,
        )
        yield from removal.run(index, now, record_of_room)


def _iter_removals(person: Participant) -> Iterator[Removal]:
    """Yield one for each room of the tenant that the person has written in."""
    author = Author(person.pk, person.fqid(get_server_name()))
    events = Event.objects.filter(author.events_q, tenant=person.tenant_id).order_by()
    keys = sorted(events.values_list("room", flat=True).distinct())
    for key in keys:
        room = Room.all_objects.filter(pk=key).first()
        if room is not None:
            yield Removal(room, author.events_q, content_only=True, with_reactions=False)


def _summarise(counts: Counter[str]) -> Mapping[str, int]:
    names = {"redacted_events": "messages", "deleted_events": "reactions", "files": "files"}
    return {title: counts[name] for name, title in names.items()}
