"""Template filters of the admin site."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, strip_tags
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from scaiwave.console.output import format_bytes
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
    marked = (
        format_html("<code>{}</code>", part) if index % 2 else format_html("{}", part)
        for index, part in enumerate(parts)
    )
    return SafeString("".join(marked))


@register.filter
def zipped(cells: Iterable[Any], titles: Iterable[str]) -> Iterator[tuple[Any, str]]:
    """Pair the cells of a row with the titles of their columns; without titles with nothing."""
    cells = list(cells)
    return zip(cells, [*titles, *[""] * len(cells)], strict=False)


_NUMBER = re.compile(r"-?[\d,.]+( ([KMGTP]i)?B| s| %|%)?")


@register.filter
def with_numbers(
    headers: Sequence[dict[str, Any]], rows: Sequence[Sequence[str]]
) -> Sequence[dict[str, Any]]:
    """Mark the headers of the columns that have numbers only, which are aligned to the right."""
    for index, header in enumerate(headers):
        cells = [str(row[index]) for row in rows]
        texts = [strip_tags(cell).strip() for cell in cells if cell.startswith("<td")]
        values = [text for text in texts if text not in ("", "-")]
        header["is_number"] = bool(values) and all(map(_NUMBER.fullmatch, values))
    return headers


@register.filter
def labelled(cells: Iterable[str], headers: Sequence[dict[str, Any]]) -> Iterator[SafeString]:
    """Yield the cells of a row with the titles of their columns.

    A narrow screen shows each row as a card, where the title stands before the value.
    """
    for cell, header in zip(cells, headers, strict=True):
        tag = str(cell)[:3]  # <td or <th; Django has built the cell
        label = format_html('{} data-label="{}"', mark_safe(tag), capfirst(str(header["text"])))  # noqa: S308
        label += mark_safe(" data-number" if header.get("is_number") else "")  # noqa: S308
        yield mark_safe(label + str(cell)[3:])  # noqa: S308
