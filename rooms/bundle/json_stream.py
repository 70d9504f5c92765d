"""Find where the values of a long JSON text begin and end, in constant memory.

Only brackets and quotation marks are examined here. The values are decoded by the caller, which
also finds out whether they are valid JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rooms.bundle.format import MAX_DEPTH, MAX_HEADER_BYTES
from scaiwave.core import strict_json
from scaiwave.core.strict_json import StrictJSONError

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Groups: opening and closing brackets. A single quotation mark begins a text that is still
# incomplete in the data.
_MARK = re.compile(_TEXT + rb'|([\[{])|([\]}])|"', re.DOTALL)
_COMPLETE_TEXT = re.compile(_TEXT, re.DOTALL)
_WHITESPACE = re.compile(rb"[ \t\n\r]*+")
_PLAIN = re.compile(rb"[^\s,\]}\[{\":]*+")

ENDS_EARLY = StrictJSONError("ends too early")


class JsonStream:
    """Read keys, items and values one after the other; the caller knows what to expect.

    Each value is returned as its raw bytes, at most `max_bytes`. Raises `StrictJSONError`.
    """

    def __init__(self, chunks: Iterator[bytes], *, max_bytes: int) -> None:
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._data = b""
        self._offset = 0
        self._discarded = 0

    @property
    def position(self) -> int:
        """Return the number of bytes of the whole text that have been read."""
        return self._discarded + self._offset

    def _read_more(self) -> bool:
        """Append the next chunk. Drops the text that was read, so `_offset` becomes 0."""
        chunk = next(self._chunks, b"")
        self._discarded += self._offset
        self._data = self._data[self._offset :] + chunk
        self._offset = 0
        return bool(chunk)

    def peek(self) -> bytes:
        """Return the next byte that is not white space without reading it; b"" at the end."""
        while True:
            space = _WHITESPACE.match(self._data, self._offset)
            self._offset = space.end() if space else self._offset
            if self._offset < len(self._data):
                return self._data[self._offset : self._offset + 1]
            if not self._read_more():
                return b""

    def expect(self, *expected: bytes) -> bytes:
        """Read one byte, which must be one of these."""
        byte = self.peek()
        if byte in expected:
            self._offset += 1
            return byte
        if not byte:
            raise ENDS_EARLY
        alternatives = " or ".join(f"`{each.decode()}`" for each in expected)
        raise StrictJSONError(f"is not JSON: {alternatives} expected (at {self.position:,})")

    def iter_keys(self, *, max_keys: int) -> Iterator[str]:
        """Yield the keys of an object; the caller reads the value after each."""
        self.expect(b"{")
        if self.peek() == b"}":
            self.expect(b"}")
            return
        seen: set[str] = set()
        while True:
            name = strict_json.load_key(self._read_text())
            if name in seen:
                raise StrictJSONError(f"has a duplicate key {name!r}")
            if len(seen) == max_keys:
                raise StrictJSONError(f"has more than {max_keys:,} keys")
            seen.add(name)
            self.expect(b":")
            yield name
            if self.expect(b",", b"}") == b"}":
                return

    def iter_items(self, *, max_items: int) -> Iterator[bytes]:
        """Yield the values of an array."""
        self.expect(b"[")
        if self.peek() == b"]":
            self.expect(b"]")
            return
        for _ in range(max_items):
            yield self.read_value()
            if self.expect(b",", b"]") == b"]":
                return
        raise StrictJSONError(f"has an array of more than {max_items:,} values")

    def read_value(self) -> bytes:
        match self.peek():
            case b"{" | b"[":
                return self._read_bracketed()
            case b'"':
                return self._read_text()
            case b"":
                raise ENDS_EARLY
        return self._read_word()

    def skip_value(self) -> None:
        """Read a value of any length that was validated before."""
        match self.peek():
            case b"{":
                for _ in self.iter_keys(max_keys=MAX_HEADER_BYTES):
                    self.read_value()
            case b"[":
                for _ in self.iter_items(max_items=MAX_HEADER_BYTES):
                    pass
            case _:
                self.read_value()

    def expect_end(self) -> None:
        if self.peek():
            raise StrictJSONError(f"continues after its end (at {self.position:,})")

    def peek_lines(self, max_bytes: int) -> memoryview:
        """Return complete lines without reading them; may be empty.

        Reads more of the text if not even one line is complete in memory.
        """
        while True:
            end = self._data.rfind(b"\n", self._offset, self._offset + max_bytes) + 1
            if end or len(self._data) - self._offset >= max_bytes or not self._read_more():
                return memoryview(self._data)[self._offset : max(end, self._offset)]

    def peek_data(self, max_bytes: int) -> bytes:
        """Return so many bytes without reading them; fewer only at the end of the text."""
        while len(self._data) - self._offset < max_bytes and self._read_more():
            pass
        return self._data[self._offset : self._offset + max_bytes]

    def advance(self, count: int) -> None:
        """Read this number of bytes of `peek_lines` or `peek_data`."""
        self._offset += count

    def _consume(self, end: int) -> bytes:
        raw = self._data[self._offset : end]
        if len(raw) > self._max_bytes:
            raise self._build_too_long_error()
        self._offset = end
        return raw

    def _extend_value(self) -> None:
        """Read more of a value that is still incomplete."""
        if len(self._data) - self._offset > self._max_bytes:
            raise self._build_too_long_error()
        if not self._read_more():
            raise ENDS_EARLY

    def _build_too_long_error(self) -> StrictJSONError:
        return StrictJSONError(f"is longer than {self._max_bytes:,} bytes")

    def _read_text(self) -> bytes:
        if self.peek() != b'"':
            self.expect(b'"')
        while not (text := _COMPLETE_TEXT.match(self._data, self._offset)):
            self._extend_value()
        return self._consume(text.end())

    def _read_word(self) -> bytes:
        """Read a number, a constant, or anything else up to the next delimiter."""
        while True:
            word = _PLAIN.match(self._data, self._offset)
            end = word.end() if word else self._offset
            if end < len(self._data):
                break
            if len(self._data) - self._offset > self._max_bytes:
                raise self._build_too_long_error()
            if not self._read_more():
                break
        if end == self._offset:
            raise StrictJSONError(f"is not JSON: a value is missing (at {self.position:,})")
        return self._consume(end)

    def _read_bracketed(self) -> bytes:
        depth, scanned = 0, 0
        while True:
            resume = len(self._data)
            for mark in _MARK.finditer(self._data, self._offset + scanned):
                match mark.lastindex:
                    case 1:
                        depth += 1
                        if depth > MAX_DEPTH:
                            raise StrictJSONError(f"is nested deeper than {MAX_DEPTH} levels")
                    case 2:
                        depth -= 1
                        if depth == 0:
                            return self._consume(mark.end())
                    case None if mark.end() - mark.start() == 1:
                        resume = mark.start()
                        break
            scanned = resume - self._offset
            self._extend_value()
