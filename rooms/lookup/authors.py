"""Who wrote an event: its sender, or for an imported one the original sender that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q, TextField, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Coalesce
from django.db.models.lookups import In

from rooms.bundle.format import IMPORTED_SENDER
from rooms.bundle.manifest.schema import format_timestamp
from rooms.models import TenantImport
from scaiwave.config.server_name import normalize_server_name
from scaiwave.core.sql import batched, uuid_param
from tenants.lookup.serializers import get_server_name
from tenants.models import Participant

IMPORTED_FQID = Coalesce(
    KeyTextTransform("fqid", KeyTransform(IMPORTED_SENDER, "content")),
    Value(""),
    output_field=TextField(),
)
"""The address of the original sender of an imported event; empty for other events."""


def imported_from_q(fqids: Collection[str]) -> Q:
    """Match imported events of senders with these addresses."""
    return Q(In(IMPORTED_FQID, list(fqids)))


@dataclass(frozen=True)
class Author:
    """A participant, and their addresses @local_id:server_name, the one here first."""

    participant_id: UUID
    fqids: Sequence[str]

    @property
    def events_q(self) -> Q:
        """Match the events that they wrote.

        An importer is the sender of all events of a room, which others wrote. Original senders are
        known by their addresses; one that a bundle only claims counts too.
        """
        own = Q(In(IMPORTED_FQID, [""]), sender=self.participant_id)
        return own | imported_from_q(self.fqids)

    def build_sql(self, placeholder: str) -> tuple[str, dict[str, str]]:
        """Return the same condition as SQL, and its parameters; `placeholder` is as `:{}`."""
        fqid = (
            f"content -> '{IMPORTED_SENDER}' ->> 'fqid'"
            if connection.vendor == "postgresql"
            else f"json_extract(content, '$.{IMPORTED_SENDER}.fqid')"
        )
        addresses = {f"fqid{number}": fqid for number, fqid in enumerate(self.fqids)}
        sql = (
            f"CASE COALESCE({fqid}, '') WHEN '' THEN sender_id = {placeholder.format('sender_id')} "
            f"ELSE {fqid} IN ({', '.join(map(placeholder.format, addresses))}) END"
        )
        return sql, {"sender_id": uuid_param(self.participant_id), **addresses}


IMPORTED_VERSION = 8
"""The version of the UUIDs of imported rows. Rows of this server have another version."""

_ERASURE_FIELDS = ("local_id", "server_name", "tenant", "purged_at", "messages_erased_at")


class Erasure(NamedTuple):
    """What `purge-participant` has erased of a person: the name, and messages until a time.

    The time is as a bundle has it, and empty if no message was erased.
    """

    is_name: bool
    until: str


def pair_fqids(people: Iterable[Participant]) -> Iterator[tuple[str, Participant]]:
    """Yield people with each of their addresses: the one here, and those before a move here."""
    own, moves = get_server_name(), {}
    for move in TenantImport.objects.all():
        names: dict[str, list[str]] = {}
        for there, here in move.people.items():
            names.setdefault(here, []).extend([there] if there.startswith("@") else [])
        spellings = {move.source_server_name, normalize_server_name(move.source_server_name)}
        moves[move.tenant_id] = names, spellings - {own, normalize_server_name(own)}
    for person in people:
        yield person.fqid(own), person
        names, servers = moves.get(person.tenant_id, ({}, set()))
        # Anyone else may have the name that another person had there.
        if person.pk.version == IMPORTED_VERSION or str(person.pk) in names:
            for server in servers:
                known = [f"{name}:{server}" for name in names.get(str(person.pk), [])]
                yield from ((fqid, person) for fqid in known or [person.fqid(server)])


def list_fqids(people: Iterable[UUID]) -> list[str]:
    """Return all addresses of people with these IDs."""
    return [fqid for fqid, _ in pair_fqids(Participant.objects.filter(pk__in=people))]


def find_people(fqids: Collection[str]) -> list[UUID]:
    """Return the IDs of people who have one of these addresses."""
    moved = Participant.objects.filter(tenant__in=TenantImport.objects.values("tenant"))
    parts = batched({fqid[1:].partition(":")[0] for fqid in fqids})
    people = chain(moved, *(Participant.objects.filter(local_id__in=part) for part in parts))
    return [person.pk for fqid, person in pair_fqids(people) if fqid in fqids] if fqids else []


def find_erasures(tenant_id: UUID) -> dict[str, Erasure]:
    """Return the erasures by address and ID; messages were erased in the person's tenant alone."""
    erased = Participant.objects.exclude(purged_at=None, messages_erased_at=None)
    people = erased.only(*_ERASURE_FIELDS)
    erasures: dict[str, Erasure] = {}
    for fqid, person in chain(pair_fqids(people), ((str(each.pk), each) for each in people)):
        at = person.messages_erased_at if person.tenant_id == tenant_id else None
        until = format_timestamp(at) if at else ""
        # Two people may share an address: one from before a move, and one of that server.
        other = erasures.get(fqid, Erasure(is_name=False, until=""))
        is_name = other.is_name or person.purged_at is not None
        erasures[fqid] = Erasure(is_name, max(other.until, until))
    return erasures
