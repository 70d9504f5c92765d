from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from shutil import get_terminal_size
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column
from scaiwave.console.output import is_terminal
from scaiwave.doctor.findings import Finding
from scaiwave.doctor.runner import run_checks

COLUMNS = (
    Column("state", "State"),
    Column("check", "Check"),
    Column("message", "What was found"),
)

# A command is there to be copied, so that no line ends within one.
_WORD = re.compile(r"(?:`[^`]*`|\S)+")


class Command(OperatorCommand):
    help = (
        "Check this server, and say how to mend what is wrong.\n\n"
        "The exit code is that of the first check that failed, 0 if none did: a warning is no\n"
        "failure. What killed imports left behind is removed; nothing else is changed."
    )
    changes = True

    def handle(self, **options: Any) -> None:
        found = run_checks(
            operator=self.operator,
            config=settings.CONFIG,
            now=timezone.now(),
            dry_run=options["dry_run"],
        )
        if self.output.as_json:
            self.output.print_json(found.document())
        else:
            self.output.print_table("checks", COLUMNS, [item.document() for item in found.findings])
            terminal = is_terminal(self.output.stdout)
            columns = get_terminal_size().columns if terminal else None
            for line in format_advice(found.findings, columns=columns):
                self.output.print_line(line)
            self.output.print_line()
            self.output.print_line(found.sentence)
        if found.exit_code:
            raise SystemExit(found.exit_code)


def format_advice(findings: Iterable[Finding], *, columns: int | None) -> Iterator[str]:
    """The fix of each finding that has one; folded between words at a terminal of so many
    columns, and in one line where there is none."""
    for finding in findings:
        if finding.fix:
            text = f"  {finding.check}: {finding.fix}"
            yield from [text] if columns is None else _fold(text, columns)


def _fold(text: str, columns: int) -> Iterator[str]:
    line = " "
    for word in _WORD.findall(text):
        if len(line) + 1 + len(word) > columns and line.strip():
            yield line
            line = "   "
        line += f" {word}"
    yield line
