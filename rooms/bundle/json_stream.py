"""Where the values of a long JSON text begin and end, in memory that does not grow with it.

Only brackets and quotation marks are looked at here: that a value is good JSON is found out by
whoever decodes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rooms.bundle import strict_json
from rooms.bundle.format import DEEPEST, MOST_HEAD_BYTES
from rooms.bundle.strict_json import StrictJSONError

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# In groups: what opens, what closes. The quotation mark alone is a text whose end is not here yet.
_MARK = re.compile(_TEXT + rb'|([\[{])|([\]}])|"', re.DOTALL)
_WHOLE_TEXT = re.compile(_TEXT, re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*+")
_PLAIN = re.compile(rb"[^\s,\]}\[{\":]*+")

ENDS_EARLY = StrictJSONError("ends too early")


class JsonStream:
    """Reads members, items and values one after the other; the caller knows what comes.

    Every value is given as its raw bytes, at most `most` of them. Raises `StrictJSONError`.
    """

    def __init__(self, chunks: Iterator[bytes], *, most: int) -> None:
        self._chunks = chunks
        self._most = most
        self._data = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """Bytes read so far, of the whole text."""
        return self._before + self._at

    def _more(self) -> bool:
        """Add the next chunk; positions in the data move by `_at`, which becomes 0."""
        chunk = next(self._chunks, b"")
        self._before += self._at
        self._data = self._data[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def peek(self) -> bytes:
        """The next byte that is no white space, not yet read; nothing at the end."""
        while True:
            found = _SPACE.match(self._data, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._data):
                return self._data[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self, *wanted: bytes) -> bytes:
        """Read one of these bytes."""
        found = self.peek()
        if found in wanted:
            self._at += 1
            return found
        if not found:
            raise ENDS_EARLY
        expected = " or ".join(f"`{one.decode()}`" for one in wanted)
        raise StrictJSONError(f"is not JSON: there is no {expected} (at {self.position:,})")

    def members(self, *, most: int) -> Iterator[str]:
        """The keys of an object, at most so many; the caller reads the value after each."""
        self.take(b"{")
        if self.peek() == b"}":
            self.take(b"}")
            return
        seen: set[str] = set()
        while True:
            name = strict_json.key(self._text())
            if name in seen:
                raise StrictJSONError(f"has the key {name!r} twice")
            if len(seen) == most:
                raise StrictJSONError(f"has more than {most:,} keys")
            seen.add(name)
            self.take(b":")
            yield name
            if self.take(b",", b"}") == b"}":
                return

    def items(self, *, most: int) -> Iterator[bytes]:
        """The values of an array, at most so many."""
        self.take(b"[")
        if self.peek() == b"]":
            self.take(b"]")
            return
        for _ in range(most):
            yield self.value()
            if self.take(b",", b"]") == b"]":
                return
        raise StrictJSONError(f"has an array of more than {most:,} values")

    def value(self) -> bytes:
        match self.peek():
            case b"{" | b"[":
                return self._bracketed()
            case b'"':
                return self._text()
            case b"":
                raise ENDS_EARLY
        return self._word()

    def pass_over(self) -> None:
        """Read a value that was checked before, however long it is as a whole."""
        match self.peek():
            case b"{":
                for _ in self.members(most=MOST_HEAD_BYTES):
                    self.value()
            case b"[":
                for _ in self.items(most=MOST_HEAD_BYTES):
                    pass
            case _:
                self.value()

    def end(self) -> None:
        if self.peek():
            raise StrictJSONError(f"goes on after its end (at {self.position:,})")

    def lines(self, most: int) -> bytes:
        """The whole lines that are here, from the next value on, not yet read; may be nothing."""
        cut = self._data.rfind(b"\n", self._at, self._at + most)
        return self._data[self._at : cut + 1]

    def skip(self, count: int) -> None:
        """Read so many bytes of `lines`."""
        self._at += count

    def _taken(self, end: int) -> bytes:
        raw = self._data[self._at : end]
        if len(raw) > self._most:
            raise self._too_long()
        self._at = end
        return raw

    def _longer(self) -> None:
        """Get more of a value that is not whole yet."""
        if len(self._data) - self._at > self._most:
            raise self._too_long()
        if not self._more():
            raise ENDS_EARLY

    def _too_long(self) -> StrictJSONError:
        return StrictJSONError(f"is longer than {self._most:,} bytes")

    def _text(self) -> bytes:
        if self.peek() != b'"':
            self.take(b'"')
        while not (found := _WHOLE_TEXT.match(self._data, self._at)):
            self._longer()
        return self._taken(found.end())

    def _word(self) -> bytes:
        """A number, a constant, or nonsense; its end shows in what comes after it."""
        while True:
            found = _PLAIN.match(self._data, self._at)
            end = found.end() if found else self._at
            if end < len(self._data):
                break
            if len(self._data) - self._at > self._most:
                raise self._too_long()
            if not self._more():
                break
        if end == self._at:
            raise StrictJSONError(f"is not JSON: there is no value (at {self.position:,})")
        return self._taken(end)

    def _bracketed(self) -> bytes:
        depth, scanned = 0, 0
        while True:
            resume = len(self._data)
            for mark in _MARK.finditer(self._data, self._at + scanned):
                match mark.lastindex:
                    case 1:
                        depth += 1
                        if depth > DEEPEST:
                            raise StrictJSONError(f"is nested deeper than {DEEPEST} levels")
                    case 2:
                        depth -= 1
                        if depth == 0:
                            return self._taken(mark.end())
                    case None if mark.end() - mark.start() == 1:
                        resume = mark.start()
                        break
            scanned = resume - self._at
            self._longer()
