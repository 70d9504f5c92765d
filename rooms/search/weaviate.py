"""The index in Weaviate, filled from the documents in the database.

The documents are kept as well: they record what Weaviate has and lacks, and which of its results
may still be shown. One Weaviate tenant is one of our tenants, one object is one event.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import msgspec
from django.db.models import QuerySet

from rooms.models import Event, RemoteState, SearchDocument
from rooms.search import documents
from rooms.search.base import EventRange, IndexCounts, IndexingResult
from rooms.search.database import MAX_POSITION, SearchIndex, filter_findable
from rooms.search.query import SearchQuery
from rooms.search.scope import Scope
from rooms.search.vectors import Embedder
from scaiwave.clients.weaviate import WeaviateClient, WeaviateObject
from scaiwave.core.sql import batched

CLASS_NAME = "ScaiwaveMessage"
PROPERTIES: tuple[dict[str, Any], ...] = (
    {"name": "body", "dataType": ["text"], "tokenization": "word"},
    {"name": "event_id", "dataType": ["text"], "tokenization": "field"},
    {"name": "room_id", "dataType": ["text"], "tokenization": "field"},
)
BATCH_SIZE = 64
"""Objects per request, and texts per call for vectors."""
MAX_RESULTS = 10_000
"""Weaviate returns no more than this (QUERY_MAXIMUM_RESULTS)."""
_OBJECT_IDS = UUID("5ca1ab1e-0000-5000-8000-5ca1f01dab1e")
_OVERFETCH_FACTOR = 3
"""Results requested per result wanted, since some may be outdated and are then dropped."""


class FoundMessage(msgspec.Struct):
    event_id: UUID


def get_object_id(event_id: UUID) -> str:
    """Return the id of the event's object; the same however often it is indexed."""
    return str(uuid5(_OBJECT_IDS, event_id.hex))


