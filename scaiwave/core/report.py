"""What an act found or did: figures, rows and sentences, which --json and the terminal print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaiwave.core.change import ChangeResult
from scaiwave.core.errors import ScaiWaveError


@dataclass(frozen=True)
class Report(ChangeResult):
    """Figures by their names, lists of rows, a sentence, and further lines.

    Figures and lists are the --json document. A terminal prints the keys that the command names in
    its `tables`, then the lines. `error` is raised once all is printed. Without `changed` it is not
    a change; in a dry run, `changed` is whether something would change.
    """

    figures: dict[str, Any]
    sentence: str = ""
    lists: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    error: ScaiWaveError | None = None
    changed: bool | None = None
    notes: Sequence[str] = ()

    @property
    def lines(self) -> Sequence[str]:
        return [line for line in (self.sentence, *self.notes) if line]

    def document(self) -> dict[str, Any]:
        changed = {} if self.changed is None else {"changed": self.changed}
        return {**self.figures, **self.lists, **changed}
