"""The counts of a run as a table: a row for each kind, a column and links for each action."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse

from identity_sync.models import WRITTEN, Outcome, SyncRun
from identity_sync.report import KINDS
from scaiwave.site.formatting import Tone, format_word
from scaiwave.site.overview import Cell

CHANGES = "admin:identity_sync_syncchange_changelist"
PLANNED = "admin:identity_sync_syncplannedchange_changelist"
COLUMNS = ("seen", "added", "updated", "deactivated", "restored", "skipped")
_ACTIONS = {
    "added": "add",
    "updated": "update",
    "deactivated": "deactivate",
    "restored": "restore",
    "skipped": "skipped",
}


def build_rows(run: SyncRun, *, has_plan: bool) -> list[list[Cell]]:
    """Return a row for each kind: its name, then a cell for each of `COLUMNS`.

    `has_plan` is whether the list of its planned changes is kept.
    """
    counts = run.get_counts()
    lists = {column: _find_list(run, column, has_plan=has_plan) for column in COLUMNS}
    return [
        [
            Cell(format_word(kind).capitalize()),
            *(
                _build_cell(run, kind, column, counts[kind].get(column, 0), lists[column])
                for column in COLUMNS
            ),
        ]
        for kind in KINDS
        if kind in counts
    ]


def _find_list(run: SyncRun, column: str, *, has_plan: bool) -> str:
    """Return the list that has the records of a column, or nothing."""
    is_written = run.outcome in WRITTEN
    if is_written and column != "skipped":
        return CHANGES
    # The changes have only rows that no earlier run has skipped.
    if has_plan and run.outcome != Outcome.APPLIED:
        return PLANNED
    return CHANGES if is_written else ""


def _build_cell(run: SyncRun, kind: str, column: str, number: int, list_name: str) -> Cell:
    action = _ACTIONS.get(column)
    url = ""
    if number and action is not None and list_name:
        selected = {"run__id__exact": run.pk, "kind": kind, "action": action}
        url = f"{reverse(list_name)}?{urlencode(selected)}"
    tone = Tone.WARN if column == "skipped" and number else None
    return Cell(f"{number:,}", url, tone, is_number=True)


def count_differences(run: SyncRun) -> int:
    """Return how many records of the run differed from ScaiKey, including skipped ones."""
    return sum(counts.get(column, 0) for counts in run.get_counts().values() for column in _ACTIONS)


OUTCOME_TONES = {
    Outcome.APPLIED: Tone.GOOD,
    Outcome.RUNNING: Tone.INFO,
    Outcome.PARTIAL: Tone.WARN,
    Outcome.REFUSED: Tone.BAD,
    Outcome.FAILED: Tone.BAD,
}


NOT_APPLIED = (Outcome.FAILED, Outcome.REFUSED, Outcome.PARTIAL)
