"""What an export of all rooms of a tenant says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rooms.models import Room
from rooms.services.exported_room import ExportResult
from scaiwave.console.text import pluralize

Row = dict[str, Any]


class ExportOutcome(Enum):
    EXPORTED = "exported"
    KEPT = "kept"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class RoomOutcome:
    """One room: its file if there is one, what is in it if it was made just now, and why not."""

    room: Room
    outcome: ExportOutcome
    file: Path | None = None
    result: ExportResult | None = None
    reason: str | None = None

    def row(self) -> Row:
        result = self.result
        return {
            "id": self.room.pk,
            "name": str(self.room),
            "outcome": self.outcome.value,
            "events": result.events if result else None,
            "media": result.media if result else None,
            "missing_media": result.missing.total() if result else None,
            "bytes": self.file.stat().st_size if self.file else None,
            "file": str(self.file) if self.file else None,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class BulkExportResult:
    rooms: Sequence[Row]

    def count(self, outcome: ExportOutcome) -> int:
        return Counter(row["outcome"] for row in self.rooms)[outcome.value]

    def document(self) -> Row:
        counts = {outcome.value: self.count(outcome) for outcome in ExportOutcome}
        return {"rooms": list(self.rooms), **counts}

    @property
    def sentence(self) -> str:
        """Such as: 12 rooms: 9 exported, 2 kept, 1 refused."""
        if not self.rooms:
            return "There are no rooms."
        counts = ((self.count(outcome), outcome.value) for outcome in ExportOutcome)
        told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
        return f"{pluralize(len(self.rooms), 'room')}: {told}."
