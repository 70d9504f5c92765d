"""The index in Weaviate, filled from the documents in the database.

The database's own index is kept as well: it tells what Weaviate has and what it lacks, and what of
that may still be found. One Weaviate tenant is one of ours, one object one event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import msgspec

from rooms.models import RemoteState, SearchDocument
from rooms.search import documents
from rooms.search.base import Counts, EventRange, IndexingResult
from rooms.search.database import DatabaseIndex, still_findable
from rooms.search.query import SearchQuery
from rooms.search.scope import Scope
from rooms.search.vectors import Vector, Vectors
from scaiwave.clients.weaviate import WeaviateClient, WeaviateObject

KIND = "ScaiwaveMessage"
PROPERTIES: tuple[dict[str, Any], ...] = (
    {"name": "body", "dataType": ["text"], "tokenization": "word"},
    {"name": "event_id", "dataType": ["text"], "tokenization": "field"},
    {"name": "room_id", "dataType": ["text"], "tokenization": "field"},
)
AT_ONCE = 64
"""Objects in a request, and texts whose vectors are asked for together."""
MOST_FOUND = 10_000
"""More than that Weaviate does not answer with (QUERY_MAXIMUM_RESULTS)."""
_OBJECT_IDS = UUID("5ca1ab1e-0000-5000-8000-5ca1f01dab1e")
_SPARE = 3
"""So many times as many are asked for, since some may have been taken back since."""


class Found(msgspec.Struct):
    event_id: UUID


def object_id(event_id: UUID) -> str:
    """The same event is the same object, however often it is indexed."""
    return str(uuid5(_OBJECT_IDS, event_id.hex))


class WeaviateIndex:
    """See `rooms.search.base.Index`."""

    def __init__(self, client: WeaviateClient, vectors: Vectors) -> None:
        self._client = client
        self._vectors = vectors
        self._database = DatabaseIndex()
        self._tenants: set[str] | None = None

    def index(self, part: EventRange) -> IndexingResult:
        """No document goes before its object, whatever we believe Weaviate has: nothing else would
        tell of an object that is left."""
        removed = 0
        while events := documents.to_be_removed(part, AT_ONCE):
            removed += self._remove(part.tenant_id, events)
        written = documents.upsert(part)
        self._send(part)
        return IndexingResult(written, removed)

    def remove_orphans(self, tenant_id: UUID) -> int:
        removed = 0
        while events := documents.orphans(tenant_id, AT_ONCE):
            removed += self._remove(tenant_id, events)
        return removed

    def search(
        self, tenant_id: UUID, words: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """The best first. What was redacted or edited since it was indexed is not found."""
        if tenant_id.hex not in self._known_tenants():
            return []
        text = " ".join(words.pieces)
        vectors = self._vectors.of([text])
        rows = self._client.found(
            tenant_id.hex,
            text,
            vectors[0],
            limit=min(limit * _SPARE, MOST_FOUND),
            row=Found,
            where=("room_id", str(room_id)) if room_id else None,
        )
        ids = [row.event_id for row in rows]
        allowed = still_findable(tenant_id, ids, room_id)
        return [key for key in ids if key in allowed][:limit]

    def counts(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, Counts]:
        """What is in the database and not in Weaviate is missing."""
        counts = self._database.counts(scope, run_id)
        for tenant, lacking in documents.pending_counts(scope, run_id).items():
            counts[tenant] = _without(counts[tenant], lacking)
        if scope.whole:
            for tenant, count in counts.items():
                counts[tenant] = _without(count, self._lost(tenant))
        return counts

    def begin(self) -> None:
        self._client.ensure_class(PROPERTIES)

    def end(self) -> None:
        self._database.end()

    def _lost(self, tenant_id: UUID) -> int:
        """How many objects fewer Weaviate has than it was sent."""
        sent = SearchDocument.objects.filter(
            tenant=tenant_id, remote__gt=RemoteState.NOTHING
        ).count()
        there = sent and tenant_id.hex in self._known_tenants()
        return max(sent - (self._client.count(tenant_id.hex) if there else 0), 0)

    def _send(self, part: EventRange) -> None:
        after = 0
        while some := documents.pending_documents(
            part, after=after, most=AT_ONCE, with_vectors=self._vectors.works
        ):
            self._keep(part.tenant_id, some)
            after = some[-1].pk

    def _keep(self, tenant_id: UUID, some: list[SearchDocument]) -> None:
        vectors = self._vectors.of([document.body for document in some])
        done = RemoteState.VECTOR if self._vectors.works else RemoteState.TEXT
        self._make_tenant(tenant_id)
        things = [_thing(*both) for both in zip(some, vectors, strict=True)]
        self._client.keep(tenant_id.hex, things)
        documents.mark_sent(
            tenant_id,
            [
                (document, RemoteState.VECTOR if vector else done)
                for document, vector in zip(some, vectors, strict=True)
            ],
        )

    def _remove(self, tenant_id: UUID, events: list[UUID]) -> int:
        if tenant_id.hex in self._known_tenants():
            self._client.drop(tenant_id.hex, [object_id(event) for event in events])
        documents.delete_events(tenant_id, events)
        return len(events)

    def _known_tenants(self) -> set[str]:
        if self._tenants is None:
            self._tenants = self._client.tenants()
        return self._tenants

    def _make_tenant(self, tenant_id: UUID) -> None:
        if tenant_id.hex not in self._known_tenants():
            self._client.add_tenant(tenant_id.hex)
            self._known_tenants().add(tenant_id.hex)


def _thing(document: SearchDocument, vector: Vector | None) -> WeaviateObject:
    properties = {
        "body": document.body,
        "event_id": str(document.event_id),
        "room_id": str(document.event.room_id),
    }
    return WeaviateObject(id=object_id(document.event_id), properties=properties, vector=vector)


def _without(counts: Counts, lacking: int) -> Counts:
    lacking = min(lacking, counts.indexed)
    return replace(counts, indexed=counts.indexed - lacking, missing=counts.missing + lacking)
