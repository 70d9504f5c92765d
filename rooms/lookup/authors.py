"""Who wrote an event: its sender, or for an imported one the original sender that it names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
from scaiwave.config.server_name import find_server_name, normalize_server_name
from scaiwave.core.sql import batched, uuid_param
from tenants.lookup.serializers import get_server_name
from tenants.models import Participant, Tenant

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

# Invisible, but printable for Python.
_IGNORABLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_STRAY = re.compile(r"[^a-z0-9.-]")
_ERASURE_FIELDS = ("local_id", "server_name", "tenant", "purged_at", "messages_erased_at")


class Erasure(NamedTuple):
    """What `purge-participant` has erased of a person: the name, and messages until a time.

    The time is as a bundle has it, and empty if no message was erased. Someone whose name is erased
    has not returned, and has written nothing since.
    """

    is_name: bool = False
    until: str = ""

    def merge(self, other: Erasure | None) -> Erasure:
        is_name, until = other or Erasure()
        return Erasure(self.is_name or is_name, max(self.until, until))


@lru_cache(10_000)
def normalize_fqid(fqid: str, own_server_name: str) -> tuple[str, bool]:
    """Return the form that all spellings of an address share, and whether to doubt it.

    It has no spaces, invisible characters, final dot or default port. The case of an ID matters to
    its server alone; IDs of this server are in lower case. A reader takes an ID without a server,
    or with one that can't exist, for one of this server too.
    """
    folded = _IGNORABLE.sub("", unicodedata.normalize("NFKC", fqid)).replace("\u3002", ".")
    visible = "".join(filter(str.isprintable, folded.replace(" ", "")))
    local_id, _, given = visible.lstrip("@").partition(":")
    server = re.sub(r":0+(?=[1-9])", ":", given.casefold().removeprefix("https://"))
    server, own = re.sub(r"(:443|[.:/])+$", "", server), normalize_server_name(own_server_name)
    is_name = find_server_name(server) is not None
    is_ours = server == own or (not is_name and _STRAY.sub("", server) == _STRAY.sub("", own))
    if is_ours or (not server and visible.startswith("@")):
        return f"@{local_id.lower()}:{own_server_name}", True
    return f"@{local_id}:{server}" if server else fqid, not is_name


def pair_fqids(people: Iterable[Participant]) -> Iterator[tuple[str, Participant]]:
    """Yield people with their addresses, before a move here too, as written and in normal form."""
    own, moves = get_server_name(), {}
    for move in TenantImport.objects.all():
        names: dict[str, list[str]] = {}
        for there, here in move.people.items():
            names.setdefault(here, []).extend([there] if there.startswith("@") else [])
        server = move.source_server_name
        if normalize_server_name(server) != normalize_server_name(own):
            moves[move.tenant_id] = names, server
    for person in people:
        fqids, (names, server) = [person.fqid(own)], moves.get(person.tenant_id, ({}, ""))
        # Anyone else may have the name that another person had there.
        if server and (person.pk.version == IMPORTED_VERSION or str(person.pk) in names):
            given = names.get(str(person.pk), [])
            known = [f"{name}:{server}" for name in given if ":" not in name]
            fqids += known or [person.fqid(server)]
            fqids += [name for name in given if ":" in name]
        normal = [normalize_fqid(fqid, own)[0] for fqid in fqids]
        yield from ((fqid, person) for fqid in dict.fromkeys([*fqids, *normal]))


def note_renames(tenant: Tenant, renames: Mapping[str, str]) -> dict[str, Participant]:
    """Note the address of moved people, by the one before, after another server was renamed.

    The name before the colon never changes, and no address of this server is one of another.
    Returns the addresses that were unknown.
    """
    own, added = get_server_name(), dict[str, Participant]()
    for move in TenantImport.objects.filter(tenant=tenant) if any(renames) else ():
        for fqid, person in pair_fqids(tenant.participants.all()):
            new = renames.get(fqid, "")
            is_same = new.startswith(f"{fqid.partition(':')[0]}:")
            is_ours = any(normalize_fqid(each, own)[1] for each in (fqid, new))
            if is_same and not is_ours and new not in move.people:
                move.people[new], added[new] = str(person.pk), person
        move.save(update_fields=["people"])
    return added


def list_fqids(people: Iterable[UUID]) -> list[str]:
    """Return all addresses of people with these IDs."""
    return [fqid for fqid, _ in pair_fqids(Participant.objects.filter(pk__in=people))]


def find_people(fqids: Collection[str]) -> list[UUID]:
    """Return the IDs of people who have one of these addresses."""
    moved = Participant.objects.filter(tenant__in=TenantImport.objects.values("tenant"))
    parts = batched({fqid[1:].partition(":")[0] for fqid in fqids})
    people = chain(moved, *(Participant.objects.filter(local_id__in=part) for part in parts))
    return [person.pk for fqid, person in pair_fqids(people) if fqid in fqids] if fqids else []


def find_erasures(tenant_id: UUID, senders: Iterable[UUID] = ()) -> dict[str, Erasure]:
    """Return the erasures by address and ID; messages were erased in the person's tenant alone.

    An erasure of any address of `senders` is one by their ID too.
    """
    erased = Participant.objects.exclude(purged_at=None, messages_erased_at=None)
    people = erased.only(*_ERASURE_FIELDS)
    erasures: dict[str, Erasure] = {}
    for fqid, person in chain(pair_fqids(people), ((str(each.pk), each) for each in people)):
        at = person.messages_erased_at if person.tenant_id == tenant_id else None
        found = Erasure(person.purged_at is not None, format_timestamp(at) if at else "")
        # Two people may share an address: one from before a move, and one of that server.
        erasures[fqid] = found.merge(erasures.get(fqid))
    for part in batched(senders) if erasures else ():
        for fqid, person in pair_fqids(Participant.objects.filter(pk__in=part)):
            if fqid in erasures:
                erasures[str(person.pk)] = erasures[fqid].merge(erasures.get(str(person.pk)))
    return erasures
