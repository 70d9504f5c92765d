"""One act on many records: all are checked first, then changed in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import transaction
from django.db.models import Model

from scaiwave.core.change import Change, ChangeResult
from scaiwave.core.errors import RefusedError, ScaiWaveError

M = TypeVar("M", bound=Model)

BATCH_SIZE = 500
"""Records that are changed in one transaction."""
MAX_NAMED = 5


class RowsFailed(RefusedError):
    """One of several records can't be changed."""

    code = "SW_ROWS_FAILED"
    fix = "Correct or remove these names, then run the command again: it skips completed ones."


@dataclass
class BulkRow(Generic[M]):
    """A record by the name that was given, and what became of it; without both, it waits."""

    name: str
    record: M | None = None
    result: Change | None = None
    error: ScaiWaveError | None = None


@dataclass(frozen=True)
class BulkResult(ChangeResult):
    """`empty` has the keys of the document of a row without a result."""

    rows: Sequence[BulkRow[Any]]
    empty: Mapping[str, object] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        lines = []
        for row in self.rows:
            if row.error is not None:
                lines.append(f"{row.name}: {row.error.message} [{row.error.code}]")
            elif row.result is not None:
                lines += row.result.lines
        return lines

    def summarise(self, one: str, many: str) -> str:
        """Return the total by outcome: `2 people resumed; 9 people still suspended in ScaiKey.`"""
        results = [row.result for row in self.rows if row.result is not None]
        results.sort(key=lambda result: not result.changed)
        return "; ".join(
            outcome.replace("{count}", f"{number:,} {one if number == 1 else many}")
            for outcome, number in Counter(result.outcome for result in results).items()
        )

    def document(self) -> dict[str, Any]:
        results = [
            {
                "name": row.name,
                **(row.result.document() if row.result else {**self.empty, "changed": False}),
                "error": row.error
                and {
                    "code": row.error.code,
                    "message": row.error.message,
                    "fix": row.error.fix or None,
                },
            }
            for row in self.rows
        ]
        return {"results": results, "changed": any(each["changed"] for each in results)}

    def require_complete(self) -> None:
        """Raises `RowsFailed` if not every row was, or would be, changed."""
        failed = [row.name for row in self.rows if row.error is not None]
        if not failed:
            return
        changed = self.document()["changed"]
        raise RowsFailed(
            f"{len(failed):,} of {len(self.rows):,} failed: {list_some(failed)}. "
            f"{'The others are done.' if changed else 'No changes were made.'}"
        )

    def raise_first(self) -> None:
        """Raise the first error. It says more than `RowsFailed` where rows are named by IDs."""
        for row in self.rows:
            if row.error is not None:
                raise row.error

    def get_only(self) -> Any:
        """Return the result of a set of one, or raise its error."""
        self.raise_first()
        (row,) = self.rows
        return row.result


def build_rows(found: Mapping[str, M | ScaiWaveError]) -> list[BulkRow[M]]:
    """Return a row for each record, by its first name; a value may be an error instead."""
    rows, seen = list[BulkRow[M]](), set()
    for name, record in found.items():
        if isinstance(record, ScaiWaveError):
            rows.append(BulkRow(name, error=record))
        elif record.pk not in seen:
            seen.add(record.pk)
            rows.append(BulkRow(name, record))
    return rows


def change_rows(
    rows: Sequence[BulkRow[M]],
    *,
    check: Callable[[M], Change | None],
    check_all: Callable[[list[M]], None],
    preview: Callable[[M], Change],
    confirm: Callable[[list[M]], None],
    write: Callable[[list[M]], Sequence[Change]],
    dry_run: bool,
) -> None:
    """Change the records of the rows, unless one of them has an error: then nothing is changed.

    `check` raises, or returns a result if there is nothing to change. `check_all` and `confirm`
    get the records to change, and raise. `write` changes a batch in a transaction, and returns
    their results; if it raises, the rows of this batch and of later ones have the error.
    """
    for row in rows:
        try:
            if row.record is not None:
                row.result = check(row.record)
        except ScaiWaveError as error:
            row.error = error
    pending = [row for row in rows if row.result is None]
    if any(row.error for row in rows) or not pending:
        return
    records = [row.record for row in pending if row.record]
    check_all(records)
    if dry_run:
        _set_results(pending, map(preview, records))
        return
    confirm(records)
    for start in range(0, len(pending), BATCH_SIZE):
        batch = pending[start : start + BATCH_SIZE]
        try:
            with transaction.atomic():
                results = write(records[start : start + BATCH_SIZE])
        except ScaiWaveError as error:
            for row in pending[start:]:
                row.error = error
            return
        _set_results(batch, results)


def _set_results(rows: Sequence[BulkRow[M]], results: Iterable[Change]) -> None:
    for row, result in zip(rows, results, strict=True):
        row.result = result


def count_names(kind: str, names: Sequence[str]) -> str:
    """Return `group Crew`, or `12 groups (Crew, Staff, …)` with the first names."""
    if len(names) == 1:
        return f"{kind} {names[0]}"
    return f"{len(names):,} {kind}s ({list_some(names)})"


def list_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
