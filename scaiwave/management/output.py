"""Arguments and output of several commands."""

from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument
from scaiwave.console.columns import Column, Part
from scaiwave.console.output import Output
from scaiwave.operations.doctor.findings import format_advice
from scaiwave.operations.doctor.runner import HealthReport

COLUMNS = (
    Column(
        "state",
        "State",
        part=Part.STATUS,
        styles={"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"},
    ),
    Column("check", "Check", part=Part.NAME),
    Column("message", "Finding", part=Part.ERROR),
)


class JobArguments(Arguments):
    job_id: str = argument("job ID, as `jobs list` shows it", metavar="job")


def print_health_report(output: Output, report: HealthReport) -> None:
    output.print_table("checks", COLUMNS, [item.document() for item in report.findings])
    for line in format_advice(report.findings):
        output.print_line(line)
    output.print_line()
    output.print_line(report.summary)
