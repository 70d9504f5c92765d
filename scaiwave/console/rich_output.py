"""Tables and progress bars at a terminal; imports rich, so it is imported only to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from scaiwave.console.columns import Column


_UNLIMITED_WIDTH = 100_000


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
    _get_console(stream).print(Text.assemble(*parts), soft_wrap=True)


def print_rich_table(columns: Sequence[Column], cells: list[list[str]], stream: IO[str]) -> None:
    console = Console(file=stream, markup=False, highlight=False)
    shown = list(range(len(columns)))
    while (
        optional := next((at for at in reversed(shown) if columns[at].optional), None)
    ) is not None:
        unlimited = console.options.update(width=_UNLIMITED_WIDTH)
        table = _build_table(columns, cells, shown)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
        shown.remove(optional)
    console.print(_build_table(columns, cells, shown))
    if missing := [column.title for at, column in enumerate(columns) if at not in shown]:
        console.print(f"A wider terminal also shows: {', '.join(missing)}.", style="dim")


def _build_table(columns: Sequence[Column], cells: list[list[str]], shown: list[int]) -> Table:
    # Two spaces between columns: a report of a sync fits into 80 characters.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in (columns[at] for at in shown):
        # A number that continues in the next line looks like two.
        no_wrap = column.no_wrap or column.is_number
        table.add_column(
            Text(column.title),
            justify="right" if column.is_number else "left",
            overflow="ellipsis" if no_wrap else "fold",
            no_wrap=no_wrap,
        )
    for line in cells:
        table.add_row(*(Text(line[at], columns[at].styles.get(line[at], "")) for at in shown))
    return table
