"""What came of a run, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from scaiwave.console.output import Column
from scaiwave.errors import ScaiWaveError
from scaiwave.publishing.errors import PagesFailed
from scaiwave.publishing.plan import CHANGES, Action, PageAction

COLUMNS = (
    Column("action", ""),
    Column("path", "Page"),
    Column("file", "Source"),
    Column("changes", "What differs"),
)
_DONE = {Action.CREATED: "created", Action.UPDATED: "updated", Action.PRUNED: "removed"}
_TO_DO = {Action.CREATED: "create", Action.UPDATED: "update", Action.PRUNED: "remove"}


@dataclass(frozen=True, kw_only=True)
class Report:
    steps: tuple[PageAction, ...]
    executed: bool

    @property
    def failed(self) -> list[PageAction]:
        return [step for step in self.steps if step.problems]

    @property
    def problems(self) -> list[ScaiWaveError]:
        return [problem for step in self.steps for problem in step.problems]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "action": f"not {step.action}"
                if step.problems and _is_change(step)
                else step.action,
                "path": step.path,
                "file": step.file,
                "changes": step.changes,
            }
            for step in self.steps
        ]

    def document(self) -> dict[str, Any]:
        return {
            "executed": self.executed,
            "counts": self._counts(),
            "pages": [step.document() for step in self.steps],
        }

    def _counts(self) -> dict[str, int]:
        """Steps by what was to be done; those that went wrong are counted as failed."""
        counted = Counter(Action.FAILED if step.problems else step.action for step in self.steps)
        return {action.value: counted[action] for action in Action}

    def sentence(self) -> str:
        words = _DONE if self.executed else _TO_DO
        counts = self._counts()
        parts = [
            f"{word} {_pages(counts[action])}" for action, word in words.items() if counts[action]
        ]
        changes = ", ".join(parts)
        if self.executed:
            return f"{changes.capitalize()}." if changes else "Nothing was written."
        if changes:
            return f"Nothing was written. With --execute this will {changes}."
        return "Nothing was written, and nothing is to be."

    def raise_failures(self) -> None:
        """Raises PagesFailed, if there is a page that something went wrong with."""
        if failed := len(self.failed):
            raise PagesFailed(
                f"{_pages(failed)} of {len(self.steps)} could not be published."
                if self.executed
                else f"{_pages(failed)} of {len(self.steps)} can't be published."
            )


def _is_change(step: PageAction) -> bool:
    return step.action in CHANGES


def _pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"
