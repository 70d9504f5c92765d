"""The result of a run, as a table, a sentence and JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from scaiwave.console.columns import Column
from scaiwave.core.errors import ScaiWaveError
from scaiwave.publishing.errors import PagesFailed
from scaiwave.publishing.plan import CHANGES, Action, PageAction

COLUMNS = (
    Column("action", "Status"),
    Column("path", "Page"),
    Column("file", "Source"),
    Column("changes", "Differences"),
)
_PAST_TENSE = {Action.CREATED: "created", Action.UPDATED: "updated", Action.PRUNED: "removed"}
_INFINITIVE = {Action.CREATED: "create", Action.UPDATED: "update", Action.PRUNED: "remove"}


@dataclass(frozen=True, kw_only=True)
class PublishReport:
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
        """Count the steps by action; those with problems count as failed."""
        counts = Counter(Action.FAILED if step.problems else step.action for step in self.steps)
        return {action.value: counts[action] for action in Action}

    def format_summary(self) -> str:
        words = _PAST_TENSE if self.executed else _INFINITIVE
        counts = self._counts()
        parts = [
            f"{word} {_format_pages(counts[action])}"
            for action, word in words.items()
            if counts[action]
        ]
        changes = ", ".join(parts)
        if self.executed:
            return f"{changes.capitalize()}." if changes else "No changes were made."
        if changes:
            return f"No changes were made. With --execute, this will {changes}."
        return "No changes to make."

    def raise_failures(self) -> None:
        """Raise PagesFailed if any page has problems."""
        if self.failed:
            verb = "could not" if self.executed else "can't"
            raise PagesFailed(f"{len(self.failed)} of {len(self.steps)} pages {verb} be published.")


def _is_change(step: PageAction) -> bool:
    return step.action in CHANGES


def _format_pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"
