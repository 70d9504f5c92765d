"""Join the bundles of a chain into a whole one, and list what differs between two; no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from rooms.bundle.chain import Chain, ChainState, Item, compare
from rooms.bundle.chain_files import find_chain, open_chain_files
from rooms.bundle.format import MIB, format_id
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.writer import BundleWriter
from rooms.errors import BundleDamaged
from rooms.exports.sinks import open_target, record_written, write_drafts
from scaiwave import __version__
from scaiwave.console.output import format_bytes
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError
from scaiwave.core.report import Report
from tenants.lookup.serializers import Row


def merge_bundles(
    *,
    bundles: Sequence[Path],
    output: Path,
    to_sequence: int | None,
    overwrite: bool,
    max_bytes: int,
    progress_factory: ProgressFactory,
) -> Report:
    """Write a whole bundle of the room after a chain, or after one of its bundles.

    `bundles` are the files of the chain, its directory, or its last bundle, none larger than
    `max_bytes`. Raises `BundleError`, and the errors of `write_to_file`.
    """
    files = find_chain(bundles[0]) if len(bundles) == 1 else bundles
    if output.exists() and any(path.exists() and path.samefile(output) for path in files):
        raise UsageError(
            f"{output} is a bundle of the chain, which would be lost.", fix="Pass another file."
        )
    with (
        open_chain_files(
            files, max_bytes=max_bytes, progress_factory=progress_factory, to_sequence=to_sequence
        ) as chain,
        write_drafts(output.parent),
    ):
        with (
            open_target(output, overwrite=overwrite) as file,
            progress_factory("Writing events") as progress,
        ):
            total = chain.state.totals.events
            file.writelines(
                iter_merged(chain, f"scaiwave {__version__}", lambda done: progress(done, total))
            )
        state = chain.state
    record_written(output)
    size, totals = output.stat().st_size, state.totals
    figures = {
        "room": state.room.name,
        "sequence": state.sequence,
        "exported_at": state.exported_at,
        "events": totals.events,
        "media": totals.media,
        "file": str(output),
        "size_bytes": size,
    }
    sentence = (
        f"Merged room {state.room.name!r} as of {state.exported_at} (increment "
        f"{state.sequence:,}): "
        f"{pluralize(totals.events, 'event')}, {pluralize(totals.media, 'attachment')}, "
        f"{format_bytes(size)}. The bundle is unsigned."
    )
    return Report(figures, sentence)


def iter_merged(chain: Chain, generator: str, on_events: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the bytes of a whole bundle of the room after a chain. It is unsigned."""
    header, count, separator = chain.build_header(generator), 0, b""
    writer = BundleWriter(header)

    def iter_events() -> Iterator[bytes]:
        nonlocal count, separator
        for batch in chain.iter_batches():
            count += len(batch.texts)
            on_events(count)
            yield separator + b",\n".join(batch.texts)
            separator = b",\n"

    yield from writer.encode_manifest(iter_events())
    written: set[str] = set()
    for entry in header.media:
        if entry.missing is None and entry.sha256 not in written:
            written.add(entry.sha256)
            if (bundle := chain.find_media(entry.sha256)) is None:
                raise BundleDamaged(f"No bundle has the bytes of attachment {entry.media_id}.")
            with bundle.open_media(entry.sha256) as file:
                chunks = iter(partial(file.read, MIB), b"")
                yield from writer.encode_attachment(entry, chunks)
    yield from writer.encode_end(events=count, signer=None)


def diff_bundles(
    *, before: Path, after: Path, max_bytes: int, progress_factory: ProgressFactory
) -> Report:
    """Compare two states of a room: whole bundles, bundles of a chain, or directories with chains.

    `room` are the names of its changed fields. Raises `BundleError` and `UsageError`.
    """
    options: dict[str, Any] = {"max_bytes": max_bytes, "progress_factory": progress_factory}
    with (
        open_chain_files(find_chain(before), **options) as old,
        open_chain_files(find_chain(after), **options) as new,
    ):
        pairs = compare(old.iter_batches(), new.iter_batches())
        events = list(_iter_rows(list(pairs), old.state, new.state))
        old_room, new_room = map(msgspec.structs.asdict, (old.state.room, new.state.room))
        old_media, new_media = old.state.media, new.state.media
        shared = old_media.keys() & new_media.keys()
        senders = [
            sender.fqid
            for key, sender in new.state.senders.items()
            if key in old.state.senders and old.state.senders[key] != sender
        ]
        room = [key for key, value in new_room.items() if value != old_room[key]]
        media = {
            "added": len(new_media) - len(shared),
            "removed": len(old_media) - len(shared),
            "changed": sum(old_media[key] != new_media[key] for key in shared),
        }
    counts = Counter(row["change"] for row in events)
    parts = [f"{count:,} {change}" for change, count in sorted(counts.items())]
    parts += [f"{pluralize(count, 'attachment')} {name}" for name, count in media.items() if count]
    if senders:
        parts.append(f"{pluralize(len(senders), 'sender')} changed")
    parts += [f"{name} changed" for name in room]
    return Report(
        {"events": events, "room": room, "senders": senders, "media": media},
        f"Differences: {', '.join(parts)}." if parts else "The bundles do not differ.",
    )


def _iter_rows(
    pairs: Sequence[tuple[Item | None, Item | None]], old: ChainState, new: ChainState
) -> Iterator[Row]:
    """Yield a row for each event; one at another position is in two pairs."""
    before = {item.event_id: item for item, _ in pairs if item}
    after = {item.event_id: item for _, item in pairs if item}
    # Items sort by their position in the stream; deleted events are where they were.
    order = sorted({**before, **after}.values())
    for item in order:
        key = item.event_id
        left, right = before.get(key), after.get(key)
        state = new if right else old
        event = msgspec.json.decode(item.text, type=BundleEvent)
        sender = state.senders[event.sender_id]
        yield {
            "change": _name_change(left, event) if right else "deleted",
            "id": format_id(key),
            "event_type": event.event_type,
            "sender": sender.fqid,
            "sender_name": sender.display_name,
            "created_at": event.created_at,
            "changed_at": (event.redacted_at or event.edited_at) if left and right else None,
        }


def _name_change(left: Item | None, event: BundleEvent) -> str:
    if left is None:
        return "added"
    before = msgspec.json.decode(left.text, type=BundleEvent)
    if event.redacted_at != before.redacted_at:
        return "redacted"
    return "edited" if event.edited_at != before.edited_at else "changed"
