"""A base and its increments: check that they belong together, and read the room after them.

The room after a chain is a sequence of events in stream order, each with a record: position, ID and
digest. The digest is BLAKE2b, of 16 bytes, of the event as a whole bundle has it. The digest of a
room is the sum of the digests of its events, modulo 2^128, so an increment changes it by the
digests of the events that it adds and removes, and checking a chain takes one pass over each
bundle.

Nothing here grows in memory with the number of events.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b as _digest
from heapq import merge
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import msgspec
from msgspec import Struct

from rooms.bundle.format import MANIFEST, format_id
from rooms.bundle.manifest.schema import (
    ChainTotals,
    IncrementSender,
    ManifestHeader,
    MediaEntry,
    RoomInfo,
    Sender,
    manifest_error,
)
from rooms.bundle.reader import ValidatedBundle, read_bundle
from rooms.errors import (
    BundleChainGap,
    BundleChainOther,
    BundleChainPartial,
    BundleDamaged,
    BundleError,
    BundleOutOfOrder,
    ContentTooLarge,
    ImportRefused,
)
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.files import close_temporary, translate_disk_full
from scaiwave.core.sql import batched
from scaiwave.core.temporary_index import open_index, translate_index_errors

ID_END, RECORD_BYTES = 24, 40
"""A record: position (8 bytes), ID (16) and digest (16)."""
iter_records = struct.Struct("8s16s16s").iter_unpack
_pack_record = struct.Struct(">Q16s16s").pack
DIGEST_MODULUS = 2**128
MAX_BUNDLES = 200
"""Each bundle is two open files."""
MAX_DESCRIPTIONS = 500_000
"""Senders and attachments in the manifests of all bundles, which are in memory together."""

_ADDED, _CHANGED, _DELETED = range(3)
_PREFIXES = (b'{"change": "added", ', b'{"change": "changed", ')
_MAX_LISTED = 20

_TABLE = """
    CREATE TABLE touches
    (id BLOB, increment INTEGER, kind INTEGER, digest BLOB, sender TEXT, PRIMARY KEY (id,
    increment)) WITHOUT ROWID
"""
_HISTORY = """
    SELECT * FROM (
        SELECT increment, id, kind, digest, sender,
            lag(kind) OVER history, lag(digest) OVER history, lag(sender) OVER history
        FROM touches WINDOW history AS (PARTITION BY id ORDER BY increment)
    ) WHERE increment > 0 ORDER BY increment
"""


class EventHead(Struct):
    """What is read of an event to compare it."""

    id: str
    sender_id: str
    stream_position: int


class Item(NamedTuple):
    """One event: its record, its sender, and its text as a whole bundle has it."""

    record: bytes
    sender_id: str
    text: bytes

    @property
    def event_id(self) -> bytes:
        return self.record[8:ID_END]


class StateBatch(NamedTuple):
    """Events in stream order. `texts` and `sender_ids` are empty if only the records are known."""

    records: bytes
    sender_ids: Sequence[str] = ()
    texts: Sequence[bytes] = ()


_decode_heads = msgspec.json.Decoder(list[EventHead]).decode


def describe(texts: Sequence[bytes]) -> StateBatch:
    """Return the records of events of a validated bundle, or of the database."""
    heads = _decode_heads(b"[%b]" % b",".join(texts))
    joined = bytes.fromhex("".join([head.id for head in heads]).replace("-", ""))
    ids = [joined[start : start + 16] for start in range(0, len(joined), 16)]
    positions = [head.stream_position for head in heads]
    digests = [_digest(text, digest_size=16).digest() for text in texts]
    records = b"".join(map(_pack_record, positions, ids, digests))
    return StateBatch(records, [head.sender_id for head in heads], texts)


def sum_digests(records: bytes) -> int:
    return sum(int.from_bytes(digest) for _, _, digest in iter_records(records))


class _Cursor:
    """Reads batches record by record."""

    def __init__(self, batches: Iterable[StateBatch]) -> None:
        self._batches = iter(batches)
        self._batch = StateBatch(b"")
        self._index = 0

    def fill(self) -> int:
        """Return the number of records in memory; 0 at the end."""
        while not (count := len(self._batch.records) // RECORD_BYTES - self._index):
            if (batch := next(self._batches, None)) is None:
                return 0
            self._batch, self._index = batch, 0
        return count

    def peek(self, count: int = 1) -> bytes:
        start = self._index * RECORD_BYTES
        return self._batch.records[start : start + count * RECORD_BYTES]

    def skip(self, count: int = 1) -> None:
        self._index += count

    def take(self) -> Item:
        record, index, batch = self.peek(), self._index, self._batch
        self.skip()
        sender_id = batch.sender_ids[index] if batch.sender_ids else ""
        return Item(record, sender_id, bytes(batch.texts[index]) if batch.texts else b"")


def compare(
    before: Iterable[StateBatch], after: Iterable[StateBatch]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield the events that differ, in stream order, as they were and as they are.

    Both sides of a pair have the same ID. An event whose position has changed is yielded twice,
    with one side each time.
    """
    left, right = _Cursor(before), _Cursor(after)
    while count := min(left.fill(), right.fill()):
        if left.peek(count) == right.peek(count):
            left.skip(count)
            right.skip(count)
            continue
        for _ in range(count):
            old, new = left.peek(), right.peek()
            if old == new:
                left.skip()
                right.skip()
            elif old[:ID_END] == new[:ID_END]:
                yield left.take(), right.take()
            elif old[:8] <= new[:8]:
                yield left.take(), None
            else:
                yield None, right.take()
    while left.fill():
        yield left.take(), None
    while right.fill():
        yield None, right.take()


