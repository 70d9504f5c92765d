"""Write the bundle of each room from sorted records."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from rooms.bundle.archive.writer import join_small
from rooms.bundle.format import format_id, sanitize_file_name
from rooms.bundle.manifest.schema import ManifestHeader, RoomInfo, Sender, TimeWindow, WorkspaceInfo
from rooms.bundle.writer import CHUNK_BYTES, BundleWriter
from rooms.conversion.accounts import MERGED, WRITTEN, Accounts, Place, RowKind
from rooms.conversion.event_encoder import (
    CERTAIN,
    KEY,
    NO_KIND,
    PATCH,
    TEXT_OFFSET,
    EventEncoder,
    OpenRoom,
    RecordHead,
    decode_record_head,
    get_variant,
    make_uuid,
)
from rooms.conversion.json_rows import clean_text
from rooms.conversion.model import MAX_TIME, SourcePerson
from rooms.conversion.source_files import FileDamaged
from rooms.errors import ExportDamaged, SourceUnreadable
from scaiwave import __version__
from scaiwave.core.files import atomic_write, translate_write_errors

_CONTENT = b'"content":{'
_MAX_NAME_CHARS, _MAX_TOPIC_CHARS, _MAX_FILE_CHARS = 300, 10_000, 60


@dataclass(frozen=True)
class WrittenRoom:
    """The bundle of a room; `file` is its name in the directory."""

    id: str
    source_id: str
    name: str
    file: str
    events: int
    people: int
    media: int


class RoomWriter:
    """Writes bundles into a directory, or only counts in a dry run."""

    def __init__(self, encoder: EventEncoder, directory: Path | None) -> None:
        self.encoder = encoder
        self._reader = reader = encoder.reader
        self._directory = directory
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in reader.workspace.lower())
        self._server_name = f"{name.strip('-')[:60] or 'unknown'}.{reader.system}"

    def write(self, state: OpenRoom, records: Iterator[bytes], digest: str) -> WrittenRoom:
        """Write the bundle from all records of the room. Raises `DiskFull` or `FileUnwritable`."""
        header = self._build_header(state)
        file_name = build_file_name(state)
        lines = _EventLines(state, records, self.encoder.accounts)
        source = {
            "system": self._reader.system,
            "workspace": self._reader.workspace,
            "room": state.room.id,
            "file": self.encoder.files.file_name,
            "sha256": digest,
            "converter": f"scaiwave {__version__}",
        }
        if self._directory is None:
            for _ in lines:
                pass
        else:
            target = self._directory / file_name
            with (
                translate_write_errors(target),
                atomic_write(target, keep_owner=False, follow_links=False) as file,
                closing(self._encode(BundleWriter(header, source=source), state, lines)) as parts,
            ):
                for part in join_small(parts):
                    file.write(part)
        return WrittenRoom(
            state.id, state.room.id, header.room.name, file_name, lines.count,
            len(header.senders), len(header.media),
        )  # fmt: skip

    def _encode(
        self, writer: BundleWriter, state: OpenRoom, lines: _EventLines
    ) -> Generator[bytes]:
        yield from writer.encode_manifest(lines)
        for _, entries in groupby(_sort_media(state), lambda entry: entry.media_id):
            entry = next(entries)
            path = state.paths[entry.sha256]
            try:
                yield from writer.encode_attachment(entry, self.encoder.files.iter_chunks(path))
            except (FileDamaged, ExportDamaged):
                raise SourceUnreadable(
                    f"{path} was changed while it was read.", fix="Run the same command again."
                ) from None
        yield from writer.encode_end(events=lines.count, signer=None)

    def _build_header(self, state: OpenRoom) -> ManifestHeader:
        room, encoder = state.room, self.encoder
        exported_at = encoder.format_time(state.last)
        created_at = room.created_at
        if created_at is None or not 0 < created_at <= MAX_TIME:
            created_at = state.first or 0
        workspace_id = make_uuid(self._reader.system, self._reader.workspace, "workspace")
        creator = room.creator or min(state.senders, default="")
        window = None
        if room.since is not None or room.until is not None:
            window = TimeWindow(self._format_bound(room.since), self._format_bound(room.until))
        return ManifestHeader(
            generator=f"scaiwave {__version__}",
            server_name=self._server_name,
            exported_at=exported_at,
            room=RoomInfo(
                id=state.id,
                name=clean_text(room.name, _MAX_NAME_CHARS),
                topic=clean_text(room.topic, _MAX_TOPIC_CHARS),
                room_type=room.room_type,
                scope_kind=None,
                state="archived" if room.is_archived else "open",
                is_public=room.room_type == "public",
                is_federated=False,
                visibility="",
                read_role_slugs=[],
                room_alias=None,
                creator_id=encoder.get_person_id(creator),
                created_at=encoder.format_time(created_at),
                workspace=WorkspaceInfo(
                    workspace_id, self._reader.system, clean_text(self._reader.workspace, 100)
                ),
            ),
            window=window,
            senders={
                sender: self._build_sender(state, self._reader.people[person])
                for person, sender in sorted(state.senders.items(), key=lambda item: item[1])
            },
            media=_sort_media(state),  # after the senders, whose pictures are among them
        )

    def _format_bound(self, at: int | None) -> str | None:
        return None if at is None else self.encoder.format_time(min(max(at, 0), MAX_TIME))

    def _build_sender(self, state: OpenRoom, person: SourcePerson) -> Sender:
        local_id = "".join(
            chr(byte) if chr(byte) in _LOCAL_ID_CHARS else f"={byte:02x}"
            for byte in person.id.encode(errors="replace")
        )
        known = self.encoder.known_people.get(person.id)
        name = clean_text((known and known.name) or person.name, _MAX_NAME_CHARS)
        return Sender(
            display_name=name or person.id[:_MAX_NAME_CHARS],
            avatar_url=self.encoder.store_avatar(state, person) or None,
            fqid=f"@{local_id[:400]}:{self._server_name}",
            participant_type="agent" if person.is_bot else "human",
            is_foreign=False,
        )


_LOCAL_ID_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def build_file_name(state: OpenRoom) -> str:
    """Return a name that no other room has, in any export of the same source."""
    name = sanitize_file_name(clean_text(state.room.name, _MAX_FILE_CHARS)).replace(" ", "-")
    return f"{name}-{state.id.replace('-', '')[:12]}.zip"


def _sort_media(state: OpenRoom) -> list[Any]:
    return sorted(state.media.values(), key=lambda entry: (entry.media_id, entry.name))


@dataclass
class _EventLines:
    """Yields the events as pieces of a manifest, in order, each once; counts them."""

    state: OpenRoom
    records: Iterator[bytes]
    accounts: Accounts
    count: int = 0

    def __post_init__(self) -> None:
        self._present: set[bytes] = set()
        self._deleted: set[Place] = set()
        # The IDs of events whose own one was taken, by that and their variant.
        self._renamed: dict[tuple[bytes, int], bytes] = {}

    def __iter__(self) -> Iterator[bytes]:
        piece, separator = bytearray(), b""
        for line in self._iter_lines():
            piece += separator
            piece += line
            separator = b",\n"
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece)

    def _iter_lines(self) -> Iterator[bytes]:
        same: list[bytes] = []
        id_end = KEY.size - 4
        for record in self.records:
            if same and record[:id_end] != same[0][:id_end]:
                yield from self._iter_same(same)
                same = []
            if self._deleted:
                link = decode_record_head(record)
                if link.kind == NO_KIND and link.place in self._deleted:
                    continue  # It is a further part of a message that was deleted.
            same.append(record)
        if same:
            yield from self._iter_same(same)

    def _iter_same(self, records: list[bytes]) -> Iterator[bytes]:
        """Yield the events among records with the same ID: mostly there is one."""
        link = decode_record_head(records[0])
        if len(records) == 1 and not link.flags & PATCH:
            yield self._format(records[0], link)
            return
        patches = [record for record in records if decode_record_head(record).flags & PATCH]
        whole: dict[int, bytes] = {}
        for record in records:
            *_, variant = KEY.unpack_from(record)
            link = decode_record_head(record)
            if link.flags & PATCH:
                continue
            if variant in whole:
                if link.kind != NO_KIND:
                    self.accounts.count(link.file, link.kind, MERGED)
            else:
                whole[variant] = record
        if not whole:
            # What changed is not in the export, so the change is all that is known of it.
            whole[0], *patches = patches
        for number, record in enumerate(whole.values()):
            patched = _apply_patches(record, patches) if number == 0 else record
            link = decode_record_head(record)
            if b'"redacted_at":' in patched[TEXT_OFFSET : patched.index(_CONTENT)]:
                self._deleted.add(link.place)
            yield self._format(patched, link, number)
        for patch in patches:
            link = decode_record_head(patch)
            self.accounts.count(link.file, link.kind, MERGED)

    def _format(self, record: bytes, link: RecordHead, number: int = 0) -> bytes:
        *_, event_id, variant = KEY.unpack_from(record)
        text = record[TEXT_OFFSET:]
        if number:
            taken = (event_id, variant)
            # The second, third … event that had the same ID.
            ordinal = get_variant(event_id.hex(), str(number)).to_bytes(4, "big")
            event_id = event_id[:9] + ordinal + event_id[13:]
            self._renamed[taken] = event_id
        if event_id in self.state.targets or number:
            self._present.add(event_id)
        if link.target is not None:
            target = self._renamed.get((link.target, link.target_variant), link.target)
            if link.flags & CERTAIN or target in self._present:
                key = b"event_id" if link.kind == RowKind.REACTIONS else b"reply_to_event_id"
                reference = b'"%b":"%b",' % (key, format_id(target).encode())
                text = text.replace(_CONTENT, _CONTENT + reference, 1)
            elif link.kind == RowKind.MESSAGES:
                self.accounts.note(link.place, "reply to a message that is not in the export")
        if link.kind != NO_KIND:
            self.accounts.count(link.file, link.kind, WRITTEN)
        self.count += 1
        return b'{"id":"%b","stream_position":%d,%b}' % (
            format_id(event_id).encode(), self.count, text,
        )  # fmt: skip


def _apply_patches(record: bytes, patches: list[bytes]) -> bytes:
    """Return a record with later edits and deletions, which a source lists on their own."""
    if not patches:
        return record
    fields: dict[str, Any] = msgspec.json.decode(b"{" + record[TEXT_OFFSET:] + b"}")
    for patch in patches:
        change: Mapping[str, Any] = msgspec.json.decode(b"{" + patch[TEXT_OFFSET:] + b"}")
        source = fields["content"].get("_source")
        if "redacted_at" in change:
            fields["redacted_at"] = change["redacted_at"]
            fields["content"] = {"msgtype": "swp.text", "body": "", "_source": source}
            fields.pop("original_content", None)
            fields.pop("edited_at", None)
        elif "redacted_at" not in fields:
            before = change.get("original_content") or {
                "msgtype": "swp.text", "body": fields["content"].get("body", "")
            }  # fmt: skip
            fields.setdefault("original_content", before)
            if edited_at := max(change.get("edited_at", ""), fields.get("edited_at", "")):
                fields["edited_at"] = edited_at
            fields["content"] = {**fields["content"], "body": change["content"].get("body", "")}
    content = fields.pop("content")
    head = msgspec.json.encode(fields)[1:-1]
    return record[:TEXT_OFFSET] + head + b"," + _CONTENT[:-1] + msgspec.json.encode(content)
