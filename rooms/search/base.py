"""What an index of messages can do, whatever it is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol
from uuid import UUID

from rooms.search.query import SearchQuery
from rooms.search.scope import Scope


@dataclass(frozen=True)
class EventRange:
    """Events of one tenant, in the positions after `after` up to `through`.

    With `rewrite` also those are written that are in the index and up to date.
    """

    scope: Scope
    tenant_id: UUID
    after: int
    through: int
    rewrite: bool = False


@dataclass(frozen=True)
class IndexingResult:
    written: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Counts:
    """Of a tenant's messages: how many belong into the index, are in it as they are now, lack
    there; and how many documents are of an event that was edited, redacted or deleted since."""

    eligible: int = 0
    indexed: int = 0
    missing: int = 0
    stale: int = 0

    @property
    def right(self) -> bool:
        return not (self.missing or self.stale)

    def document(self) -> dict[str, int]:
        return asdict(self)


class SearchIndex(Protocol):
    def index(self, part: EventRange) -> IndexingResult:
        """Make the index right for this part: what is missing or was edited is written, what may
        not be found any more is removed. Nothing else stops being found meanwhile."""

    def remove_orphans(self, tenant_id: UUID) -> int:
        """Remove what is of events that are not there any more."""

    def search(
        self, tenant_id: UUID, words: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """The ids of events, the best first."""

    def counts(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, Counts]: ...

    def begin(self) -> None:
        """Called before the first part of a backfill."""

    def end(self) -> None:
        """Called after the last."""