@dataclass
class ChainState:
    """The room after a chain, without its events. `media` is by ID and name."""

    root: str
    tip: str
    sequence: int
    exported_at: str
    server_name: str
    room: RoomInfo
    senders: dict[str, Sender]
    media: dict[tuple[str, str], MediaEntry]
    totals: ChainTotals

    @classmethod
    def from_base(
        cls, key: str, header: ManifestHeader, events: int, digest: str = ""
    ) -> ChainState:
        """Return the state of a base; `key` is the SHA-256 of its manifest."""
        media = {(entry.media_id, entry.name): entry for entry in header.media}
        totals = ChainTotals(events, len(media), digest)
        return cls(
            key, key, 0, header.exported_at, header.server_name, header.room, dict(header.senders),
            media, totals,
        )  # fmt: skip

    def apply(self, name: str, bundle: ValidatedBundle) -> None:
        """Apply an increment, without its events, which are checked elsewhere."""
        header = bundle.header
        if (increment := header.increment) is None:
            raise ValueError("not an increment")
        for row in increment.media_removed:
            if self.media.pop((row.media_id, row.name), None) is None:
                raise BundleDamaged(
                    f"{name} removes an attachment that the room did not have: {row.media_id}.",
                    entry=MANIFEST,
                )
        for entry in header.media:
            self.media[entry.media_id, entry.name] = entry
        for key, sender in header.senders.items():
            before, now = (
                self.senders.get(key),
                msgspec.convert(msgspec.to_builtins(sender), Sender),
            )
            change: Literal["added", "changed"] | None = None
            if before != now:
                change = "changed" if before else "added"
            fqid = before.fqid if before and before.fqid != now.fqid else None
            described = msgspec.structs.asdict(now)
            if sender != IncrementSender(**described, change=change, previous_fqid=fqid):
                raise BundleDamaged(
                    f"{name} describes the change of sender {key} in another way than the bundles "
                    "before it show.",
                    entry=MANIFEST,
                )
            self.senders[key] = now
        self.tip, self.sequence = bundle.manifest_sha256, increment.chain.sequence
        self.exported_at, self.room, self.totals = header.exported_at, header.room, increment.after


@dataclass(frozen=True)
class ChainBundle:
    """One bundle of a chain, and the name of its file."""

    name: str
    bundle: ValidatedBundle

    @property
    def header(self) -> ManifestHeader:
        return self.bundle.header


def find_all(header: ManifestHeader, targets: Sequence[str]) -> Sequence[str]:
    """Find every target: what an increment refers to is checked when it is imported."""
    return targets


