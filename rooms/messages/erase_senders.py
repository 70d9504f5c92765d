"""Erase the names of people from events that were imported, and from the records of imports.

Other events have the ID of their sender, whose name is read from the participant. The search index
has the text of messages alone, so there is nothing to erase in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Model, Q
from django.db.models.functions import Lower

from rooms.bundle.format import IMPORTED_SENDER
from rooms.lookup.authors import list_fqids
from rooms.models import Event, ImportIntent, RoomImport, SearchBackfill, TenantImport
from scaiwave.core.sql import execute
from scaiwave.extensions import PurgedPerson

_OPERATOR_MODELS: tuple[type[Model], ...] = (
    ImportIntent,
    RoomImport,
    SearchBackfill,
    TenantImport,
)


def erase_senders(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Replace the names of these people and remove their avatars, in imported events.

    Only events that name them by an address of theirs can be found: here, or before a move here.
    """
    if RoomImport.objects.exists():
        fqids = list_fqids(person.participant_id for person in people)
        for column in ("content", "original_content"):
            _erase_in_events(column, fqids, replacement)
    names = {name for person in people for name in person.operator_names}
    for model in _OPERATOR_MODELS:
        rows = model._default_manager.alias(folded=Lower("operator"))
        rows = rows.filter(Q(folded__in=names) | Q(operator__in=names))
        rows.update(operator=replacement)


def _erase_in_events(column: str, fqids: Sequence[str], replacement: str) -> None:
    marks = ", ".join(["%s"] * len(fqids))
    if connection.vendor == "postgresql":
        fqid = f"{column} -> '{IMPORTED_SENDER}' ->> 'fqid'"
        erased = (
            f"{column} || jsonb_build_object('{IMPORTED_SENDER}', {column} -> '{IMPORTED_SENDER}' "
            "|| jsonb_build_object('display_name', %s::text, 'avatar_url', ''))"
        )
    else:
        path = f"$.{IMPORTED_SENDER}"
        fqid = f"json_extract({column}, '{path}.fqid')"
        erased = f"json_set({column}, '{path}.display_name', %s, '{path}.avatar_url', '')"
    params: list[Any] = [replacement, *fqids]
    execute(
        f"UPDATE {Event._meta.db_table} SET {column} = {erased} "
        f"WHERE room_id IN (SELECT room_id FROM {RoomImport._meta.db_table}) "
        f"AND {fqid} IN ({marks})",
        params,
    )
