"""The transcript as RSMF 2.0, which review platforms of lawyers load: a file for each day.

A file is a mail with one attachment, `rsmf.zip`, with `rsmf_manifest.json` and the files that it
names. The format is documented by its vendor (help.relativity.com, "Relativity's short message
format"), which publishes a JSON Schema too (relativitydev/rsmf-validator-samples). Its reactions
belong to their message, so they are in the file of its day.
"""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from email.headerregistry import Address
from hashlib import sha256
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import msgspec

from rooms.bundle.format import sanitize_file_name
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.schema import MediaEntry
from rooms.transcripts.document import Document, Format, OutputFile
from rooms.transcripts.plain_text import describe_attachment, format_quote, list_replaced
from rooms.transcripts.timeline import Layout, TranscriptPage, find_quoted, group_by_text
from rooms.transcripts.wording import (
    MEMBER,
    MESSAGE,
    Person,
    describe,
    encode_json,
    find_unshown,
    format_utc,
    get_body,
    reveal,
    reveal_line,
)
from scaiwave.console.output import format_csv_lines

VERSION = "2.0.0"
ATTACHMENT, MANIFEST = "rsmf.zip", "rsmf_manifest.json"
LIST_FILE = "load.csv"
_MAX_EVENTS = 5_000
"""The vendor recommends at most 10,000; so many are in memory together."""
_MAX_BYTES = 16 * 2**20
_MAX_MEMORY_BYTES = 16 * 2**20
_COMPRESSION_LEVEL = 1  # Higher ones take several times as long.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_COPY_BYTES = 57 * 4096  # a multiple of the bytes in a line of base64
_LIST_KEYS = ("file", "sha256", "begin", "end", "events", "attachments")
_TYPES = {"swp.room.name": "history", "swp.room.topic": "history"}
_SEPARATORS = str.maketrans({each: f"[U+{ord(each):04X}]" for each in ";<>"})
_MEMBERSHIPS = {"join": "join", "leave": "leave", "ban": "leave"}

Json = dict[str, Any]


def render_rsmf(document: Document) -> Iterator[OutputFile]:
    rows: list[Json] = []
    members: dict[str, Person] = {}
    parts: dict[str, int] = {}
    for page in document.timeline.iter_pages():
        if not page.events:
            continue
        day = document.clock.find_day(page.events[0][1].origin_ts)
        parts[day] = parts.get(day, 0) + 1
        part = f"-{parts[day]}" if parts[day] > 1 else ""
        name = f"{document.header.room.id}-{day or 'undated'}{part}.rsmf"
        day_file = _DayFile(document, page, members)
        with SpooledTemporaryFile(_MAX_MEMORY_BYTES) as archive:
            day_file.write_archive(archive)
            archive.seek(0)
            digest = sha256()
            yield OutputFile(name, _hash(day_file.iter_mail(archive), digest))
        rows.append(
            {
                "file": name,
                "sha256": digest.hexdigest(),
                "begin": day_file.begin,
                "end": day_file.end,
                "events": len(day_file.events),
                "attachments": len(day_file.files),
            }
        )
    yield OutputFile(LIST_FILE, (line.encode() for line in format_csv_lines(_LIST_KEYS, rows)))


