"""What `scaiwave sync` prints."""

from __future__ import annotations

from contextlib import suppress

from identity_sync.services.sync import history
from identity_sync.services.sync.report import KINDS, SyncReport
from scaiwave.console.output import Column, ColumnType, Output

COLUMNS = [
    Column("kind", "Kind"),
    *(
        Column(name, name.title(), ColumnType.COUNT)
        for name in ("seen", "added", "updated", "deactivated", "restored", "unchanged", "held")
    ),
]

_SUMMARIES = {
    "applied": "Applied {}",
    "planned": "Planned {}, none of them applied",
    "refused": "Refused {}, none of them applied",
    "partial": "Applied {}, and held back others",
}


def print_report(output: Output, report: SyncReport) -> None:
    """The agreed document for programs; warnings, a table and one sentence for people."""
    if output.as_json:
        output.print_json(report.document())
        return
    for warning in report.warnings:
        output.warn(warning)
    counts = report.counts()
    output.print_table("kinds", COLUMNS, [{"kind": kind, **counts[kind]} for kind in KINDS])
    output.print_line(format_summary(report))


def print_changes(output: Output) -> None:
    """The plan thing by thing, while it can be read.

    It is told in the middle of the run, which a reader who has had enough must not end.
    """
    with suppress(BrokenPipeError):
        for rows in history.iter_changes():
            for _, _, kind, action, scaikey_id, name, fields, reason in rows:
                what = f"{reason}: {fields.replace(',', ', ')}" if fields else reason
                output.print_line(f"{action:<10}  {kind:<12}  {name or scaikey_id} ({what})")
        output.stdout.flush()


def format_summary(report: SyncReport) -> str:
    cost = f"{report.requests:,} requests, {report.duration_seconds:.1f} s."
    if report.outcome in ("applied", "planned") and not report.changed:
        held = sum(counts.held for counts in report.kinds.values())
        same = "what is not held back" if held else "everything"
        return f"Nothing to change: {same} is as in ScaiKey. {cost}"
    changes = f"{report.changed:,} change{'' if report.changed == 1 else 's'}"
    return f"{_SUMMARIES[report.outcome].format(changes)}; {cost}"
