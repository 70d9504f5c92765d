"""What several verbs show in the same way."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence

from scaiwave.console.output import Column, ColumnType, Output, Row

AUDIT = (
    Column("at", "When", ColumnType.TIME),
    Column("operator", "Who"),
    Column("action", "What"),
    Column("subject", "Of what"),
)

Section = tuple[str, Sequence[Column], Sequence[Row]]


def show_sections(output: Output, *sections: Section) -> None:
    """Tables below each other, each under its title; one without rows is left out."""
    for title, columns, rows in sections:
        if rows:
            output.print_line()
            output.print_line(title)
            output.print_table(title, columns, rows)


def positive_int(text: str) -> int:
    """For argparse: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
