"""Template filters of the admin site."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from scaiwave.console.output import format_bytes
from scaiwave.site.acts import ActLink
from scaiwave.site.formatting import TONE_WORDS, Tone, clean_text, format_time, value_text

register = template.Library()
register.filter("time_cell", format_time)
register.filter("bytes", format_bytes)
register.filter("clean_text", clean_text)
register.filter("value_text", value_text)


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.filter
def tone_word(tone: str) -> str:
    return TONE_WORDS.get(Tone(tone), "")


@register.filter
def parse_time(text: str) -> datetime:
    """Read a time of the stored overview."""
    return datetime.fromisoformat(text)


@register.filter
def with_code(text: str) -> SafeString:
    """Mark commands, which stand between backticks, as code. HTML stays as it is."""
    if isinstance(text, SafeString):
        return text
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # A backtick without its pair, so none is meant as one.
        return format_html("{}", text)
    marked: list[str] = [
        format_html("<code>{}</code>" if number % 2 else "{}", part)
        for number, part in enumerate(parts)
    ]
    # Dates stay in one line: browsers break them at their hyphens.
    marked[::2] = [_DATE.sub(r'<span class="nowrap">\g<0></span>', text) for text in marked[::2]]
    return SafeString("".join(marked))


_DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?(?: UTC)?)?")


@register.filter
def with_primary(acts: Sequence[ActLink]) -> tuple[ActLink | None, list[ActLink]]:
    """Return the act to show first, which destroys nothing, and the others, such ones last."""
    ordered = sorted(acts, key=lambda act: (act.is_destructive, act.is_rare))
    if ordered and not ordered[0].is_destructive:
        return ordered[0], ordered[1:]
    return None, ordered


@register.filter
def zipped(cells: Iterable[object], titles: Iterable[str]) -> Iterator[tuple[object, str]]:
    """Pair the cells of a row with the titles of their columns; without titles with nothing."""
    cells = list(cells)
    return zip(cells, [*titles, *[""] * len(cells)], strict=False)


@register.filter
def with_numbers(
    headers: Sequence[dict[str, object]], changelist: Any
) -> Sequence[dict[str, object]]:
    """Mark the headers of the columns of numbers, which are aligned to the right."""
    is_number = changelist.model_admin.is_number_column
    for column, header in zip(changelist.list_display, headers, strict=True):
        header["is_number"] = is_number(str(getattr(column, "field_name", column)))
    return headers


@register.filter
def labelled(cells: Iterable[str], headers: Sequence[dict[str, object]]) -> Iterator[SafeString]:
    """Yield the cells of a row with the titles of their columns.

    A narrow screen shows each row as a card, where the title stands before the value.
    """
    for cell, header in zip(cells, headers, strict=True):
        tag = str(cell)[:3]  # <td or <th; Django has built the cell
        label = format_html('{} data-label="{}"', mark_safe(tag), capfirst(str(header["text"])))  # noqa: S308
        label += mark_safe(" data-number" if header.get("is_number") else "")  # noqa: S308
        yield mark_safe(label + str(cell)[3:])  # noqa: S308
