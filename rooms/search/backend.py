"""The index of this server's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.conf import settings

from rooms.search.base import Index
from rooms.search.database import DatabaseIndex


@contextmanager
def configured_index(*, somebody_waits: bool = False) -> Iterator[Index]:
    """Weaviate where there is one, else the database. Raises SettingInvalid.

    Where somebody waits for the answer, vectors are soon done without.
    """
    config = settings.CONFIG
    if not config.url("SCAIWAVE_WEAVIATE_URL"):
        yield DatabaseIndex()
        return
    from rooms.search.vectors import PATIENT, PROMPT, Vectors
    from rooms.search.weaviate import KIND, WeaviateIndex
    from scaiwave.clients.weaviate import connect_weaviate

    patience = PROMPT if somebody_waits else PATIENT
    with (
        connect_weaviate(config, KIND) as client,
        closing(Vectors(config, patience)) as vectors,
    ):
        yield WeaviateIndex(client, vectors)
