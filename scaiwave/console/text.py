"""Format texts for people."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from shlex import quote
from typing import IO


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 room`, `2,000 rooms`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


MAX_QUOTED_CHARS = 200
"""Longest part of what someone else wrote that a message repeats."""


def shorten(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Shorten a text to so many characters, the last one an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


_LONG_RUN = re.compile(rf"\S{{{MAX_QUOTED_CHARS + 1},}}")


def shorten_input(text: str, arguments: Iterable[str]) -> str:
    """Shorten repeated parts of the command line, and any other text without a space."""
    for argument in arguments:
        if len(argument) > MAX_QUOTED_CHARS:
            for part in _iter_quotable(argument):
                text = text.replace(part, shorten(part))
    return _LONG_RUN.sub(lambda match: shorten(match.group()), text)


def _iter_quotable(argument: str) -> list[str]:
    """Return the parts of an argument that a message may quote, longest first."""
    values = {argument, *argument.split(","), argument.partition("=")[2]}
    values |= {value.strip() for value in values} | {value.lower() for value in values}
    forms = values | {repr(value)[1:-1] for value in values} | set(map(quote, values))
    return sorted((form for form in forms if len(form) > MAX_QUOTED_CHARS), key=len, reverse=True)


def join_examples(examples: list[str], total: int) -> str:
    """Join examples of `total` things: `a, b and 3 more`."""
    suffix = f" and {total - len(examples):,} more" if total > len(examples) else ""
    return ", ".join(examples) + suffix


# Commands are not broken, so that they can be copied.
_WORD = re.compile(r"(\s*)((?:`[^`]*`|\S)+)")


def wrap_words(text: str, width: int | None, *, indent: int | None = None) -> str:
    """Break a line between words, where a terminal of this width would break a word.

    The next lines are indented: if `indent` is None, to the last column of the line, or by two
    characters more than the first. A word that is longer than a line stays whole.
    """
    if width is None or display_width(text) <= width:
        return text
    if indent is None:
        column = min(text.rfind("  ") + 2, width // 2)
        indent = max(len(text) - len(text.lstrip()) + 2, column)
    wrapped, at = "", 0
    for space, word in _WORD.findall(text):
        at += display_width(space + word)
        if at > width and wrapped:
            wrapped, at = f"{wrapped}\n{' ' * indent}{word}", indent + display_width(word)
        else:
            wrapped += space + word
    return wrapped


def is_terminal(stream: IO[str] | None) -> bool:
    """Return whether someone can be asked there. Python has None for a stream that is closed."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def get_width(stream: IO[str]) -> int | None:
    """Return the columns of a terminal, which COLUMNS overrides; None for any other stream."""
    if not is_terminal(stream):
        return None
    columns = os.environ.get("COLUMNS", "")
    chosen = int(columns) if columns.isdecimal() else 0
    return chosen or os.get_terminal_size(stream.fileno()).columns or 80


def display_width(text: str) -> int:
    """Return the columns of a text at a terminal: wide characters take two, marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
