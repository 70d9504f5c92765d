"""The index of this server's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.conf import settings

from rooms.search.base import SearchIndex
from rooms.search.database import DatabaseIndex


@contextmanager
def open_index(*, somebody_waits: bool = False) -> Iterator[SearchIndex]:
    """Weaviate where there is one, else the database. Raises SettingInvalid.

    Where somebody waits for the answer, vectors are soon done without.
    """
    config = settings.CONFIG
    if not config.get_url("SCAIWAVE_WEAVIATE_URL"):
        yield DatabaseIndex()
        return
    from rooms.search.vectors import PATIENT, PROMPT, Vectors
    from rooms.search.weaviate import KIND, WeaviateIndex
    from scaiwave.clients.weaviate import weaviate_client

    patience = PROMPT if somebody_waits else PATIENT
    with (
        weaviate_client(config, KIND) as client,
        closing(Vectors(config, patience)) as vectors,
    ):
        yield WeaviateIndex(client, vectors)
