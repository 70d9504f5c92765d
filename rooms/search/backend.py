"""Open the search index that this server is configured for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.conf import settings

from rooms.search.database import SearchIndex


@contextmanager
def open_index(*, interactive: bool = False) -> Iterator[SearchIndex]:
    """Yield Weaviate's index if SCAIWAVE_WEAVIATE_URL is set, else the database's.

    With `interactive`, a person waits for the answer, so embedding is given up after seconds.
    Raises `SettingInvalid`.
    """
    config = settings.CONFIG
    if not config.get_url("SCAIWAVE_WEAVIATE_URL"):
        yield SearchIndex()
        return
    from rooms.search.vectors import BACKFILL_RETRIES, INTERACTIVE_RETRIES, Embedder
    from rooms.search.weaviate import CLASS_NAME, WeaviateIndex
    from scaiwave.clients.weaviate import weaviate_client

    retry_policy = INTERACTIVE_RETRIES if interactive else BACKFILL_RETRIES
    with (
        weaviate_client(config, CLASS_NAME) as client,
        closing(Embedder(config, retry_policy)) as embedder,
    ):
        yield WeaviateIndex(client, embedder)