class Chain:
    """A valid chain, to be read after its last bundle. Made by `open_chain`."""

    def __init__(self, bundles: Sequence[ChainBundle]) -> None:
        self.bundles = bundles
        base = bundles[0].bundle
        self.state = ChainState.from_base(base.manifest_sha256, base.header, base.counts.events)
        self.totals: list[ChainTotals] = []
        self._events_by_sender: Counter[str] = Counter()
        self._index = open_index(_TABLE)
        # The records of each bundle, which are read again instead of its events.
        self._records = [tempfile.TemporaryFile() for _ in bundles]  # noqa: SIM115 - closed by `close`

    def close(self) -> None:
        self._index.close()
        for file in self._records:
            close_temporary(file)

    def check(self) -> None:
        """Read every event once; compare each bundle with the room before and after it."""
        with translate_index_errors():
            for number, item in enumerate(self.bundles[1:], 1):
                self._add_increment(number, item)
            events, digest = self._add_base()
            for item in self.bundles:
                item.bundle.close()  # Their events and files can still be read.
            self.state.totals.digest = format_digest(digest)
            self.totals.append(self.state.totals)
            history = self._index.execute(_HISTORY)
            row = history.fetchone()
            for number, item in enumerate(self.bundles[1:], 1):
                while row and row[0] == number:
                    change_in_count, change_in_digest = self._follow(item.name, row)
                    events, digest = events + change_in_count, digest + change_in_digest
                    row = history.fetchone()
                self.state.apply(item.name, item.bundle)
                expected = ChainTotals(events, len(self.state.media), format_digest(digest))
                if self.state.totals != expected:
                    now, listed = _describe(expected), _describe(self.state.totals)
                    problem = f"the room has {now}, but its manifest lists {listed}"
                    raise BundleDamaged(f"After {item.name}, {problem}.", entry=MANIFEST)
                self.totals.append(expected)
        for entry in self.state.media.values():
            if entry.missing is None and self.find_media(entry.sha256) is None:
                raise BundleDamaged(
                    f"No bundle has the bytes of attachment {entry.media_id} ({entry.name})."
                )

    def _add_increment(self, number: int, item: ChainBundle) -> None:
        for texts in item.bundle.iter_texts():
            kinds, plain = zip(
                *(split_change(bytes(text), item.name) for text in texts), strict=True
            )
            batch = describe(plain)
            self._records[number].write(batch.records)
            self._index.executemany(
                "INSERT INTO touches VALUES (?, ?, ?, ?, ?)",
                (
                    (key, number, kind, digest, sender)
                    for (_, key, digest), kind, sender in zip(
                        iter_records(batch.records), kinds, batch.sender_ids, strict=True
                    )
                ),
            )
        for ids in item.bundle.iter_deleted():
            self._index.executemany(
                "INSERT INTO touches (id, increment, kind) VALUES (?, ?, ?)",
                ((bytes.fromhex(key.replace("-", "")), number, _DELETED) for key in ids),
            )

    def _add_base(self) -> tuple[int, int]:
        """Add the events of the base that increments touch; return the number of events, and the
        sum."""
        count = digest = 0
        for texts in self.bundles[0].bundle.iter_texts():
            records, sender_ids, _ = describe(cast(Sequence[bytes], texts))
            self._records[0].write(records)
            self._events_by_sender.update(sender_ids)
            count, digest = count + len(texts), digest + sum_digests(records)
            if touched := self._find_touched(records, after=0):
                self._index.executemany(
                    "INSERT INTO touches VALUES (?, 0, ?, ?, ?)",
                    (
                        (key, _ADDED, digest_, sender)
                        for (_, key, digest_), sender in zip(
                            iter_records(records), sender_ids, strict=True
                        )
                        if key in touched
                    ),
                )
        return count, digest

    def _follow(self, name: str, row: Sequence[Any]) -> tuple[int, int]:
        """Return by how much an increment changes the number of events, and the sum of the digests.

        `row` is one of `_HISTORY`.
        """
        _, key, kind, digest, sender, kind_before, digest_before, sender_before = row
        existed = kind_before is not None and kind_before != _DELETED
        if existed == (kind == _ADDED):
            verb = ("adds", "changes", "deletes")[kind]
            problem = "exists already" if existed else "does not exist"
            raise BundleDamaged(
                f"{name} {verb} event {format_id(key)}, which {problem}.",
                entry=MANIFEST,
                event_id=format_id(key),
            )
        if sender is not None:
            self._events_by_sender[sender] += 1
        if sender_before is not None:
            self._events_by_sender[sender_before] -= 1
        change = int.from_bytes(digest or b"") - int.from_bytes(digest_before or b"")
        return (kind == _ADDED) - (kind == _DELETED), change

    def build_header(self, generator: str) -> ManifestHeader:
        """Return the header of the room after the last bundle, as a whole bundle has it."""
        state, used = self.state, self._events_by_sender
        return ManifestHeader(
            generator=generator,
            server_name=state.server_name,
            exported_at=state.exported_at,
            room=state.room,
            window=None,
            senders={key: row for key, row in sorted(state.senders.items()) if used[key] > 0},
            media=sorted(state.media.values(), key=attrgetter("media_id")),
        )

    def _find_touched(self, records: bytes, *, after: int) -> set[bytes]:
        """Return the IDs of these events that an increment after this one touches."""
        if len(self.bundles) - 1 <= after:
            return set()
        found: set[bytes] = set()
        for part in batched(key for _, key, _ in iter_records(records)):
            marks = ",".join("?" * len(part))
            rows = self._index.execute(
                f"SELECT DISTINCT id FROM touches WHERE id IN ({marks}) AND increment > ?",
                (*part, after),
            )
            found.update(key for (key,) in rows)
        return found

    def iter_batches(self, *, with_texts: bool = True) -> Iterator[StateBatch]:
        """Yield the events of the room after the last bundle; `sender_ids` are empty.

        Without their texts, which are empty then, no bundle is read again.
        """
        with translate_index_errors():
            bundles = (
                self._iter_items(number, with_texts) for number in range(1, len(self.bundles))
            )
            changes = merge(*bundles, key=itemgetter(0))
            pending, last = next(changes, None), b""
            for batch in self._iter_current(0, with_texts):
                end, between = batch.records[-RECORD_BYTES:], []
                while pending and pending.record < end:
                    between.append(pending)
                    pending = next(changes, None)
                whole = _merge_items(batch, between) if between else batch
                last = _require_order(whole.records, last, is_sorted=not between)
                yield whole
            remaining = chain((pending,), changes) if pending else changes
            for items in batched(remaining):
                whole = _merge_items(StateBatch(b""), items)
                last = _require_order(whole.records, last, is_sorted=False)
                yield whole

    def _iter_current(self, number: int, with_texts: bool) -> Iterator[StateBatch]:
        """Yield the events of an increment that no later bundle changes or deletes."""
        item, file = self.bundles[number], self._records[number]
        count = file.seek(0, os.SEEK_END) // RECORD_BYTES
        blank = ([b""] * len(part) for part in batched(range(count)))
        file.seek(0)
        for texts in item.bundle.iter_texts() if with_texts else blank:
            records, kept = file.read(len(texts) * RECORD_BYTES), cast(Sequence[bytes], texts)
            if gone := self._find_touched(records, after=number):
                rows = list(iter_records(records))
                kept = [text for row, text in zip(rows, kept, strict=True) if row[1] not in gone]
                records = b"".join(b"%b%b%b" % row for row in rows if row[1] not in gone)
            if kept:
                yield StateBatch(records, (), kept)

    def _iter_items(self, number: int, with_texts: bool) -> Iterator[Item]:
        name = self.bundles[number].name
        for records, _, texts in self._iter_current(number, with_texts):
            for row, text in zip(iter_records(records), texts, strict=True):
                plain = split_change(bytes(text), name)[1] if with_texts else b""
                yield Item(b"%b%b%b" % row, "", plain)

    def find_media(self, sha256: str) -> ValidatedBundle | None:
        """Return the last bundle with the bytes of an attachment."""
        bundles = (item.bundle for item in reversed(self.bundles))
        return next((bundle for bundle in bundles if bundle.has_media(sha256)), None)