class WeaviateIndex(SearchIndex):
    """Searches one tenant by Weaviate, and several in the database.

    Weaviate searches one tenant in a request.
    """

    state = RemoteState.TEXT

    def __init__(self, client: WeaviateClient, embedder: Embedder) -> None:
        self._client = client
        self._embedder = embedder
        self._tenants: set[str] | None = None

    def get_state(self, tenant_id: UUID) -> int:
        is_known = tenant_id.hex in self._get_tenants()
        return self.state if is_known else max(RemoteState) + 1

    def index(self, event_range: EventRange) -> IndexingResult:
        """See the base class.

        An object is always deleted before its document, even if the document says that Weaviate
        does not have it: without the document, nothing would show that an object is left over.
        """
        removed = 0
        while event_ids := documents.get_stale_events(event_range, BATCH_SIZE):
            removed += self._remove(event_range.tenant_id, event_ids)
        written = documents.upsert(event_range)
        after = 0
        while batch := documents.pending_documents(
            event_range,
            after=after,
            limit=BATCH_SIZE,
            with_vectors=self._embedder.is_available,
        ):
            self._send_batch(event_range.tenant_id, batch)
            after = batch[-1].stream_position
        return IndexingResult(written, removed)

    def open_step(self) -> AbstractContextManager[object]:
        return nullcontext()  # No transaction waits for requests.

    def remove_documents(
        self, tenant_id: UUID, events: QuerySet[Event]
    ) -> tuple[int, Callable[[], None]]:
        """The documents stay until their objects are gone; until then searches leave them out."""
        found = documents.get_documents_of(tenant_id, events)

        def remove() -> None:
            for event_ids in batched(found, BATCH_SIZE):
                self._remove(tenant_id, event_ids)

        return len(found), remove

    def finish_deletion(self, tenant_id: UUID) -> None:
        every = EventRange(Scope(), tenant_id, 0, MAX_POSITION)
        while event_ids := documents.get_stale_events(every, BATCH_SIZE):
            self._remove(tenant_id, event_ids)
        self.remove_orphans(tenant_id)

    def remove_orphans(self, tenant_id: UUID) -> int:
        removed = 0
        while event_ids := documents.get_orphaned_events(tenant_id, BATCH_SIZE):
            removed += self._remove(tenant_id, event_ids)
        return removed

    def count_objects(self, tenant_id: UUID) -> int:
        is_known = tenant_id.hex in self._get_tenants()
        return self._client.count(tenant_id.hex) if is_known else 0

    def remove_tenant(self, tenant_id: UUID) -> None:
        if tenant_id.hex in self._get_tenants():
            self._client.remove_tenant(tenant_id.hex)
            self._get_tenants().discard(tenant_id.hex)

    def search(
        self, tenant_id: UUID, query: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """Return the best first, without events that were redacted or edited since indexing."""
        if tenant_id.hex not in self._get_tenants():
            return []
        text = " ".join(query.terms)
        vectors = self._embedder.embed([text])
        rows = self._client.search(
            tenant_id.hex,
            text,
            vectors[0],
            limit=min(limit * _OVERFETCH_FACTOR, MAX_RESULTS),
            row=FoundMessage,
            where=("room_id", str(room_id)) if room_id else None,
        )
        event_ids = [row.event_id for row in rows]
        findable = filter_findable(event_ids, tenant_id=tenant_id, room_id=room_id)
        return [event_id for event_id in event_ids if event_id in findable][:limit]

    def count(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, IndexCounts]:
        """Count as the database does; documents that Weaviate lacks are missing."""
        counts = super().count(scope, run_id)
        for tenant_id, pending in documents.pending_counts(scope, run_id).items():
            counts[tenant_id] = _count_as_missing(counts[tenant_id], pending)
        if scope.is_whole:
            for tenant_id, tenant_counts in counts.items():
                documents_sent = SearchDocument.objects.filter(
                    tenant=tenant_id, remote__gt=RemoteState.NOTHING
                )
                # Objects that were sent, and that Weaviate does not have.
                if lost := documents_sent.count():
                    if tenant_id.hex in self._get_tenants():
                        lost = max(lost - self._client.count(tenant_id.hex), 0)
                    counts[tenant_id] = _count_as_missing(tenant_counts, lost)
        return counts

    def begin_backfill(self) -> None:
        self._client.ensure_class(PROPERTIES)

    def _send_batch(self, tenant_id: UUID, batch: list[SearchDocument]) -> None:
        vectors = self._embedder.embed([document.body for document in batch])
        # While vectors are available, a document without one was refused and will not get one.
        state = RemoteState.VECTOR if self._embedder.is_available else RemoteState.TEXT
        if tenant_id.hex not in self._get_tenants():
            self._client.add_tenant(tenant_id.hex)
            self._get_tenants().add(tenant_id.hex)
        objects = [
            WeaviateObject(
                id=get_object_id(document.event_id),
                properties={
                    "body": document.body,
                    "event_id": str(document.event_id),
                    "room_id": str(document.event.room_id),
                },
                vector=vector,
            )
            for document, vector in zip(batch, vectors, strict=True)
        ]
        self._client.upsert(tenant_id.hex, objects)
        gone = documents.mark_sent(
            tenant_id,
            [
                (document, RemoteState.VECTOR if vector else state)
                for document, vector in zip(batch, vectors, strict=True)
            ],
        )
        if gone:  # A room was deleted while its messages were sent.
            self._remove(tenant_id, gone)

    def _remove(self, tenant_id: UUID, event_ids: list[UUID]) -> int:
        if tenant_id.hex in self._get_tenants():
            self._client.delete(tenant_id.hex, [get_object_id(event_id) for event_id in event_ids])
        documents.delete_events(tenant_id, event_ids)
        return len(event_ids)

    def _get_tenants(self) -> set[str]:
        if self._tenants is None:
            self._tenants = self._client.list_tenants()
        return self._tenants


def _count_as_missing(counts: IndexCounts, number: int) -> IndexCounts:
    """Move so many messages from `indexed` to `missing`."""
    number = min(number, counts.indexed)
    return replace(counts, indexed=counts.indexed - number, missing=counts.missing + number)
