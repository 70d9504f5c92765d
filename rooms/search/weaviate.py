"""The index in Weaviate, filled from the documents in the database.

The database's own index is kept as well: it tells what Weaviate has and what it lacks, and what of
that may still be found. One Weaviate tenant is one of ours, one object one event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

from rooms.models import Remote, SearchDocument
from rooms.search.database import DatabaseIndex
from rooms.search.engine import Counts, Part, Written
from rooms.search.scope import Scope
from rooms.search.vectors import Vectors
from rooms.search.words import Words
from scaiwave.clients.weaviate import Thing, WeaviateClient

KIND = "ScaiwaveMessage"
PROPERTIES: tuple[dict[str, Any], ...] = (
    {"name": "body", "dataType": ["text"], "tokenization": "word"},
    {"name": "event_id", "dataType": ["text"], "tokenization": "field"},
    {"name": "room_id", "dataType": ["text"], "tokenization": "field"},
)
AT_ONCE = 64
"""Objects in a request, and texts whose vectors are asked for together."""
_OBJECT_IDS = UUID("5ca1ab1e-0000-5000-8000-5ca1f01dab1e")
_SPARE = 3
"""So many times as many are asked for, since some may have been taken back since."""


def object_id(event_id: UUID) -> str:
    """The same event is the same object, however often it is indexed."""
    return str(uuid5(_OBJECT_IDS, event_id.hex))


class WeaviateIndex:
    """See `rooms.search.engine.Index`."""

    def __init__(self, client: WeaviateClient, vectors: Vectors) -> None:
        self._client = client
        self._vectors = vectors
        self._database = DatabaseIndex()
        self._tenants: set[str] | None = None

    def index(self, part: Part) -> Written:
        """What Weaviate must not have any more goes first: its document is what tells of it."""
        self._drop(part.tenant_id, self._database.to_be_removed(part))
        done = self._database.index(part)
        self._send(part)
        return done

    def remove_orphans(self, tenant_id: UUID) -> int:
        self._drop(tenant_id, self._database.orphans(tenant_id))
        return self._database.remove_orphans(tenant_id)

    def search(
        self, tenant_id: UUID, words: Words, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """The best first. What was redacted or edited since it was indexed is not found."""
        if tenant_id.hex not in self._known_tenants():
            return []
        text = " ".join(words.pieces)
        vectors = self._vectors.of([text])
        rows = self._client.found(
            tenant_id.hex,
            text,
            vectors[0] if vectors else None,
            limit=limit * _SPARE,
            fields=("event_id",),
            where=("room_id", str(room_id)) if room_id else None,
        )
        ids = [UUID(row["event_id"]) for row in rows]
        allowed = self._database.still_findable(tenant_id, ids, room_id)
        return [key for key in ids if key in allowed][:limit]

    def counts(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, Counts]:
        """What is in the database and not in Weaviate is missing."""
        counts = self._database.counts(scope, run_id)
        for tenant, lacking in self._database.not_sent(scope, run_id).items():
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
        sent = SearchDocument.objects.filter(tenant=tenant_id, remote__gt=Remote.NOTHING).count()
        there = tenant_id.hex in self._known_tenants()
        return max(sent - (self._client.count(tenant_id.hex) if there else 0), 0)

    def _send(self, part: Part) -> None:
        after = 0
        while documents := self._database.to_be_sent(
            part, after=after, most=AT_ONCE, with_vectors=self._vectors.works
        ):
            self._keep(part.tenant_id, documents)
            after = documents[-1].pk

    def _keep(self, tenant_id: UUID, documents: list[SearchDocument]) -> None:
        vectors = self._vectors.of([document.body for document in documents])
        self._make_tenant(tenant_id)
        things = [
            Thing(
                id=object_id(document.event_id),
                properties={
                    "body": document.body,
                    "event_id": str(document.event_id),
                    "room_id": str(document.event.room_id),
                },
                vector=vectors[place] if vectors else None,
            )
            for place, document in enumerate(documents)
        ]
        self._client.keep(tenant_id.hex, things)
        for document in documents:
            # Not if it was written anew meanwhile.
            SearchDocument.objects.filter(
                pk=document.pk, tenant=tenant_id, edited_at=document.edited_at
            ).update(remote=Remote.VECTOR if vectors else Remote.TEXT)

    def _drop(self, tenant_id: UUID, events: list[UUID]) -> None:
        for start in range(0, len(events), AT_ONCE):
            some = events[start : start + AT_ONCE]
            self._client.drop(tenant_id.hex, [object_id(event) for event in some])

    def _known_tenants(self) -> set[str]:
        if self._tenants is None:
            self._client.ensure_class(PROPERTIES)
            self._tenants = self._client.tenants()
        return self._tenants

    def _make_tenant(self, tenant_id: UUID) -> None:
        if tenant_id.hex not in self._known_tenants():
            self._client.add_tenant(tenant_id.hex)
            self._known_tenants().add(tenant_id.hex)


def _without(counts: Counts, lacking: int) -> Counts:
    lacking = min(lacking, counts.indexed)
    return replace(counts, indexed=counts.indexed - lacking, missing=counts.missing + lacking)
