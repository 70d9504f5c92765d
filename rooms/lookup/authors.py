"""Who wrote an event: its sender, or for an imported one the original sender that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from scaiwave.core.sql import uuid_param
from tenants.lookup.serializers import get_server_name
from tenants.models import Participant

IMPORTED_FQID = Coalesce(
    KeyTextTransform("fqid", KeyTransform(IMPORTED_SENDER, "content")),
    Value(""),
    output_field=TextField(),
)
"""The address of the original sender of an imported event; empty for other events."""


@dataclass(frozen=True)
class Author:
    """A participant, and their address @local_id:server_name."""

    participant_id: UUID
    fqid: str

    @property
    def events_q(self) -> Q:
        """Match the events that they wrote.

        An importer is the sender of all events of a room, which others wrote. Original senders are
        known by their addresses; one that a bundle only claims counts too.
        """
        own = Q(In(IMPORTED_FQID, [""]), sender=self.participant_id)
        return own | Q(In(IMPORTED_FQID, [self.fqid]))

    def build_sql(self, placeholder: str) -> tuple[str, dict[str, str]]:
        """Return the same condition as SQL, and its parameters; `placeholder` is as `:{}`."""
        fqid = (
            f"content -> '{IMPORTED_SENDER}' ->> 'fqid'"
            if connection.vendor == "postgresql"
            else f"json_extract(content, '$.{IMPORTED_SENDER}.fqid')"
        )
        sender_id, address = placeholder.format("sender_id"), placeholder.format("fqid")
        sql = (
            f"CASE COALESCE({fqid}, '') WHEN '' THEN sender_id = {sender_id} "
            f"ELSE {fqid} = {address} END"
        )
        return sql, {"sender_id": uuid_param(self.participant_id), "fqid": self.fqid}


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
    """Yield people with each of their addresses: the one here, the one before a move here."""
    server_name = get_server_name()
    moves = {move.tenant_id: move for move in TenantImport.objects.all()}
    for person in people:
        yield person.fqid(server_name), person
        move = moves.get(person.tenant_id)
        # Anyone else may have the name that another person had there.
        is_derived = person.pk.version == IMPORTED_VERSION
        if move and (is_derived or str(person.pk) in move.people.values()):
            yield person.fqid(normalize_server_name(move.source_server_name)), person


def find_erasures(tenant_id: UUID) -> dict[str, Erasure]:
    """Return the erasures by address; messages were erased in the tenant of the person alone."""
    people = Participant.objects.exclude(purged_at=None, messages_erased_at=None)
    erasures: dict[str, Erasure] = {}
    for fqid, person in pair_fqids(people.only(*_ERASURE_FIELDS).iterator()):
        at = person.messages_erased_at if person.tenant_id == tenant_id else None
        until = format_timestamp(at) if at else ""
        # Two people may share an address: one from before a move, and one of that server.
        other = erasures.get(fqid, Erasure(is_name=False, until=""))
        is_name = other.is_name or person.purged_at is not None
        erasures[fqid] = Erasure(is_name, max(other.until, until))
    return erasures
