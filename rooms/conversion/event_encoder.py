"""Encode events of a source as records that sort by room and time.

A record is a key, the place that it was read from, the event that it refers to, and the rest of its
line in the manifest. What depends on other events is only known when all are sorted: its position,
whether the event that it refers to exists, and whether it was read twice. `room_writer` adds it.
"""

from __future__ import annotations

import datetime as dt
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from struct import Struct
from typing import Any, NamedTuple

import msgspec
from isal.isal_zlib import crc32

from rooms.bundle.archive.reader import hash_chunks
from rooms.bundle.format import AVATAR_MEDIA, MAX_MEDIA, MAX_SENDERS, format_id
from rooms.bundle.manifest.schema import MediaEntry
from rooms.conversion import model
from rooms.conversion.accounts import KINDS, READ, WRITTEN, Accounts, Place, RowKind
from rooms.conversion.json_rows import clean_text
from rooms.conversion.markdown import code_block, escape, link, strip_query
from rooms.conversion.model import MAX_TIME, SourceEvent, SourceFile, SourcePerson, SourceRoom
from rooms.conversion.people import KnownPerson
from rooms.conversion.reader import Reader
from rooms.conversion.source_files import FileDamaged, SourceFiles
from scaiwave.console.output import format_bytes
from tenants.lookup.validators import clean_avatar_url

KEY = Struct(">IQH16sI")
"""Room, time in microseconds, order among events of a time, ID, variant."""
_LINK = Struct(">IIBB16sI")
"""File, row, kind, flags, and the ID and variant of the event that it refers to."""
NO_KIND = 255
"""For an event that is not a row of its own, such as the second part of a long message."""
PATCH, CERTAIN = 1, 2
"""CERTAIN: the event that it refers to is in the room."""
_HEAD = Struct(KEY.format + _LINK.format[1:])
_NOTHING = b"\0" * 16

_EPOCH = dt.date(1970, 1, 1)
_REACTIONS_ORDER, _PIN_ORDER, _MAX_PARTS = 0xF000, 0xE000, 0xD000
# Together they stay below the limit of a content, 64 KiB, whatever the characters.
_MAX_BODY_BYTES, _MAX_PIECE_CHARS = 30_000, 7_500
_MAX_MENTIONS, _MAX_LISTED_FILES = 200, 10
_MAX_NAME_CHARS, _MAX_LISTED_CHARS, _MAX_URL_CHARS = 255, 100, 300
_encode = msgspec.json.Encoder().encode


class RecordHead(NamedTuple):
    """What is known of a record besides its key and its text."""

    file: int
    row: int
    kind: int
    flags: int
    target: bytes | None
    target_variant: int

    @property
    def place(self) -> Place:
        return Place(self.file, self.row)


def decode_record_head(record: bytes) -> RecordHead:
    file, row, kind, flags, target, variant = _LINK.unpack_from(record, KEY.size)
    return RecordHead(file, row, kind, flags, None if target == _NOTHING else target, variant)


TEXT_OFFSET = _HEAD.size


def get_room_number(record: bytes) -> int:
    return int.from_bytes(record[:4], "big")


@dataclass(eq=False)
class OpenRoom:
    """A room while its events are read. `media` maps hashes and names to attachments."""

    room: SourceRoom
    number: int
    id: str
    prefix: Any
    senders: dict[str, str] = field(default_factory=dict)
    media: dict[tuple[str, str], MediaEntry] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    targets: set[bytes] = field(default_factory=set)
    first: int | None = None
    last: int = 0


def make_uuid(*parts: str) -> str:
    """Return a UUID of version 8 (RFC 9562) that depends on these texts alone."""
    raw = bytearray(sha256("\0".join(parts).encode(errors="replace")).digest()[:16])
    raw[6], raw[8] = 0x80 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
    return format_id(raw)


