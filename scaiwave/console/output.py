"""Rows in, text out: tables for people, plain columns for pipes, JSON for programs.

stdout is the answer, stderr the talk. With JSON, stdout is one document and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from enum import Enum
from functools import partial
from pathlib import Path
from typing import IO, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scaiwave.console.columns import Column, ColumnType, Row
from scaiwave.errors import ScaiWaveError, SettingInvalid

EMPTY_CELL = "-"
PROGRESS_INTERVAL_SECONDS = 10.0
"""Seconds between two lines of progress where nothing can be drawn."""

# Control characters, line and paragraph separators, invisible marks, the controls of writing
# direction, halves of characters. The joiners U+200C and U+200D stay: Persian, Hindi and emoji
# need them, and they steer nothing.
_CONTROL_CHARS = (
    "\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_TERMINAL_CONTROLS = re.compile(f"[\x00-\x1f{_CONTROL_CHARS}]")
# What of it JSON does not escape by itself.
_JSON_CONTROLS = re.compile(f"[{_CONTROL_CHARS}]")


def strip_control_chars(text: str) -> str:
    """The text with what could steer a terminal replaced; names come from strangers."""
    return _TERMINAL_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def format_bytes(count: int) -> str:
    """1536 → '1.5 KiB'; binary units, as limits are given in MiB."""
    if count < 1024:
        return f"{count} B"
    size = count / 1024
    units = ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1023.95 and len(units) > 1:  # 1023.95 would be written as 1024.0
        size /= 1024
        units.pop(0)
    return f"{size:,.1f} {units[0]}"


def get_timezone(name: str) -> tzinfo:
    """The zone of the given name, or the machine's own when the name is empty.

    The name of the machine's zone is asked for before Django sets TZ for the whole process.
    """
    try:
        return ZoneInfo(name) if name else _get_system_timezone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingInvalid(
            f"There is no time zone {name}.",
            fix="Set SCAIWAVE_TIME_ZONE to a name such as Europe/Amsterdam.",
        ) from None


def _get_system_timezone() -> tzinfo:
    """As the C library finds it: TZ, then /etc/localtime; UTC where neither says anything."""
    try:
        if name := os.environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def json_default(value: Any) -> Any:
    """UUIDs as text and times as ISO 8601 in UTC; everything else as it is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(document: Any, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """JSON that is safe to print at a terminal: what could steer it is escaped."""
    text = json.dumps(document, default=json_default, ensure_ascii=ascii_only, indent=indent)
    return _JSON_CONTROLS.sub(lambda found: json.dumps(found.group())[1:-1], text)


def is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Output:
    """Where one command writes its answer and its talk."""

    def __init__(
        self,
        stdout: IO[str],
        stderr: IO[str],
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        zone: tzinfo = UTC,
    ) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.zone = zone

    def print_table(self, plural: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Print rows as a table, or as {plural: [...]} with every key a row has."""
        if self.as_json:
            self.print_json({plural: list(rows)})
        elif not rows:
            self.log(f"No {plural.replace('_', ' ')}.")
        else:
            cells = [
                [self._cell(row.get(column.key), column.kind) for column in columns] for row in rows
            ]
            self._table(columns, cells)

    def print_record(self, columns: Sequence[Column], row: Row) -> None:
        """Print one thing as lines of name and value, or as a JSON object."""
        if self.as_json:
            self.print_json(row)
            return
        width = max(len(column.title) for column in columns)
        for column in columns:
            value = self._cell(row.get(column.key), column.kind)
            self.print_line(f"{column.title:<{width}}  {value}")

    def print_json(self, document: Any) -> None:
        """JSON is UTF-8; where the stream takes something else, ASCII is right in both."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        ascii_only = encoding.lower().replace("-", "") != "utf8"
        self.stdout.write(to_json(document, ascii_only=ascii_only) + "\n")

    def print_line(self, text: str = "") -> None:
        """A line of the answer, for people; programs read the document."""
        if not self.as_json:
            self.stdout.write(strip_control_chars(text).rstrip() + "\n")

    def log(self, text: str) -> None:
        """Talk: never part of the answer, silent with --quiet and with --json."""
        if not (self.quiet or self.as_json):
            self._talk(strip_control_chars(text) + "\n")

    def warn(self, text: str) -> None:
        """A warning is said even when the talk is off, unless a program listens."""
        if not self.as_json:
            self._talk(f"Warning: {strip_control_chars(text)}\n")

    def prompt(self, question: str) -> None:
        self._talk(strip_control_chars(question))

    def print_error(self, error: ScaiWaveError) -> None:
        if self.as_json:
            body = {"code": error.code, "message": error.message, "fix": error.fix}
            self._talk(to_json({"error": body}, indent=None) + "\n")
            return
        fix = f"  Fix: {strip_control_chars(error.fix)}\n" if error.fix else ""
        self._talk(f"Error: {strip_control_chars(error.message)} [{error.code}]\n{fix}")

    def _talk(self, text: str) -> None:
        """Nobody listening to the talk is no reason to stop the work."""
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except BrokenPipeError:
            self.quiet = True

    @contextmanager
    def progress(
        self, what: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> Iterator[Callable[[int, int | None], None]]:
        """Yield a function to call with (done, total or None), in things or in bytes.

        Draws a bar at a terminal; elsewhere, with -v 2, writes a line now and then.
        """
        if self.quiet or self.as_json or not (self.verbose or is_terminal(self.stderr)):
            yield lambda done, total: None
        elif not is_terminal(self.stderr):
            yield self._progress_lines(what, kind)
        else:
            # rich is only worth its import where it draws.
            from scaiwave.console.rich_output import progress_bar

            with progress_bar(what, partial(self._cell, kind=kind), self.stderr) as advance:
                yield advance

    def _progress_lines(self, what: str, kind: ColumnType) -> Callable[[int, int | None], None]:
        began = last = time.monotonic()
        amount = partial(self._cell, kind=kind)

        def advance(done: int, total: int | None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_INTERVAL_SECONDS:
                last = now
                of_total = "" if total is None else f" of {amount(total)}"
                rate = amount(round(done / (now - began)))
                self.log(f"{what}: {amount(done)}{of_total}, {rate}/s")

        return advance

    def _cell(self, value: Any, kind: ColumnType) -> str:
        if value is None or value == "":
            return EMPTY_CELL
        if isinstance(value, datetime):
            return self._time(value)
        if isinstance(value, list | tuple):
            return ", ".join(strip_control_chars(str(part)) for part in value) or EMPTY_CELL
        if isinstance(value, str):  # Also in a column of numbers, whose alignment it keeps.
            return strip_control_chars(value)
        match kind:
            case ColumnType.BYTES:
                return format_bytes(value)
            case ColumnType.COUNT:
                return f"{value:,}"
            case ColumnType.FLAG:
                return "yes" if value else "no"
        return strip_control_chars(str(value))

    def _time(self, moment: datetime) -> str:
        try:
            local = moment.astimezone(self.zone)
        except OverflowError:  # Its year is 1 or 9999, and not the same in that zone.
            local = moment.astimezone(UTC)
        return f"{local.replace(tzinfo=None).isoformat(' ', 'seconds')} {local.tzname()}"

    def _table(self, columns: Sequence[Column], cells: list[list[str]]) -> None:
        if is_terminal(self.stdout):
            from scaiwave.console.rich_output import print_rich_table

            print_rich_table(columns, cells, self.stdout)
        else:
            self._plain_table(columns, cells)

    def _plain_table(self, columns: Sequence[Column], cells: list[list[str]]) -> None:
        lines = [[column.title for column in columns], *cells]
        widths = [
            max(display_width(line[index]) for line in lines) for index in range(len(columns))
        ]
        for line in lines:
            padded = (
                _pad(cell, to, right=column.is_number)
                for cell, to, column in zip(line, widths, columns, strict=True)
            )
            self.stdout.write("  ".join(padded).rstrip() + "\n")


def _pad(cell: str, to: int, *, right: bool) -> str:
    gap = " " * (to - display_width(cell))
    return gap + cell if right else cell + gap


def display_width(text: str) -> int:
    """Columns that a text takes at a terminal: wide characters take two, marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def make_standard_output(*, as_json: bool = False, quiet: bool = False) -> Output:
    """For what is said before, or without, a command."""
    return Output(sys.stdout, sys.stderr, as_json=as_json, quiet=quiet)