def _hash(chunks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


class _DayFile:
    """The events of a day. `members` are the people known to be in the room before it, by FQID.

    They are changed into the people after it, with whom the next day begins.
    """

    def __init__(
        self, document: Document, page: TranscriptPage, members: dict[str, Person]
    ) -> None:
        self.document, self.page = document, page
        self.files: dict[str, MediaEntry] = {}
        self._participants: dict[str, Person] = {}
        self._ids = {event.id for _, event in page.events}
        present = dict(members)
        joined: set[str] = set()
        self.events: list[Json] = []
        for number, event in page.events:
            person = self._note(document.people.find_author(event))
            self.events.append(self._build_event(number, event, person))
            key = event.content.get("participant_id")
            if event.event_type == MEMBER and event.redacted_at is None and isinstance(key, str):
                subject = self._note(document.people.find(key))
                if event.content.get("membership") == "join":
                    if subject.fqid not in members:
                        joined.add(subject.fqid)
                    members[subject.fqid] = subject
                else:
                    members.pop(subject.fqid, None)
            elif person.fqid not in joined:
                # Who writes is in the room, and was at its beginning if no event says otherwise.
                members[person.fqid] = present[person.fqid] = person
        self._present = [self._note(person).fqid for person in present.values()]
        times = [event.origin_ts for _, event in page.events]
        self.begin, self.end = format_utc(min(times)), format_utc(max(times))

    def _note(self, person: Person) -> Person:
        return self._participants.setdefault(person.fqid, person)

    def _build_event(self, number: int, event: BundleEvent, person: Person) -> Json:
        room = self.document.header.room
        custom = [("number", f"#{number}"), ("event_type", event.event_type)]
        row: Json = {
            "id": event.id,
            "type": _find_type(event),
            "participant": person.fqid,
            "conversation": room.id,
            "timestamp": format_utc(event.origin_ts),
        }
        if person.via:
            custom.append(("imported_by", person.via))
        if event.redacted_at is not None:
            row["deleted"] = True
            custom.append(("redacted_at", event.redacted_at))
        elif event.event_type == MESSAGE:
            row["body"] = reveal(get_body(event.content))
            self._add_message_parts(row, event, person, custom)
        else:
            row["body"] = describe(event, self.document.people)
            custom.append(("content", reveal(encode_json(event.content))))
        for redaction in self.page.redactions.pop(event.id, ()):
            custom.append(("redacted_by", redaction.person.fqid))
            custom.append(("redaction_reason", redaction.text))
        if reactions := self.page.reactions.pop(event.id, ()):
            row["reactions"] = [
                {
                    "value": emoji or "(no emoji)",
                    "count": len(group),
                    "participants": [self._note(each.person).fqid for each in group],
                }
                for emoji, group in group_by_text(list(reactions)).items()
            ]
            custom += [
                ("reacted_at", f"{format_utc(each.second)} {each.person.fqid} {each.text}")
                for each in reactions
            ]
        row["custom"] = _build_custom(custom)
        return row

    def _add_message_parts(
        self, row: Json, event: BundleEvent, person: Person, custom: list[tuple[str, str]]
    ) -> None:
        if target := find_quoted(event):
            if target in self._ids:
                row["parent"] = target
            else:
                custom.append(("reply_to", target))
                quote = self.page.quotes.get(target)
                custom.append(("reply_to_text", format_quote(quote, target)))
        if event.edited_at:
            previous = event.original_content
            row["edits"] = [
                {
                    "participant": person.fqid,
                    "timestamp": event.edited_at,
                    **({} if previous is None else {"previous": reveal(get_body(previous))}),
                    "new": row["body"],
                }
            ]
            # An event keeps its first text and its present one, and no text between them.
            custom.append(("edits", "the first text and the last; none between is kept"))
            replaced = list_replaced(self.document, event)
            custom += [("before_edit", each) for each in replaced]
        attachments = []
        for entry in self.document.media.find(event.content):
            if entry.missing:
                custom.append(("missing", f"{describe_attachment(entry)}: {entry.missing}"))
                continue
            name = f"{entry.sha256[:16]}-{sanitize_file_name(reveal(entry.name))}"
            self.files[name] = entry
            attachments.append({"id": name, "display": reveal(entry.name), "size": entry.size})
        if attachments:
            row["attachments"] = attachments
        if unshown := find_unshown(event.content, ("reply_to_event_id",)):
            custom.append(("other_content", reveal(encode_json(unshown))))

    def build_manifest(self) -> Json:
        room = self.document.header.room
        conversation: Json = {
            "id": room.id,
            "display": self.document.title,
            "platform": "ScaiWave",
            "type": "direct" if room.room_type == "dm" else "channel",
            "participants": self._present,
            "custom": _build_custom(
                [
                    ("server", reveal(self.document.header.server_name)),
                    ("workspace", reveal(room.workspace.name)),
                    ("topic", reveal(room.topic)),
                ]
            ),
        }
        return {
            "version": VERSION,
            "participants": [_build_participant(each) for each in self._participants.values()],
            "conversations": [conversation],
            "events": self.events,
            "eventcollectionid": room.id,
        }

    def write_archive(self, target: IO[bytes]) -> None:
        """Write the same bytes on every run: entries in order, with one date."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo(MANIFEST, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            manifest = msgspec.json.encode(self.build_manifest())
            archive.writestr(entry, manifest, compresslevel=_COMPRESSION_LEVEL)
            for name, attachment in self.files.items():
                entry = zipfile.ZipInfo(name, _ZIP_DATE)
                entry.file_size = attachment.size
                with archive.open(entry, "w") as file:
                    for chunk in self.document.content.iter_media(attachment.sha256):
                        file.write(chunk)

    def iter_mail(self, archive: IO[bytes]) -> Iterator[bytes]:
        """Yield the mail; a search of the review platform finds its text."""
        boundary = f"rsmf-{sha256(f'{self.document.nonce} {self.begin}'.encode()).hexdigest()[:40]}"
        yield _encode_headers(self._list_headers(), boundary)
        text = "\n".join(
            f"{event['timestamp']} {self._participants[event['participant']].name}: "
            f"{event.get('body', '')}"
            for event in self.events
        )
        yield (
            f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        yield from _encode_base64(BytesIO(text.encode(errors="replace")))
        yield (
            f"--{boundary}\r\nContent-Type: application/zip\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="{ATTACHMENT}"\r\n\r\n'
        ).encode()
        yield from _encode_base64(archive)
        yield f"--{boundary}--\r\n".encode()

    def _list_headers(self) -> list[tuple[str, str]]:
        document, people = self.document, list(self._participants.values())
        headers = [
            ("Subject", f"{document.title}, {self.begin[:10]}"),
            ("X-RSMF-Version", VERSION),
            ("X-RSMF-Generator", document.generator),
            ("X-RSMF-BeginDate", self.begin),
            ("X-RSMF-EndDate", self.end),
            ("X-RSMF-EventCount", str(len(self.events))),
            ("X-RSMF-Application", "ScaiWave"),
            ("X-RSMF-Participants", "; ".join(map(_format_participant, people))),
            ("X-RSMF-AttachmentCount", str(len(self.files))),
            ("X-RSMF-EventCollectionID", document.header.room.id),
            ("MIME-Version", "1.0"),
        ]
        if address := _format_address(people[0]):
            headers.append(("From", f"{people[0].name} <{address}>"))
        return [(name, reveal_line(value)) for name, value in headers]


def _encode_headers(headers: list[tuple[str, str]], boundary: str) -> bytes:
    """Encode texts that are not plain, or look encoded (RFC 2047), and read everything back.

    Python's own policies write line breaks that an encoded word in a name stands for:
    https://github.com/python/cpython/issues/121650
    """
    lines = [f"{name}: {_encode_header(name, value)}" for name, value in headers]
    kind = f'Content-Type: multipart/mixed; boundary="{boundary}"'
    data = "\r\n".join([*lines, kind, "", ""]).encode("ascii")
    read = [(name, value.replace("\r\n", "")) for name, value in message_from_bytes(data).items()]
    found = [(name, str(make_header(decode_header(value)))) for name, value in read]
    if found[:-1] != headers:
        raise ValueError("The headers of the mail can't be read back as they were written.")
    return data


def _encode_header(name: str, value: str) -> str:
    """A word of more than 900 bytes would make a line that is longer than mail servers accept."""
    address = ""
    if name == "From":
        value, _, address = value.rpartition(" ")
    is_plain = re.fullmatch(r"[\w ]*" if address else r"[ -~]*", value, re.ASCII)
    if "=?" in value or any(len(word) > 900 for word in value.split()):
        is_plain = None
    header = Header(value, "us-ascii" if is_plain else "utf-8", header_name=name)
    return " ".join(filter(None, [header.encode(linesep="\r\n"), address]))


def _format_participant(person: Person) -> str:
    return f"{person.name.translate(_SEPARATORS)} <{person.fqid.translate(_SEPARATORS)}>"


def _format_address(person: Person) -> str:
    """Return an ID in the form of an address, which a mail must have; it receives no mail."""
    local, _, server = person.fqid.removeprefix("@").partition(":")
    try:
        address = Address("", local, server.partition(":")[0]).addr_spec
    except (ValueError, IndexError, HeaderParseError):
        return ""
    return address if re.fullmatch(r"[\w.+-]+@[\w.-]+", address, re.ASCII) else ""


def _find_type(event: BundleEvent) -> str:
    if event.event_type == MESSAGE:
        return "message"
    if event.event_type == MEMBER:
        return _MEMBERSHIPS.get(str(event.content.get("membership")), "unknown")
    return _TYPES.get(event.event_type, "unknown")


def _build_participant(person: Person) -> Json:
    custom = [("type", person.kind), ("imported_by", person.via)]
    if person.unverified:
        custom.append(("unverified", "the server in the ID is not proven"))
    row: Json = {"id": person.fqid, "display": person.name}
    if person.account_id:
        row["account_id"] = person.account_id
    return {**row, "custom": _build_custom(custom)}


def _build_custom(pairs: list[tuple[str, str]]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs if value]


def _encode_base64(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_COPY_BYTES):
        yield base64.encodebytes(chunk).replace(b"\n", b"\r\n")


FORMAT = Format(Layout(_MAX_EVENTS, _MAX_BYTES, by_day=True), render_rsmf, has_media=True)
