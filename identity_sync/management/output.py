"""Texts about runs, their changes and webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from itertools import groupby

from identity_sync.encoding import encode_values
from identity_sync.errors import SyncStopped
from identity_sync.report import KINDS, KindCounts, SyncReport, format_losses
from identity_sync.reports.webhooks import WebhooksRow
from identity_sync.sync.record.changes import PlannedChange, iter_all_changes
from scaiwave.console.columns import Column, ColumnType, Part, Row, columns_of
from scaiwave.console.output import Output
from scaiwave.console.text import pluralize
from tenants.management.output import format_values

_NUMBERS = [field.name for field in fields(KindCounts)]
_KINDS = [
    Column("kind", "Kind", part=Part.NAME),
    *(Column(name, name.title(), ColumnType.COUNT) for name in _NUMBERS),
]
_FACTS = (
    Column("run_id", "ID"),
    *columns_of("started_at", "ended_at", kind=ColumnType.TIME),
    *columns_of("duration", "trigger", "tenant", "operator", "outcome", "changes"),
    Column("losses", "Losses of access"),
    Column("requests", "Requests"),
)
_PLAN = (
    Column("plan_run_id", "Applied the plan of"),
    Column("applied_by_run_id", "Plan applied by"),
)
_ERROR = (Column("error_message", "Error"), Column("error_fix", "Fix"))
CHANGES = ("added", "updated", "deactivated", "restored", "skipped")

_SUMMARIES = {
    "applied": "Applied {}",
    "planned": "Dry run: planned {}; none were applied",
    "refused": "Refused {}; none were applied",
    "partial": "Applied {}; some changes were skipped",
}
_STYLES = {
    "add": "green",
    "restore": "green",
    "update": "yellow",
    "deactivate": "red",
    "move": "red",
    "skipped": "dim",
}
_NOT_WRITTEN = ("planned", "refused")


def format_outcome(run: Row) -> str:
    """`failed dry run`; a planned run is always a dry run."""
    is_told = run["dry_run"] and run["outcome"] != "planned"
    return f"{run['outcome']} dry run" if is_told else str(run["outcome"])


def format_change_count(run: Row) -> str:
    """Return how many changes were made; a plan that was not applied is named as such."""
    if run["change_count"] is None:
        return "hidden"
    if run["outcome"] not in _NOT_WRITTEN or not run["planned_count"]:
        return f"{run['change_count']:,}"
    return f"0 ({run['planned_count']:,} {run['outcome']})"


def format_run_changes(run: Row) -> str:
    """Format the counts of a run; a plan that was not applied is named as such."""
    changes = list_changes(run["kinds"] or {})
    if run["outcome"] not in _NOT_WRITTEN or not changes:
        return "hidden" if run["kinds"] is None else changes or "nothing"
    return f"nothing ({run['outcome']}: {changes})"


def format_duration(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


def list_changes(kinds: dict[str, dict[str, int]]) -> str:
    """Format counts as `2 added, 1 deactivated`; empty if there are none."""
    totals = {name: sum(kind.get(name, 0) for kind in kinds.values()) for name in CHANGES}
    return ", ".join(f"{count:,} {name}" for name, count in totals.items() if count)


def format_age(seconds: int | None) -> str:
    return "never" if seconds is None else f"{format_span(seconds)} ago"


def format_span(seconds: int) -> str:
    """Format a number of seconds as `5 min`, in the largest unit that fits, rounded down."""
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def format_webhooks(webhooks: WebhooksRow | None) -> str | None:
    """`last delivery 5 min ago; 2 waiting for 3 s; 1 failed (SW_UPSTREAM_UNREACHABLE)`."""
    if webhooks is None:
        return None
    if not webhooks["configured"] and webhooks["last_delivery_at"] is None:
        return "not configured"
    age = webhooks["last_delivery_age_seconds"]
    parts = ["no delivery yet" if age is None else f"last delivery {format_age(age)}"]
    if not webhooks["configured"]:
        parts.insert(0, "no longer configured")
    if webhooks["waiting"]:
        parts.append(f"{webhooks['waiting']:,} waiting for {webhooks['lag_seconds']:,} s")
    elif webhooks["last_handled_seconds"] is not None:
        parts.append(f"handled in {webhooks['last_handled_seconds']:.1f} s")
    if (failure := webhooks["last_failure"]) is not None:
        code = failure["error"]["code"]
        parts.append(f"{webhooks['failed']:,} failed ({code}), left to the next full sync")
    return "; ".join(parts)


def format_summary(report: SyncReport) -> str:
    cost = f"{pluralize(report.requests, 'request')}, {report.duration_seconds:.1f} s."
    skipped = sum(counts.skipped for counts in report.kinds.values())
    if report.outcome in ("applied", "planned") and not report.change_count:
        rest = f", except for {skipped:,} skipped" if skipped else ""
        return f"Already up to date with ScaiKey{rest}. {cost}"
    number = report.change_count + (skipped if report.outcome == "refused" else 0)
    return f"{_SUMMARIES[report.outcome].format(pluralize(number, 'change'))}; {cost}"


def print_sync(sync: Callable[[], SyncReport], print_report: Callable[[SyncReport], None]) -> None:
    """Print the report of a sync. If the sync was stopped, print it too, and raise the error."""
    try:
        report = sync()
    except SyncStopped as stopped:
        print_report(stopped.report)
        raise
    print_report(report)


def print_report(output: Output, report: SyncReport) -> None:
    """Print JSON, or warnings, a table and a summary.

    With --quiet, a sync that was applied prints no warnings, since a schedule would print the same
    ones every time. They are recorded with the run, and `doctor` reports them.
    """
    if output.as_json:
        output.print_json(report.document())
        return
    if report.plan is not None and report.plan["applied_at"] is not None:
        output.print_line(
            f"This plan was applied on {report.plan['applied_at']:%Y-%m-%d %H:%M} UTC by run "
            f"{report.run_id}. No changes were made."
        )
        return
    is_quiet = output.quiet and report.outcome == "applied"
    for warning in () if is_quiet else report.warnings:
        output.warn(warning)
    print_kinds(output, report.counts())
    if report.has_losses:
        output.print_line(f"Losses of access: {format_losses(report.losses)}.")
    if report.off_count:
        output.print_line(
            f"Skipped {pluralize(report.off_count, 'loss', 'losses')} of access: removals are "
            "turned off."
        )
    output.print_line(format_summary(report))
    if report.purge is None:
        return
    if report.outcome == "planned":
        output.print_line(f"Would purge {pluralize(report.purge['due'], 'person', 'people')}.")
    else:
        output.print_line(f"{pluralize(report.purge['purged'], 'person', 'people')} purged.")
    if on_hold := report.purge["on_hold"]:
        output.warn(f"Not purged because of a hold: {pluralize(on_hold, 'person', 'people')}.")


def print_kinds(output: Output, counts: Mapping[str, Mapping[str, int]]) -> None:
    rows = [{"kind": kind, **counts[kind]} for kind in KINDS if kind in counts]
    output.print_table("kinds", _KINDS, rows)


def print_run(output: Output, run: Row) -> None:
    """Print the warnings of a run of the history, its facts and its counts."""
    for warning in run["warnings"] or ():
        output.warn(warning)
    error = run["error"] or {}
    hidden = "hidden" if run["kinds"] is None else None  # See describe_run.
    facts = {
        **run,
        "operator": run["operator"] or hidden,
        "outcome": format_outcome(run),
        "changes": format_change_count(run),
        "duration": format_duration(run["duration_seconds"]),
        "losses": format_losses(run["losses"] or {}) or hidden,
        "requests": hidden or f"{run['requests']:,}",
        "error_message": f"{error.get('message') or hidden or ''} [{error.get('code')}]".strip(),
        "error_fix": error.get("fix") or hidden,
    }
    plan = (column for column in _PLAN if run[column.key])
    output.print_record([*_FACTS, *plan, *(_ERROR if error else ())], facts)
    if run["kinds"]:
        output.print_line()
        if run["outcome"] in _NOT_WRITTEN:
            output.print_line("Nothing was changed. These are the counts of the plan:")
        print_kinds(output, run["kinds"])
    output.print_line()


def print_plan(output: Output, *, with_values: bool) -> None:
    """Print the plan, one change a line, by tenant and kind.

    `with_values` is for plans that are not applied yet. This happens in the middle of the run,
    which a closed pipe must not end.
    """
    with suppress(BrokenPipeError):
        for tenant, of_tenant in groupby(iter_all_changes(), key=lambda change: change.tenant):
            output.print_styled(("Partners" if tenant is None else f"Tenant {tenant}", "bold"))
            for kind, changes in groupby(of_tenant, key=lambda change: change.kind):
                output.print_styled((f"  {kind}", "bold"))
                for change in changes:
                    output.print_styled(*_format_change(change, with_values=with_values))
        output.stdout.flush()


def _format_change(change: PlannedChange, *, with_values: bool) -> list[tuple[str, str]]:
    style = _STYLES[change.action]
    detail = format_values(
        change.fields, encode_values(change.values, change.fields) if with_values else None
    )
    return [
        (f"    {change.action:<10}  ", style),
        (change.subject_name or change.subject_scaikey_id, ""),
        (f": {detail}" if detail else "", ""),
        (f" ({change.reason})", "dim"),
    ]
