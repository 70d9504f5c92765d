"""The output of commands: tables at terminals, plain columns in pipes, JSON and CSV for programs.

Results go to stdout, messages to stderr. With --json, stdout is one document and nothing else.
Lists are printed while their rows are read. The first row is read before anything is printed, so
that an error leaves stdout empty.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from enum import Enum
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scaiwave.console.columns import EMPTY_CELL, Column, ColumnType, Row
from scaiwave.console.text import display_width, get_width, is_terminal, wrap_words
from scaiwave.core.errors import ScaiWaveError, SettingInvalid

MAX_MEASURED_ROWS = 1000
"""Rows that decide the width of plain columns; longer cells of later rows are not aligned."""
FORMULA_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a text that begins with one of them, or its wide form, for a formula."""
PROGRESS_INTERVAL_SECONDS = 10.0
"""Between two lines of progress without a terminal."""

# Control characters, line and paragraph separators, invisible marks, the controls of writing
# direction, halves of characters. The joiners U+200C and U+200D stay: Persian, Hindi and emoji
# need them, and they control nothing.
_CONTROL_CHARS = (
    "\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_TERMINAL_CONTROLS = re.compile(f"[\x00-\x1f{_CONTROL_CHARS}]")
# The part of it that JSON does not escape itself.
_JSON_CONTROLS = re.compile(f"[{_CONTROL_CHARS}]")

# Spreadsheets of many languages split lines at semicolons, also within quotes in the middle of a
# line, so that the text after one is a cell.
_FORMULA_AFTER_SEMICOLON = re.compile(rf';(?=[\s"]*[{re.escape("".join(FORMULA_SIGNS))}])')


def strip_control_chars(text: str) -> str:
    """Replace characters that could control a terminal; names are untrusted."""
    if text.isprintable():  # which excludes all of them, and is much faster than the pattern
        return text
    return _TERMINAL_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def remove_control_chars(text: str) -> str:
    """Remove the characters that `strip_control_chars` replaces, for names that are stored."""
    return text if text.isprintable() else _TERMINAL_CONTROLS.sub("", text)


def format_bytes(count: int) -> str:
    """Format a number of bytes in binary units, as '1.5 KiB'."""
    if count < 1024:
        return f"{count} B"
    size = count / 1024
    units = ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1023.95 and len(units) > 1:  # 1023.95 would be written as 1024.0
        size /= 1024
        units.pop(0)
    return f"{size:,.1f} {units[0]}"


def get_timezone(name: str) -> tzinfo:
    """Return the time zone of this name, or the host's if the name is empty.

    Call it before Django sets TZ for the whole process. Raises SettingInvalid.
    """
    try:
        return ZoneInfo(name) if name else _get_system_timezone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingInvalid(
            f"Time zone not found: {name}.",
            fix="Set SCAIWAVE_TIME_ZONE to a name such as Europe/Amsterdam.",
        ) from None


def _get_system_timezone() -> tzinfo:
    """Find it as the C library does: TZ, then /etc/localtime, else UTC."""
    try:
        if name := os.environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def json_default(value: object) -> object:
    """Encode UUIDs as text, times as ISO 8601 in UTC, and enums as their values."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(document: object, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """Encode as JSON, with characters escaped that could control a terminal."""
    text = json.dumps(document, default=json_default, ensure_ascii=ascii_only, indent=indent)
    return _JSON_CONTROLS.sub(lambda match: json.dumps(match.group())[1:-1], text)


def to_text(value: object) -> str:
    """Return a text as it is, and any other value as JSON in one line."""
    return value if isinstance(value, str) else to_json(value, indent=None)


class Output:
    """The output of one command: results to stdout, messages to stderr."""

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

    def print_table(
        self,
        plural: str,
        columns: Sequence[Column],
        rows: Iterable[Row],
        *,
        load_rest: Callable[[], Mapping[str, object]] = dict,
        sort: str = "",
    ) -> None:
        """Print rows as a table, or as {plural: [...]} with every key a row has.

        Only a table at a terminal holds all rows. `load_rest` is called after the last row and
        returns further keys of the JSON document. The rows are sorted by the column of `sort`.
        """
        iterator = iter(rows)
        first = list(islice(iterator, 1))
        if self.as_json:
            for text in format_json_list(
                plural, chain(first, iterator), load_rest, ascii_only=self._is_ascii_only
            ):
                self.stdout.write(text)
        elif not first:
            self.log(f"No {plural.replace('_', ' ')}.")
        else:
            self._print_cells(columns, chain(first, iterator), sort)

    def print_csv(self, keys: Sequence[str], rows: Iterable[Row]) -> None:
        """Print the lines of `format_csv_lines`."""
        for line in format_csv_lines(keys, rows):
            self.stdout.write(line)

    def print_json_lines(self, rows: Iterable[Row]) -> None:
        """Print each row as one line of JSON, as soon as it is read."""
        for row in rows:
            self.stdout.write(to_json(row, indent=None) + "\n")

    def print_record(self, columns: Sequence[Column], row: Row) -> None:
        """Print one object as lines of name and value, or as a JSON object."""
        if self.as_json:
            self.print_json(row)
            return
        width = max(len(column.title) for column in columns)
        for column in columns:
            value = self._format_cell(row.get(column.key), column.kind)
            self.print_line(f"{column.title:<{width}}  {value}", indent=width + 2)

    def print_json(self, document: object) -> None:
        """Print a JSON document in UTF-8, or in ASCII if the stream has another encoding."""
        self.stdout.write(to_json(document, ascii_only=self._is_ascii_only) + "\n")

    @property
    def _is_ascii_only(self) -> bool:
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        return encoding.lower().replace("-", "") != "utf8"

    def print_line(self, text: str = "", *, indent: int | None = None) -> None:
        """Print a line of the result, broken between words. With --json only the document is."""
        if not self.as_json:
            line = strip_control_chars(text).rstrip()
            self.stdout.write(wrap_words(line, get_width(self.stdout), indent=indent) + "\n")

    def print_styled(self, *parts: tuple[str, str]) -> None:
        """Print a line of the result from (text, style) pairs; styles are for terminals only.

        The styles are rich's, such as `bold` or `red`. NO_COLOR leaves out the colours.
        """
        text = "".join(part for part, _ in parts)
        if self.as_json or not is_terminal(self.stdout):
            self.print_line(text)
            return
        from scaiwave.console.rich_output import print_rich_line

        print_rich_line([(strip_control_chars(part), style) for part, style in parts], self.stdout)

    def log(self, text: str) -> None:
        """Print a message to stderr, unless --quiet or --json is given."""
        if not (self.quiet or self.as_json):
            self._write_message(text)

    def warn(self, text: str) -> None:
        """Print a warning to stderr, also with --quiet, but not with --json."""
        if not self.as_json:
            self._write_message(f"Warning: {text}")

    def prompt(self, question: str) -> None:
        self._write_message(question, end=" ")

    def print_error(self, error: ScaiWaveError) -> None:
        if self.as_json:
            body = {"code": error.code, "message": error.message, "fix": error.fix}
            self._write_stderr(to_json({"error": body}, indent=None) + "\n")
            return
        self._write_message(f"Error: {error.message} [{error.code}]")
        if error.fix:
            self._write_message(f"  Fix: {error.fix}")

    def _write_message(self, text: str, *, end: str = "\n") -> None:
        width = get_width(self.stderr)
        self._write_stderr(wrap_words(strip_control_chars(text), width) + end)

    def _write_stderr(self, text: str) -> None:
        """Ignore a closed stderr; keep working."""
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except BrokenPipeError:
            self.quiet = True

    @contextmanager
    def progress(
        self, label: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> Iterator[Callable[[int, int | None], None]]:
        """Yield a function to call with (done, total or None), in items or in bytes.

        At a terminal it draws a bar; elsewhere, with -v 2, it prints a line from time to time.
        """
        if self.quiet or self.as_json or not (self.verbose or is_terminal(self.stderr)):
            yield lambda done, total: None
        elif not is_terminal(self.stderr):
            yield self._progress_lines(label, kind)
        else:
            # Imported only to draw, since it is slow.
            from scaiwave.console.rich_output import progress_bar

            with progress_bar(label, partial(self._format_cell, kind=kind), self.stderr) as advance:
                yield advance

    def _progress_lines(self, label: str, kind: ColumnType) -> Callable[[int, int | None], None]:
        started = last = time.monotonic()
        amount = partial(self._format_cell, kind=kind)

        def advance(done: int, total: int | None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_INTERVAL_SECONDS:
                last = now
                of_total = "" if total is None else f" of {amount(total)}"
                rate = amount(round(done / (now - started)))
                self.log(f"{label}: {amount(done)}{of_total}, {rate}/s")

        return advance

    def _format_cell(self, value: Any, kind: ColumnType) -> str:
        if value is None or value == "":
            return EMPTY_CELL
        if isinstance(value, datetime):
            try:
                local = value.astimezone(self.zone)
            except OverflowError:  # In that zone its year would be 0 or 10000.
                local = value.astimezone(UTC)
            return f"{local.replace(tzinfo=None).isoformat(' ', 'seconds')} {local.tzname()}"
        if isinstance(value, list | tuple):
            return ", ".join(strip_control_chars(str(part)) for part in value) or EMPTY_CELL
        if isinstance(value, str):  # Possible in a column of numbers too.
            return strip_control_chars(value)
        match kind:
            case ColumnType.BYTES:
                return format_bytes(value)
            case ColumnType.COUNT:
                return f"{value:,}"
            case ColumnType.FLAG:
                return "yes" if value else "no"
        return strip_control_chars(str(value))

    def _print_cells(self, columns: Sequence[Column], rows: Iterable[Row], sort: str) -> None:
        cells = (
            [self._format_cell(row.get(column.key), column.kind) for column in columns]
            for row in rows
        )
        if is_terminal(self.stdout):
            from scaiwave.console.rich_output import print_rich_table

            print_rich_table(columns, list(cells), self.stdout, sort=sort)
        else:
            measured = [[column.title for column in columns], *islice(cells, MAX_MEASURED_ROWS)]
            widths = [
                max(display_width(line[index]) for line in measured)
                for index in range(len(columns))
            ]
            for line in chain(measured, cells):
                padded = (
                    _pad(cell, width, right=column.is_number)
                    for cell, width, column in zip(line, widths, columns, strict=True)
                )
                self.stdout.write("  ".join(padded).rstrip() + "\n")


def format_csv_lines(keys: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield a header of these keys, then a line for each row.

    `partner.slug` is the slug of the partner; its header is `partner_slug`. Lists are joined by
    a space, and other objects are JSON. Texts that a spreadsheet would take for a formula
    begin with an apostrophe, also after a semicolon. Cells with a semicolon are quoted.
    """
    iterator = iter(rows)
    first = list(islice(iterator, 1))  # An error before the first row leaves nothing behind.
    yield format_csv_line([key.replace(".", "_") for key in keys])
    is_flat = not any("." in key for key in keys)
    for row in chain(first, iterator):
        yield format_csv_line([row[key] if is_flat else _look_up(row, key) for key in keys])


def format_csv_line(values: Iterable[object]) -> str:
    """Return what `csv.writer` would, which doesn't quote semicolons."""
    line = ",".join(["" if value is None else format_csv_cell(value) for value in values])
    return (line or '""') + "\n"


def format_csv_cell(value: object) -> str:
    cell = _format_csv_text(value) if type(value) is str else _format_csv_value(value)
    if "," not in cell and '"' not in cell and ";" not in cell:  # it has no line breaks
        return cell
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'


def format_json_list(
    plural: str,
    rows: Iterable[Row],
    load_rest: Callable[[], Mapping[str, object]] = dict,
    *,
    ascii_only: bool = False,
) -> Iterator[str]:
    """Yield the parts of the document {plural: [rows], …}, as `to_json` formats the whole."""
    before = after = ""
    opening = f"{{\n  {to_json(plural)}: ["
    for row in rows:
        text = to_json(row, ascii_only=ascii_only).replace("\n", "\n    ")
        yield f"{opening}{before}\n    {text}"
        opening, before, after = "", ",", "\n  "
    yield f"{opening}{after}]"
    for key, value in load_rest().items():
        text = to_json(value, ascii_only=ascii_only).replace("\n", "\n  ")
        yield f",\n  {to_json(key)}: {text}"
    yield "\n}\n"


def _look_up(row: Row, key: str) -> object:
    """Return the value of a key such as `partner.slug`; None if there is no partner."""
    value: Any = row
    for part in key.split("."):
        value = None if value is None else value[part]
    return value


def _format_csv_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | UUID):
        return str(value)
    if isinstance(value, datetime):
        return str(json_default(value))
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, list | tuple):
        value = " ".join(map(to_text, value))
    elif isinstance(value, Mapping):
        value = to_json(value, indent=None)
    return _format_csv_text(str(value))


def _format_csv_text(text: str) -> str:
    text = strip_control_chars(text)
    if ";" in text:
        text = _FORMULA_AFTER_SEMICOLON.sub(";'", text)
    # Spreadsheets skip spaces before a formula.
    return f"'{text}" if text.lstrip().startswith(FORMULA_SIGNS) else text


def _pad(cell: str, width: int, *, right: bool) -> str:
    gap = " " * (width - display_width(cell))
    return gap + cell if right else cell + gap


def make_standard_output(*, as_json: bool = False, quiet: bool = False) -> Output:
    """Return the output for errors outside of a command."""
    return Output(sys.stdout, sys.stderr, as_json=as_json, quiet=quiet)
