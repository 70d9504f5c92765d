"""Keep the records of a room beside its chain, so that the next export need not read the chain.

The file saves time and proves nothing: it counts only with a signature of this server's secret, and
only for increments whose manifests have the hashes in it. Anything else is read from the chain.
"""

from __future__ import annotations

import hmac
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec
from django.conf import settings
from msgspec import Struct

from rooms.bundle.archive.reader import Archive, hash_chunks
from rooms.bundle.chain import RECORD_BYTES, ChainState, StateBatch, describe, sum_digests
from rooms.bundle.format import MANIFEST
from rooms.bundle.manifest.schema import ChainTotals, MediaEntry, RoomInfo, Sender
from rooms.errors import BundleError
from rooms.exports.events import split_page
from scaiwave.core.files import (
    atomic_write,
    close_temporary,
    make_directories,
    open_regular,
    remove_drafts_in,
)

NAME = ".scaiwave-chain-index"
_CHUNK_BYTES = 512 * RECORD_BYTES
_MAC_BYTES = 32
_MAX_SERVED = 5
"""States that are kept of each room, for those who download increments."""


class _Head(Struct):
    """The state of the chain, and the hashes of its manifests, from the base on."""

    links: list[str]
    exported_at: str
    server_name: str
    room: RoomInfo
    senders: dict[str, Sender]
    media: list[MediaEntry]
    totals: ChainTotals
    pages: list[tuple[str, int]] = []


class PageRecorder:
    """Describes the events of a room page by page, and keeps their records to be cached.

    With `known`, a page that the last export read too is not described again, and has no texts.
    """

    def __init__(self, known: CachedChain | None = None) -> None:
        self.records = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.pages: list[tuple[str, int]] = []
        self.digest = 0
        self._known = known

    def describe(self, page: bytes) -> StateBatch:
        digest = blake2b(page, digest_size=32).hexdigest()
        known = self._known and self._known.find_page(digest)
        batch = StateBatch(known) if known else describe(split_page(page))
        self.pages.append((digest, len(batch.records) // RECORD_BYTES))
        self.digest += sum_digests(batch.records)
        self.records.write(batch.records)
        return batch

    def close(self) -> None:
        close_temporary(self.records)


class CachedChain:
    """Close it, or read its batches once."""

    def __init__(self, file: BinaryIO, head: _Head) -> None:
        self.bundles = head.links
        self.state = ChainState(
            head.links[0], head.links[-1], len(head.links) - 1, head.exported_at, head.server_name,
            head.room, head.senders, {(row.media_id, row.name): row for row in head.media},
            head.totals,
        )  # fmt: skip
        self._file = file
        # Where the records of each page of the last export are.
        self._pages: dict[str, tuple[int, int]] = {}
        start = file.tell()
        for digest, count in head.pages:
            self._pages[digest] = (start, count * RECORD_BYTES)
            start += count * RECORD_BYTES

    def find_page(self, digest: str) -> bytes | None:
        """Return the records of a page that the last export read too."""
        if (place := self._pages.get(digest)) is None:
            return None
        start, length = place
        return os.pread(self._file.fileno(), length, start)

    def iter_batches(self) -> Iterator[StateBatch]:
        while records := self._file.read(_CHUNK_BYTES):
            yield StateBatch(records)

    def close(self) -> None:
        self._file.close()


def read_cache(directory: Path, files: Sequence[BinaryIO], max_bytes: int) -> CachedChain | None:
    """Return the cached state of a chain, whose files may be in any order."""

    def is_of(bundles: Sequence[str]) -> bool:
        manifests = (Archive(file, max_bytes).iter_entry(MANIFEST) for file in files)
        return sorted(hash_chunks(chunks)[0] for chunks in manifests) == sorted(bundles)

    return _read(directory / NAME, is_of)


def read_served(room_id: UUID, tip: str) -> CachedChain | None:
    """Return the state after a bundle that this server sent, by the SHA-256 of its manifest."""
    if not re.fullmatch("[0-9a-f]{64}", tip):
        return None
    return _read(_get_served_directory(room_id) / tip, lambda bundles: bundles[-1] == tip)


def write_served(bundles: Sequence[str], state: ChainState, recorder: PageRecorder) -> None:
    """Keep the state after a bundle that is being sent, and the last few of its room."""
    directory = _get_served_directory(UUID(state.room.id))
    make_directories(directory)
    remove_drafts_in(directory)  # of processes that were killed
    write_cache(directory / bundles[-1], bundles, state, recorder)
    kept = sorted(directory.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MAX_SERVED:]:
        path.unlink(missing_ok=True)


def delete_served(room_id: UUID) -> None:
    """Delete the kept parts of a room's exports."""
    with suppress(FileNotFoundError):
        shutil.rmtree(_get_served_directory(room_id))


def mask_sender(sender: Sender) -> Sender:
    """Return a sender to compare with, without a name that would have to be erased here too."""
    described = f"{sender.display_name}\0{sender.avatar_url}".encode()
    return msgspec.structs.replace(sender, display_name=_sign([described]).hex(), avatar_url=None)


def _get_served_directory(room_id: UUID) -> Path:
    return Path(settings.HOME) / "room-exports" / str(room_id)


def _read(path: Path, is_of: Callable[[Sequence[str]], bool]) -> CachedChain | None:
    try:
        file = open_regular(path)
    except OSError:
        return None
    try:
        mac = file.read(_MAC_BYTES)
        if hmac.compare_digest(mac, _sign(iter(lambda: file.read(_CHUNK_BYTES), b""))):
            file.seek(_MAC_BYTES)
            head = msgspec.json.decode(file.readline(), type=_Head)
            if is_of(head.links):
                return CachedChain(file, head)
    except (BundleError, msgspec.MsgspecError):
        pass  # Reading the chain reports the fault.
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def write_cache(
    path: Path, bundles: Sequence[str], state: ChainState, recorder: PageRecorder
) -> None:
    """Write the state after a chain. Raises `OSError`."""
    head = _Head(
        list(bundles), state.exported_at, state.server_name, state.room, state.senders,
        list(state.media.values()), state.totals, recorder.pages,
    )  # fmt: skip
    encoded, records = msgspec.json.encode(head) + b"\n", recorder.records
    with atomic_write(path, keep_owner=False, follow_links=False) as file:
        file.write(_sign(_iter_content(encoded, records)))
        file.writelines(_iter_content(encoded, records))


def _iter_content(head: bytes, records: BinaryIO) -> Iterator[bytes]:
    yield head
    records.seek(0)
    while chunk := records.read(_CHUNK_BYTES):
        yield chunk


def _sign(chunks: Iterable[bytes]) -> bytes:
    signature = hmac.new(f"chain-index:{settings.SECRET_KEY}".encode(), digestmod=sha256)
    for chunk in chunks:
        signature.update(chunk)
    return signature.digest()
