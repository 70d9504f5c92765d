"""What an import says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

Row = dict[str, Any]


@dataclass(frozen=True)
class ImportResult:
    """`imported` is False in a dry run, and where --once found the room of an earlier import."""

    room_id: UUID | None
    name: str
    workspace: str
    imported: bool
    dry_run: bool = False
    signature: str | None = None
    events: int = 0
    stripped: Mapping[str, int] = field(default_factory=dict)
    references_cut: int = 0
    media_stored: int = 0
    media_already_there: int = 0
    media_infected: int = 0
    media_missing: int = 0
    warnings: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        room = f"room {self.name!r}" if self.name else "a room without a name"
        if self.dry_run:
            return f"Would import {room} into workspace {self.workspace}; nothing was written."
        if not self.imported:
            return f"This bundle is already {room} in workspace {self.workspace}."
        return f"Imported {room} into workspace {self.workspace}."

    def row(self) -> Row:
        """For people: one value a line."""
        stripped = [f"{count:,} × {kind}" for kind, count in sorted(self.stripped.items())]
        return {**self._plain(), "stripped": stripped}

    def document(self) -> Row:
        return {
            "room": {"id": self.room_id, "name": self.name, "workspace": self.workspace},
            "imported": self.imported,
            "dry_run": self.dry_run,
            "signature": self.signature,
            "events": self.events,
            "stripped": dict(self.stripped),
            "references_cut": self.references_cut,
            "media": {
                "stored": self.media_stored,
                "already_there": self.media_already_there,
                "infected": self.media_infected,
                "missing": self.media_missing,
            },
            "warnings": list(self.warnings),
        }

    def _plain(self) -> Row:
        return {key: value for key, value in vars(self).items() if key != "warnings"}
