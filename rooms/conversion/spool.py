"""Sort more records than fit into memory, in a private file without a name."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from struct import Struct
from typing import Self

from scaiwave.core.files import translate_disk_full

_MAX_PENDING_BYTES = 8 * 1024 * 1024
_MAX_READ_BYTES = 4 * 1024 * 1024
"""For all runs together, but at least so much for each:"""
_READ_BYTES = 16 * 1024
_LENGTH = Struct(">I")


class SortedSpool:
    """Takes records in any order and returns them sorted by their bytes.

    Records that come in order, as in most exports, form one run, however many there are.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._end = 0
        self._last = b""
        # Where each run begins and ends in the file.
        self._runs: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def add(self, record: bytes) -> None:
        self._pending.append(record)
        self._pending_bytes += len(record) + 64
        if self._pending_bytes > _MAX_PENDING_BYTES:
            self._flush()

    def iter_sorted(self) -> Iterator[bytes]:
        """Yield all records. Call once, after the last `add`."""
        if not self._runs:
            self._pending.sort()
            yield from self._pending
            return
        self._flush()
        size = max(_MAX_READ_BYTES // len(self._runs), _READ_BYTES)
        yield from heapq.merge(*(self._iter_run(*run, size) for run in self._runs))

    def _flush(self) -> None:
        if not self._pending:
            return
        with translate_disk_full(
            f"Not enough disk space in {tempfile.gettempdir()} to sort the messages.",
            fix="Set TMPDIR to a directory with more space.",
        ):
            self._pending.sort()
            start = self._end
            self._file.seek(start)
            for record in self._pending:
                self._file.write(_LENGTH.pack(len(record)))
                self._file.write(record)
            self._file.flush()
            self._end = self._file.tell()
        if self._runs and self._pending[0] >= self._last:
            self._runs[-1] = (self._runs[-1][0], self._end)
        else:
            self._runs.append((start, self._end))
        self._last = self._pending[-1]
        self._pending, self._pending_bytes = [], 0

    def _iter_run(self, start: int, end: int, size: int) -> Iterator[bytes]:
        data, offset = b"", 0
        while start < end or offset < len(data):
            while len(data) - offset < _LENGTH.size or (
                len(data) - offset < _LENGTH.size + _LENGTH.unpack_from(data, offset)[0]
            ):
                self._file.seek(start)
                chunk = self._file.read(min(size, end - start))
                start += len(chunk)
                data, offset = data[offset:] + chunk, 0
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            yield data[offset : offset + length]
            offset += length
