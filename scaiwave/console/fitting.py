"""Choose the columns of a table that fit a terminal, and their widths."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scaiwave.console.columns import EMPTY_CELL, Column, Part
from scaiwave.console.text import display_width

GAP = 2
"""Characters between two columns, and around all."""
MAX_WHOLE_CHARS = 32
"""A longer word of a name is broken, so that one name doesn't decide how a list looks."""
# Scripts without spaces between words break anywhere.
_WORD = re.compile("[^\\s\u2e80-\U0010ffff]+|[\u2e80-\U0010ffff]")


def fit_columns(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], limit: int, sort: str
) -> dict[int, int] | None:
    """Return the widths of the shown columns; None if even names and states do not fit.

    Empty columns and then extras make room for rows of one line each, details for whole words. A
    wide extra may have left room for a later one.
    """
    free = [at for at, column in enumerate(columns) if not sort or column.sort != sort]
    measured = [_measure(each, [line[at] for line in cells]) for at, each in enumerate(columns)]
    natural, least = zip(*measured, strict=True)
    shown = list(range(len(columns)))

    def leave_out(candidates: list[int], widths: Sequence[int]) -> None:
        for at in reversed(candidates):
            if at in shown and sum(widths[each] + GAP for each in shown) > limit:
                shown.remove(at)

    leave_out([at for at in free if is_empty(cells, at)], natural)
    extras = [at for at in free if columns[at].part is Part.EXTRA and at in shown]
    leave_out(extras, natural)
    for at in extras:
        if at not in shown and sum(natural[each] + GAP for each in (*shown, at)) <= limit:
            shown = sorted((*shown, at))
    leave_out([at for at in free if columns[at].part is Part.DETAIL], least)
    widths = {at: min(natural[at], max(limit, least[at])) for at in shown}
    while sum(widths.values()) + GAP * len(shown) > limit:
        if not (wide := [at for at in shown if widths[at] > least[at]]):
            return None
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def is_empty(cells: Sequence[Sequence[str]], at: int) -> bool:
    return all(line[at] == EMPTY_CELL for line in cells)


def _measure(column: Column, texts: Sequence[str]) -> tuple[int, int]:
    """Return the widths for one line each, and for the longest word or whole cell."""
    words = texts if column.is_whole else [word for text in texts for word in _WORD.findall(text)]
    least = max(map(display_width, (*column.title.split(), *words)))
    if column.part is Part.NAME:
        least = min(least, MAX_WHOLE_CHARS)
    return max(map(display_width, (column.title, *texts))), least