@dataclass(eq=False)
class EventEncoder:
    """Encodes the events of all rooms. `known_people` are by their IDs in the source."""

    reader: Reader
    files: SourceFiles
    accounts: Accounts
    known_people: Mapping[str, KnownPerson]

    def __post_init__(self) -> None:
        self._system, self._people = self.reader.system, self.reader.people
        self._scope = (self._system, self.reader.workspace)
        self._person_ids: dict[str, str] = {}
        self._days: dict[int, str] = {}
        self._hashes: dict[str, tuple[str, int] | None] = {}

    def start_room(self, room: SourceRoom, number: int) -> OpenRoom:
        prefix = sha256("\0".join((*self._scope, room.id, "")).encode(errors="replace"))
        return OpenRoom(room, number, make_uuid(*self._scope, "room", room.id), prefix)

    def get_person_id(self, person: str) -> str:
        if (known := self._person_ids.get(person)) is None:
            known = self._person_ids[person] = make_uuid(*self._scope, "person", person)
        return known

    def format_time(self, at: int) -> str:
        """Return microseconds since 1970 in the form of a bundle."""
        day, rest = divmod(at, 86_400_000_000)
        if (date := self._days.get(day)) is None:
            date = self._days[day] = str(_EPOCH + dt.timedelta(day))
        second, fraction = divmod(rest, 1_000_000)
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        return f"{date}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"

    def iter_records(self, state: OpenRoom, event: SourceEvent) -> Iterator[bytes]:
        """Yield the records of an event, and count the parts that they don't carry."""
        place = event.place
        if not event.has_time:
            loss = "message without a usable time"
            self.accounts.report(place, RowKind.MESSAGES, loss)
            for label, parts in (("reaction", event.reactions), ("attachment", event.files)):
                if parts:
                    kind = KINDS.index(f"{label}s")
                    self.accounts.lose(place, kind, f"{label} of a {loss}", len(parts))
            return
        if event.files and event.kind != model.MESSAGE:
            event.kind, event.msgtype, event.content = model.MESSAGE, model.SYSTEM, {}
        sender = self._get_sender(state, event.author, place)
        state.first = event.at if state.first is None else min(state.first, event.at)
        state.last = max(state.last, event.at)
        event_id = self._make_id(state, event.id, event.at)
        target = None
        if event.reply_to is not None:
            target = self._make_id(state, event.reply_to, event.reply_at)
            if not event.has_root:
                state.targets.add(target)
        flags = (PATCH if event.is_patch else 0) | (CERTAIN if event.has_root else 0)
        contents, original = self._build_contents(state, event)
        reply_to, variant = (target, event.reply_variant), event.variant
        yield self._build_record(
            state, (event_id, event.at, variant), 0, (place, RowKind.MESSAGES, flags),
            target=reply_to, sender=sender, kind=event.kind, content=contents[0],
            changes=self._encode_changes(event, original),
        )  # fmt: skip
        for part, content in enumerate(contents[1:], 1):
            key = (self._derive(event_id, f"part\0{part}"), event.at, variant)
            yield self._build_record(
                state, key, min(part, _MAX_PARTS), (place, NO_KIND, flags & CERTAIN),
                target=reply_to, sender=sender, kind=model.MESSAGE, content=content,
            )  # fmt: skip
        if event.pinned_by is not None:
            yield self._build_pin(state, event, event_id)
        if event.reactions:
            yield from self._iter_reactions(state, event, event_id)

    def _build_contents(
        self, state: OpenRoom, event: SourceEvent
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Return the content of the event and of further parts, and its content before an edit."""
        source: dict[str, Any] = {"system": self._system, "id": event.id, "time": event.at}
        if event.thread is not None:
            source["thread"] = event.thread
        if event.pinned_by is not None:
            source["pinned"] = True
        if event.kind != model.MESSAGE:
            for key in event.content.keys() & {"participant_id", "changed_by"}:
                event.content[key] = self._get_sender(state, event.content[key], event.place)
            return [{**event.content, "_source": source}], None
        body = event.body
        media: list[tuple[str, str]] = []
        if event.files:
            media, lines, listed = self._store_files(state, event)
            body = "\n".join((body, *lines) if body else lines)
            if listed:
                source["files"] = listed[:_MAX_LISTED_FILES]
        pieces = self._split(body, event.place)
        content: dict[str, Any] = {"msgtype": event.msgtype, "body": pieces[0], **event.content}
        if event.mentions:
            content["mentions"] = self._list_mentions(state, event)
        content["_source"] = source
        contents = [content]
        part_source = {"system": self._system, "id": event.id, "part": True}
        contents += (
            {"msgtype": event.msgtype, "body": piece, "_source": part_source}
            for piece in pieces[1:]
        )
        if media and len(pieces) == 1:
            content["msgtype"] = model.MEDIA
            content["media_id"], name = media.pop(0)
            content["body"] = body or name
        contents += (
            {"msgtype": model.MEDIA, "body": name, "media_id": media_id, "_source": part_source}
            for media_id, name in media
        )
        if event.original is None:
            return contents, None
        original = self._split(event.original, event.place)[0]
        return contents, {"msgtype": event.msgtype, "body": original}

    def _list_mentions(self, state: OpenRoom, event: SourceEvent) -> list[str]:
        mentions: dict[str, None] = {}
        for person in event.mentions[:_MAX_MENTIONS]:
            sender = self._get_sender(state, person, event.place)
            known = self.known_people.get(person)
            mentions[(known and known.participant_id) or sender] = None
        return list(mentions)

    def _split(self, body: str, place: Place) -> list[str]:
        """Return the body in pieces that fit into the content of an event."""
        if len(body) <= _MAX_PIECE_CHARS or len(_encode(body)) <= _MAX_BODY_BYTES:
            return [body]
        self.accounts.note(place, "long message, split into several events")
        pieces = []
        while body:
            end = _MAX_PIECE_CHARS
            if len(body) > end and (newline := body.rfind("\n", end // 2, end)) > 0:
                end = newline + 1
            pieces.append(body[:end])
            body = body[end:]
        return pieces

    def _build_pin(self, state: OpenRoom, event: SourceEvent, event_id: bytes) -> bytes:
        """Return a message that says that the event is pinned: bundles have no pins."""
        person = event.pinned_by or event.author
        self.accounts.note(event.place, "pin, carried as a text")
        key = (self._derive(event_id, "pin"), event.at, event.variant)
        content = {"msgtype": model.SYSTEM, "body": "Pinned this message."}
        return self._build_record(
            state, key, _PIN_ORDER, (event.place, NO_KIND, CERTAIN),
            target=(event_id, event.variant),
            sender=self._get_sender(state, person, event.place), kind=model.MESSAGE,
            content=content,
        )  # fmt: skip

    def _iter_reactions(
        self, state: OpenRoom, event: SourceEvent, event_id: bytes
    ) -> Iterator[bytes]:
        for reaction in event.reactions:
            self.accounts.count(event.place.file, RowKind.REACTIONS, READ)
            sender = self._get_sender(state, reaction.person, event.place)
            at = reaction.at if reaction.at and 0 < reaction.at <= MAX_TIME else event.at
            state.last = max(state.last, at)
            parts = f"reaction\0{reaction.emoji}\0{reaction.person}\0{at}"
            # No reaction comes before its message, whatever the clock of the source was.
            key = (self._derive(event_id, parts), max(at, event.at), event.variant)
            content = {
                "sender_id": sender, "emoji": reaction.emoji, "_source": {"system": self._system}
            }  # fmt: skip
            yield self._build_record(
                state, key, _REACTIONS_ORDER, (event.place, RowKind.REACTIONS, CERTAIN),
                target=(event_id, event.variant), sender=sender, kind=model.REACTION,
                content=content,
            )  # fmt: skip

    def _build_record(
        self,
        state: OpenRoom,
        key: tuple[bytes, int, int],
        order: int,
        link: tuple[Place, int, int],
        *,
        target: tuple[bytes | None, int],
        sender: str,
        kind: str,
        content: dict[str, Any],
        changes: bytes = b"",
    ) -> bytes:
        """`changes` are further fields of the event."""
        event_id, at, variant = key
        (file, row), row_kind, flags = link
        return b'%b"sender_id":"%b","event_type":"%b","origin_ts":%d,"created_at":"%b",%b%b%b' % (
            _HEAD.pack(
                state.number, at, order, event_id, variant,
                file, row, row_kind, flags, target[0] or _NOTHING, target[1],
            ),
            sender.encode(),
            kind.encode(),
            at // 1_000_000,
            self.format_time(at).encode(),
            changes,
            b'"content":',
            _encode_clean(content),
        )  # fmt: skip

    def _encode_changes(self, event: SourceEvent, original: dict[str, Any] | None) -> bytes:
        changes = b""
        if event.edited_at and 0 < event.edited_at <= MAX_TIME:
            changes += b'"edited_at":"%b",' % self.format_time(event.edited_at).encode()
        if event.redacted_at is not None:
            redacted_at = min(max(event.redacted_at, 0), MAX_TIME)
            changes += b'"redacted_at":"%b",' % self.format_time(redacted_at).encode()
        if original:
            changes += b'"original_content":%b,' % _encode_clean(original)
        return changes

    def _make_id(self, state: OpenRoom, source_id: str, at: int) -> bytes:
        """Return an ID with the time in front, which an import keeps, as in a UUIDv7."""
        digest = state.prefix.copy()
        # With the time, so that events of different times, which are not compared, differ in it.
        digest.update(f"{source_id}\0{at}".encode(errors="replace"))
        return _with_time(digest.digest(), at)

    def _derive(self, event_id: bytes, text: str) -> bytes:
        """Return the ID of an event that belongs to another one."""
        digest = sha256(event_id + text.encode(errors="replace")).digest()
        return event_id[:6] + _with_time(digest, 0)[6:]

    def _get_sender(self, state: OpenRoom, person: str, place: Place) -> str:
        if (sender := state.senders.get(person)) is not None:
            return sender
        if len(state.senders) >= MAX_SENDERS - 1:
            self.accounts.note(place, "person after the first 100,000, named as one")
            person = "others"
        if person not in self._people:
            self._people[person] = SourcePerson(person, person or "Unknown")
            self.accounts.note(place, "person who is not in the list of people")
        sender = state.senders[person] = self.get_person_id(person)
        return sender

    def _store_files(
        self, state: OpenRoom, event: SourceEvent
    ) -> tuple[list[tuple[str, str]], list[str], list[dict[str, Any]]]:
        """Return attachments with their names, and a line and a description of missing files."""
        found, lines, listed = [], [], []
        for file in event.files:
            self.accounts.count(event.place.file, RowKind.ATTACHMENTS, READ)
            name = clean_text(file.name, _MAX_NAME_CHARS) or "file"
            loss = file.lost
            if not loss and file.path is None:
                loss = "file that is not in the export"
            elif not loss and (media_id := self._store(state, file, name)) is not None:
                self.accounts.count(event.place.file, RowKind.ATTACHMENTS, WRITTEN)
                found.append((media_id, name))
                continue
            loss = loss or "file that can't be read"
            self.accounts.report(event.place, RowKind.ATTACHMENTS, loss)
            size = f", {format_bytes(file.size)}" if file.size else ""
            shown, url = f"[{loss}: {escape(name)}{size}]", strip_query(file.url)
            lines.append(link(url, shown) if file.is_elsewhere else shown)
            if file.preview:
                lines.append(code_block(file.preview))
            description = {
                "id": file.id[:_MAX_LISTED_CHARS],
                "name": name[:_MAX_LISTED_CHARS],
                "size": file.size,
                "missing": loss,
            }
            if url:
                description["url"] = url[:_MAX_URL_CHARS]
            listed.append(description)
        return found, lines, listed

    def store_avatar(self, state: OpenRoom, person: SourcePerson) -> str:
        """Return the address of the picture of a person: an attachment if the export has it."""
        if (path := person.avatar_path) is None:
            return clean_avatar_url(person.avatar_url)
        name = clean_text(path.rpartition("/")[2], _MAX_NAME_CHARS)
        place = Place(self.files.number(path), 0)
        if path not in self._hashes:
            self._hashes[path] = self._hash(path)
            self.accounts.count(place.file, RowKind.OTHER, READ)
            if self._hashes[path] is None:
                self.accounts.report(place, RowKind.OTHER, "file that can't be read")
            else:
                self.accounts.count(place.file, RowKind.OTHER, WRITTEN)
        if (media_id := self._store(state, SourceFile("", name, path), name)) is None:
            self.accounts.note(place, "picture of a person, left out of a room")
            return ""
        return f"{AVATAR_MEDIA}{media_id}"

    def _store(self, state: OpenRoom, file: SourceFile, name: str) -> str | None:
        """Return the ID of an attachment; None if its bytes can't be read."""
        path = file.path or ""
        if path not in self._hashes:
            self._hashes[path] = self._hash(path)
        if (hashed := self._hashes[path]) is None or len(state.media) >= MAX_MEDIA:
            return None
        digest, size = hashed
        media_id = make_uuid(*self._scope, "media", digest)
        mime_type = clean_text(file.mime_type, 255) or mimetypes.guess_type(name)[0] or ""
        state.paths.setdefault(digest, path)
        state.media.setdefault(
            (digest, name),
            MediaEntry(
                media_id, digest, size, mime_type or "application/octet-stream", "pending", name,
                None,
            ),
        )  # fmt: skip
        return media_id

    def _hash(self, path: str) -> tuple[str, int] | None:
        try:
            return hash_chunks(self.files.iter_chunks(path))
        except FileDamaged:
            return None


def get_variant(*texts: str) -> int:
    """Return a number that differs between events with the same ID."""
    return int(crc32("\0".join(texts).encode(errors="replace")))


def _with_time(digest: bytes, at: int) -> bytes:
    milliseconds = min(max(at, 0), MAX_TIME) // 1000
    raw = bytearray(milliseconds.to_bytes(6, "big") + digest[:10])
    raw[6], raw[8] = 0x70 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
    return bytes(raw)


def _encode_clean(content: dict[str, Any]) -> bytes:
    """Encode; a text that a bundle can't have is cleaned here at the latest."""
    try:
        encoded = _encode(content)
    except UnicodeEncodeError:
        encoded = b"\\u0000"
    if b"\\u0000" in encoded:
        encoded = _encode(_clean(content))
    return encoded


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