def _describe(totals: ChainTotals) -> str:
    events, media = pluralize(totals.events, "event"), pluralize(totals.media, "attachment")
    return f"{events}, {media} and digest {totals.digest}"


def _merge_items(batch: StateBatch, items: Sequence[Item]) -> StateBatch:
    """Return the events of both in stream order."""
    rows = [
        (b"%b%b%b" % row, text)
        for row, text in zip(iter_records(batch.records), batch.texts, strict=True)
    ]
    rows += [(item.record, item.text) for item in items]
    rows.sort(key=itemgetter(0))
    return StateBatch(b"".join([record for record, _ in rows]), (), [text for _, text in rows])


def _require_order(records: bytes, last: bytes, *, is_sorted: bool) -> bytes:
    """Require that no two events have the same position; return the last one."""
    for position in (records[:8],) if is_sorted else (row[0] for row in iter_records(records)):
        if position <= last:
            raise BundleOutOfOrder(
                f"Two events of the chain have the same stream_position: {int.from_bytes(last)}.",
                entry=MANIFEST,
            )
        last = position
    return records[-RECORD_BYTES:][:8]


def split_change(text: bytes, name: str) -> tuple[int, bytes]:
    """Split an event of an increment into its change and its text in a whole bundle."""
    for kind, prefix in enumerate(_PREFIXES):
        if text.startswith(prefix):
            return kind, b"{" + text[len(prefix) :]
    raise manifest_error(f"An event of {name}", "does not begin with its `change`")


def join_change(text: bytes, *, is_changed: bool) -> bytes:
    return _PREFIXES[is_changed] + text[1:]


