"""Text that several commands print."""

from __future__ import annotations

from shutil import get_terminal_size

from scaiwave.console.columns import Column
from scaiwave.console.output import Output, is_terminal
from scaiwave.operations.doctor.findings import format_advice
from scaiwave.operations.doctor.runner import HealthReport

COLUMNS = (
    Column(
        "state",
        "State",
        styles={"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"},
    ),
    Column("check", "Check"),
    Column("message", "Finding"),
)


def print_health_report(output: Output, report: HealthReport) -> None:
    output.print_table("checks", COLUMNS, [item.document() for item in report.findings])
    columns = get_terminal_size().columns if is_terminal(output.stdout) else None
    for line in format_advice(report.findings, columns=columns):
        output.print_line(line)
    output.print_line()
    output.print_line(report.summary)
