"""What a search index takes and returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from rooms.search.scope import Scope


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