def format_digest(digest: int) -> str:
    return f"{digest % DIGEST_MODULUS:032x}"


@contextmanager
def open_chain(
    files: Sequence[tuple[str, BinaryIO]],
    *,
    max_bytes: int,
    progress_factory: ProgressFactory = null_progress_factory,
    to_sequence: int | None = None,
) -> Iterator[Chain]:
    """Validate bundles, which may be in any order, and everything about the chain they make.

    With `to_sequence`, later bundles are left out. Raises `BundleError`, which names the file, or
    `DiskFull`.
    """
    if len(files) > MAX_BUNDLES:
        raise BundleChainOther(
            f"A chain has at most {MAX_BUNDLES} bundles; {len(files):,} were given."
        )
    with ExitStack() as stack:
        try:
            bundles, described = [], 0
            for name, file in files:
                with progress_factory(f"Checking {name}", ColumnType.BYTES) as progress:
                    bundle = _read_bundle(name, file, max_bytes, progress)
                bundles.append(ChainBundle(name, stack.enter_context(bundle)))
                header = bundle.header
                removed = header.increment.media_removed if header.increment else ()
                described += len(header.senders) + len(header.media) + len(removed)
                if described > MAX_DESCRIPTIONS:
                    raise BundleChainOther(
                        f"The bundles describe more than {MAX_DESCRIPTIONS:,} people and "
                        "attachments together."
                    )
            ordered = order_bundles(bundles)
            if to_sequence is not None and not 0 <= to_sequence < len(ordered):
                raise BundleChainGap(f"The chain has no bundle {to_sequence:,}.")
            opened = Chain(ordered if to_sequence is None else ordered[: to_sequence + 1])
            stack.callback(opened.close)
            with translate_disk_full(f"Not enough disk space in {tempfile.gettempdir()}."):
                opened.check()
        except BundleError as error:
            error.fix = error.advice  # What has been imported or written is for the caller to say.
            raise
        yield opened


def _read_bundle(name: str, file: BinaryIO, max_bytes: int, progress: Any) -> ValidatedBundle:
    try:
        return read_bundle(
            file, max_bytes=max_bytes, cut_references=True, progress=progress, find_targets=find_all
        )
    except (BundleError, ImportRefused, ContentTooLarge) as error:
        raise type(error)(f"{name}: {error.message}", fix=error.fix, **error.details) from None


def order_bundles(bundles: Sequence[ChainBundle]) -> list[ChainBundle]:
    """Return the bundles in order. Raises an error that names missing and foreign bundles."""
    bases = [item for item in bundles if item.header.increment is None]
    if not bases:
        raise BundleChainGap("The base of the chain is missing.")
    base = bases[0]
    if len(bases) > 1:
        raise BundleChainOther(f"{base.name} and {bases[1].name} are both whole bundles.")
    if base.header.window is not None:
        raise BundleChainPartial(f"{base.name} contains a period, not a whole room.")
    increments = sorted(
        ((item.header.increment.chain, item) for item in bundles if item.header.increment),
        key=lambda pair: pair[0].sequence,
    )
    numbers = {position.sequence for position, _ in increments}
    if count := max(numbers, default=0) - len(numbers):
        raise gap_error((n for n in range(1, max(numbers)) if n not in numbers), count)
    ordered = [base]
    for _, item in increments:
        if problem := _find_strangeness(ordered, item):
            raise BundleChainOther(f"{item.name} {problem}.")
        ordered.append(item)
    return ordered


def _find_strangeness(before: Sequence[ChainBundle], item: ChainBundle) -> str | None:
    """Return why an increment can't follow these bundles."""
    base, previous = before[0], before[-1]
    if (increment := item.header.increment) is None:
        return "is a whole bundle"
    position = increment.chain
    if position.root != base.bundle.manifest_sha256:
        return f"belongs to another base than {base.name}"
    if item.header.room.id != base.header.room.id:
        return f"is of another room than {base.name}"
    if position.parent != previous.bundle.manifest_sha256:
        return f"does not follow {previous.name}"
    if not previous.header.exported_at == position.since <= item.header.exported_at:
        return f"was exported before {previous.name}"
    return None


def gap_error(missing: Iterable[int], count: int) -> BundleChainGap:
    """`missing` yields the numbers of the missing bundles. Only the first are listed."""
    listed = ", ".join(f"{number:,}" for number in islice(missing, _MAX_LISTED))
    more = f" and {count - _MAX_LISTED:,} more" if count > _MAX_LISTED else ""
    return BundleChainGap(f"Bundles are missing: {listed}{more}.")
