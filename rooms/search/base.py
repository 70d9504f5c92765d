"""The interface of a search index, whatever stores it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol
from uuid import UUID

from django.db.models import QuerySet

from rooms.models import Event
from rooms.search.query import SearchQuery
from rooms.search.scope import Scope
from tenants.models import Tenant


@dataclass(frozen=True)
class EventRange:
    """Events of one tenant at positions greater than `after`, up to and including `through`.

    With `rewrite`, documents that are up to date are written again.
    """

    scope: Scope
    tenant_id: UUID
    after: int
    through: int
    rewrite: bool = False


@dataclass(frozen=True)
class IndexingResult:
    """Numbers of documents written and removed."""

    written: int = 0
    removed: int = 0


@dataclass(frozen=True)
class IndexCounts:
    """State of one tenant's index, in messages.

    `eligible` belong in the index, `indexed` are in it as they are now, `missing` are not.
    `stale` documents are of events that were edited, redacted or deleted since.
    """

    eligible: int = 0
    indexed: int = 0
    missing: int = 0
    stale: int = 0

    @property
    def is_consistent(self) -> bool:
        return not (self.missing or self.stale)

    def document(self) -> dict[str, int]:
        return asdict(self)


class SearchIndex(Protocol):
    def index(self, event_range: EventRange) -> IndexingResult:
        """Write missing and edited documents, and remove documents that must not be found.

        All other messages can be found throughout.
        """

    def remove_documents(self, batch: EventRange, events: QuerySet[Event]) -> Callable[[], None]:
        """Remove the documents of events of a range that are deleted or redacted next.

        Call it in their transaction, and the function that it returns after that.
        """

    def finish_removal(self, tenant_id: UUID) -> None:
        """Remove documents that an interrupted removal has left because of a search server."""

    def remove_orphans(self, tenant_id: UUID) -> int:
        """Remove documents of deleted events; return how many."""

    def count_objects(self, tenant_id: UUID) -> int:
        """Return how many documents of a tenant a search server has."""

    def remove_tenant(self, tenant_id: UUID) -> None:
        """Remove a tenant from the search server, with all documents."""

    def search(
        self, tenant_id: UUID, query: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """Return ids of matching events, the best first."""

    def search_tenants(
        self, tenants: QuerySet[Tenant], query: SearchQuery, *, limit: int
    ) -> list[UUID]:
        """Return ids of matching events of several tenants, the last indexed first."""

    def count(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, IndexCounts]:
        """Return counts by tenant id; with `run_id`, of the events that this run covers."""

    def begin_backfill(self) -> None:
        """Prepare the index. Called before the first range."""

    def end_backfill(self) -> None:
        """Complete the index. Called after the last range."""
