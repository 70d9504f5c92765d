"""Tables and progress bars at a terminal; imports rich, so it is imported only to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO

from rich import box
from rich.console import Console, JustifyMethod
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from scaiwave.console.columns import EMPTY_CELL, Column
from scaiwave.console.fitting import GAP, fit_columns, is_empty
from scaiwave.console.text import wrap_words


@contextmanager
def progress_bar(
    label: str, format_amount: Callable[[int], str], stream: IO[str]
) -> Iterator[Callable[[int, int | None], None]]:
    """Draw a bar with rate and time left, which disappears at the end."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream, markup=False),
        transient=True,
    )
    with bars:
        task = bars.add_task(label, total=None, amount="", rate="")

        def advance(done: int, total: int | None) -> None:
            speed = bars.tasks[0].finished_speed or bars.tasks[0].speed
            bars.update(
                task,
                completed=done,
                total=total,
                amount=format_amount(done)
                if total is None
                else f"{format_amount(done)}/{format_amount(total)}",
                rate=f"{format_amount(round(speed))}/s" if speed else "",
            )

        yield advance


@lru_cache(maxsize=1)
def _get_console(stream: IO[str]) -> Console:
    """Return the same console for all lines: creating one takes longer than printing a line."""
    return Console(file=stream, markup=False, highlight=False)


def print_rich_line(parts: Sequence[tuple[str, str]], stream: IO[str]) -> None:
    _get_console(stream).print(Text.assemble(*parts), overflow="ignore")


def print_rich_table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], stream: IO[str], *, sort: str = ""
) -> None:
    """Print the columns that fit, or each row as lines if names and states don't."""
    console = Console(file=stream, markup=False, highlight=False)
    widths = fit_columns(columns, cells, console.width, sort)
    if widths is None:
        _print_blocks(columns, cells, console)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for at, width in widths.items():
        justify: JustifyMethod = "right" if columns[at].is_number else "left"
        table.add_column(Text(columns[at].title), justify=justify, overflow="fold", width=width)
    for line in cells:
        table.add_row(*(Text(line[at], columns[at].styles.get(line[at], "")) for at in widths))
    console.print(table)
    missing = [
        column.title + (" (empty)" if is_empty(cells, at) else "")
        for at, column in enumerate(columns)
        if at not in widths
    ]
    if missing:
        note = f"A wider terminal also shows: {', '.join(missing)}."
        console.print(wrap_words(note, console.width), style="dim")


def _print_blocks(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], console: Console
) -> None:
    """Print a line for each value of a row, and an empty line after it."""
    indent = max(len(column.title) for column in columns) + GAP
    for line in cells:
        for column, cell in zip(columns, line, strict=True):
            if cell != EMPTY_CELL:
                text = wrap_words(f"{column.title:<{indent}}{cell}", console.width, indent=indent)
                console.print(text, soft_wrap=True)
        console.print()
