"""Decode the rows of JSON files of any size, and go on after rows that can't be decoded.

Unlike `strict_json` this accepts what other programs write: duplicate keys, numbers of any length,
half of a surrogate pair, bytes that are not UTF-8. `clean_text` makes texts fit for a bundle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any

import msgspec

from rooms.bundle.format import MIB
from rooms.bundle.json_stream import JsonStream
from rooms.conversion.accounts import READ, Accounts, Place, RowKind
from rooms.conversion.source_files import FileDamaged, SourceFiles
from scaiwave.core.strict_json import StrictJSONError

MAX_ROW_BYTES = 16 * MIB
_WINDOW_BYTES = MIB
_MAX_TRIED_CUTS = 8
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BETWEEN = re.compile(rb"\s*,\s*\{")
# A bundle has no U+0000 and no half of a surrogate pair; other control characters are noise.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
UNREADABLE = "unreadable row"
_REST = "unreadable rest of a file"


def clean_text(value: object, max_chars: int | None = None) -> str:
    """Return a text without characters that a bundle can't have; empty for anything else."""
    if type(value) is not str:
        return str(value)[:max_chars] if isinstance(value, int | float) else ""
    if not value.isprintable():
        value = _UNSAFE.sub("\ufffd", value.replace("\r\n", "\n"))
    return value[:max_chars] if max_chars else value


def get_object(row: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object in a row; an empty one for anything else."""
    return value if isinstance(value := row.get(key), dict) else {}


def get_list(row: dict[str, Any], key: str) -> list[Any]:
    return value if isinstance(value := row.get(key), list) else []


def get_number(row: dict[str, Any], key: str) -> int:
    """Return a positive whole number; 0 for anything else."""
    return value if isinstance(value := row.get(key), int) and 0 < value < 2**53 else 0


def only_objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def decode(raw: bytes | memoryview) -> Any:
    """Decode a value. Raises `ValueError` or `RecursionError`."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        return json.loads(bytes(raw).decode(errors="replace"))


class RowReader:
    """Yields the rows of files with their places, and counts them as read."""

    def __init__(self, files: SourceFiles, accounts: Accounts) -> None:
        self._files = files
        self._accounts = accounts

    def iter_array(self, name: str, kind: int) -> Iterator[tuple[Place, Any]]:
        """Yield the items of a file that is an array."""
        stream = self.open_stream(name)
        yield from self.iter_items(stream, name, kind, is_whole=True)

    def open_stream(self, name: str) -> JsonStream:
        chunks = _skip_byte_order_mark(self._files.iter_hashed(name))
        return JsonStream(chunks, max_bytes=MAX_ROW_BYTES)

    def iter_items(
        self, stream: JsonStream, name: str, kind: int, *, is_whole: bool = False
    ) -> Generator[tuple[Place, Any], None, bool]:
        """Yield the items of an array that comes next in the stream; return whether that is all.

        What follows damage counts as one row that is reported.
        """
        file, row = self._files.number(name), 0
        try:
            for value in _iter_values(stream, is_whole=is_whole):
                row += 1
                self._accounts.count(file, kind, READ)
                if value is _UNDECODABLE:
                    self._accounts.report(Place(file, row), kind, UNREADABLE)
                else:
                    yield Place(file, row), value
        except (StrictJSONError, FileDamaged):
            self._accounts.lose(Place(file, row + 1), kind, _REST)
            return False
        return True

    def iter_lines(self, name: str) -> Iterator[tuple[Place, bytes]]:
        """Yield the lines of a file that are not blank. They are not counted yet."""
        file, row = self._files.number(name), 0
        try:
            for line in _split_lines(_skip_byte_order_mark(self._files.iter_hashed(name))):
                row += 1
                if line is _TOO_LONG:
                    self._accounts.lose(Place(file, row), RowKind.OTHER, "row of more than 16 MiB")
                elif line and not line.isspace():
                    yield Place(file, row), line
        except FileDamaged:
            self._accounts.lose(Place(file, row + 1), RowKind.OTHER, _REST)

    def list_objects(
        self, place: Place, value: dict[str, Any], key: str, kind: int
    ) -> list[dict[str, Any]]:
        """Return the objects in a list of a row, and report anything else in it."""
        items = value.get(key)
        if not items:
            return []
        if not isinstance(items, list):
            self._accounts.lose(place, kind, f"{key} of an unknown form")
            return []
        objects = [item for item in items if isinstance(item, dict)]
        if len(objects) != len(items):
            self._accounts.lose(place, kind, f"{key} of an unknown form", len(items) - len(objects))
        return objects


_UNDECODABLE = object()
_TOO_LONG = b"\0"


def _iter_values(stream: JsonStream, *, is_whole: bool) -> Iterator[Any]:
    """Yield the items of an array, as many at once as a window has.

    A text that is one value after the other up to a comma is the beginning of the array, wherever
    the comma was found. So it does not matter that `_cut` only guesses.
    """
    if is_whole and len(window := stream.peek_data(_WINDOW_BYTES + 1)) <= _WINDOW_BYTES:
        values = _try_decode(window)
        if isinstance(values, list):
            yield from values
            return
    stream.expect(b"[")
    if stream.peek() == b"]":
        stream.expect(b"]")
        return
    separator = b""
    while True:
        values, length = None, 0
        if separator and (window := stream.peek_data(_WINDOW_BYTES)).startswith(b"{"):
            values, length = _cut(window, separator)
        if values:
            stream.advance(length)
            yield from values
        else:
            raw = stream.read_value()
            try:
                value = decode(raw)
            except (ValueError, RecursionError):
                value = _UNDECODABLE
            yield value
        if not separator and (match := _BETWEEN.match(stream.peek_data(1024))):
            separator = b"}" + match[0]
        if stream.expect(b",", b"]") == b"]":
            return
        stream.peek()


def _cut(window: bytes, separator: bytes) -> tuple[Any, int]:
    """Return the values up to the last separator that is between two of them, and their length."""
    end = len(window)
    for _ in range(_MAX_TRIED_CUTS):
        end = window.rfind(separator, 0, end)
        if end < 0:
            break
        if values := _try_decode(b"[%b}]" % window[:end]):
            return values, end + 1
    return None, 0


def _try_decode(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _skip_byte_order_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    yield first.removeprefix(_BYTE_ORDER_MARK)
    yield from chunks


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines; `_TOO_LONG` for one that is longer than a row may be."""
    pending, is_skipped = b"", False
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        if lines:
            first = pending + lines[0]
            yield _TOO_LONG if is_skipped else first
            yield from lines[1:]
            pending, is_skipped = rest, False
        elif not is_skipped:
            pending += rest
        if len(pending) > MAX_ROW_BYTES:
            pending, is_skipped = b"", True
    if pending or is_skipped:
        yield _TOO_LONG if is_skipped else pending
