"""Keep more records than fit into memory, in private files without a name."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Self

from isal import isal_zlib

from scaiwave.core.files import translate_disk_full

_MAX_PENDING_BYTES = 8 * 1024 * 1024
_MAX_READ_BYTES = 4 * 1024 * 1024
"""For all runs together, but at least so much for each:"""
_READ_BYTES = 16 * 1024
_LENGTH = Struct(">I")
_PIECE = Struct(">qI")
"""Where the piece before this one begins, or -1 for the first, and the length of this one."""


class _Spool:
    """A private file without a name. Close it by using it in `with`."""

    def __init__(self) -> None:
        # Without a buffer, which could not be closed on a full disk.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def _write(self, start: int, parts: Iterable[bytes]) -> int:
        """Write the parts one after the other; return where they end."""
        with translate_disk_full(
            f"Not enough disk space in {tempfile.gettempdir()} to sort the messages.",
            fix="Set TMPDIR to a directory with more space.",
        ):
            self._file.seek(start)
            rest = memoryview(b"".join(parts))
            while rest:
                rest = rest[self._file.write(rest) :]
            return self._file.tell()


class GroupedSpool(_Spool):
    """Takes records of groups in any order, and returns the records of each group.

    Its memory does not grow with the records: the pieces of a group are linked in the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self._pending: dict[str, bytearray] = {}
        self._pending_bytes = 0
        self._end = 0
        self._last: dict[str, int] = {}

    def add(self, group: str, record: bytes) -> None:
        if (pending := self._pending.get(group)) is None:
            pending = self._pending[group] = bytearray()
        pending += _LENGTH.pack(len(record))
        pending += record
        self._pending_bytes += len(record)
        if self._pending_bytes > _MAX_PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Call this after the last `add`."""
        for group, pending in self._pending.items():
            packed = isal_zlib.compress(pending, 1)
            link = _PIECE.pack(self._last.get(group, -1), len(packed))
            self.sizes[group] = self.sizes.get(group, 0) + len(pending)
            self._last[group] = self._end
            self._end = self._write(self._end, (link, packed))
        self._pending, self._pending_bytes = {}, 0

    def iter_group(self, group: str) -> Iterator[bytes]:
        """Yield the records, the latest pieces first."""
        position = self._last[group]
        while position >= 0:
            self._file.seek(position)
            position, length = _PIECE.unpack(self._file.read(_PIECE.size))
            data, offset = isal_zlib.decompress(self._file.read(length)), 0
            while offset < len(data):
                start = offset + _LENGTH.size
                offset = start + _LENGTH.unpack_from(data, offset)[0]
                yield data[start:offset]


class SortedSpool(_Spool):
    """Takes records in any order and returns them sorted by their bytes.

    Records that come in order, as in most exports, form one run, however many there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._end = 0
        self._last = b""
        # Where each run begins and ends in the file.
        self._runs: list[tuple[int, int]] = []

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
        self._pending.sort()
        start = self._end
        parts = (part for r in self._pending for part in (_LENGTH.pack(len(r)), r))
        self._end = self._write(start, parts)
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
