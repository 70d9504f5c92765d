"""Decompress the body of a response, bounded in size.

Only gzip is asked for. Several encodings on top of each other, or one that expands without a bound
in one step, would let a small response fill the memory before its size can be checked.
"""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "gzip"

_GZIP = 16 + zlib.MAX_WBITS
_NAMES = frozenset({"gzip", "x-gzip"})


class UndecodableBody(Exception):
    """The text completes the sentence `the server sent a body …`."""


class BodyDecoder:
    """Collects a body: `add` each chunk, check `is_too_large`, `finish` at the end.

    Never has more than `max_bytes` + 1 in memory. `add` and `finish` raise `UndecodableBody`.
    """

    def __init__(self, content_encoding: str, max_bytes: int) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        encodings = [name for name in names if name not in ("", "identity")]
        if len(encodings) > 1:
            raise UndecodableBody("with more than one content encoding")
        if encodings and encodings[0] not in _NAMES:
            raise UndecodableBody("with a content encoding that was not asked for")
        self._gzip = zlib.decompressobj(_GZIP) if encodings else None
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def is_too_large(self) -> bool:
        return self._size > self._max_bytes

    def add(self, chunk: bytes) -> None:
        if self._gzip is not None:
            try:
                chunk = self._gzip.decompress(chunk, self._max_bytes - self._size + 1)
            except zlib.error:
                raise _mismatch_error() from None
        self._size += len(chunk)
        self._chunks.append(chunk)

    def finish(self) -> bytes:
        if self._gzip is not None and self._chunks and not self._gzip.eof:
            raise _mismatch_error()
        return b"".join(self._chunks)


def _mismatch_error() -> UndecodableBody:
    return UndecodableBody("that does not match its Content-Encoding")
