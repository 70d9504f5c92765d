"""A bundle with every kind of event, and transcripts of bundles."""

from __future__ import annotations

import io
import json
import struct
import zlib
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from rooms.bundle.reader import read_bundle
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.timeline import EVERYTHING, EventSelection
from rooms.transcripts.transcribe_room import TranscriptSource, iter_files
from rooms.transcripts.wording import Clock
from tests.rooms.bundle.factories import (
    ANNA,
    BO,
    JSON,
    MAX_BYTES,
    ROOM,
    make_bundle,
    make_event,
    make_manifest,
    make_media_row,
    make_reaction,
    make_reply,
    make_sender,
    make_uid,
)

CREATED = datetime(2026, 11, 29, 12, tzinfo=UTC)
LAYLA, MODEL = make_uid(0xC), make_uid(0xD)
DAY = 86_400
START = 1_764_000_000
"""The second of the event with the number 0: 2025-11-24, 16:00 UTC."""


def make_picture(red: int, green: int, blue: int, width: int = 480, height: int = 270) -> bytes:
    """Return a PNG with a gradient from this colour."""
    rows = b"".join(
        b"\0" + bytes(
            channel * (height - y) // height
            for _ in range(width) for channel in (red, green, blue)
        )
        for y in range(height)
    )  # fmt: skip

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


PICTURE = make_picture(120, 170, 255)
PDF = b"%PDF-1.4 a very small one"
PAGE = b"<!doctype html><script>document.title = 'ran'</script>"


def make_message(number: int, body: str, sender: str = ANNA, **more: Any) -> JSON:
    content = {"msgtype": "swp.text", "body": body, **more.pop("content", {})}
    return make_event(number, content=content, sender_id=sender, **more)


def make_other(number: int, kind: str, content: JSON, **more: Any) -> JSON:
    return make_event(number, event_type=kind, content=content, **more)


def make_sample_events(media: list[JSON]) -> list[JSON]:
    picture, pdf, page, lost = (row["media_id"] for row in media)
    redacted = {"content": {"body": ""}, "redacted_at": "2025-11-24T16:20:00.000000Z"}
    imported = {"display_name": "Ünal", "avatar_url": "", "fqid": "@unal:old.example.org"}
    events = [
        make_other(1, "swp.room.member", {"participant_id": ANNA, "membership": "join"}),
        make_other(2, "swp.room.member", {"participant_id": BO, "membership": "join"}),
        make_other(3, "swp.room.name", {"name": "Launch"}),
        make_other(4, "swp.room.topic", {"topic": "Everything about the 1.0"}),
        make_message(5, "Good morning! The **draft** is ready.\n\nPlease read:\n"
                        "* the first paragraph\n* the `pricing` table\n\nhttps://example.com/draft?a=1&b=2"),
        make_message(6, "On it ☕", BO),
        make_message(7, "> the first paragraph\n\nToo long, I'd cut it in half.", BO),
        make_reply(8, to=7, sender_id=ANNA),
        make_reaction(9, to=5, sender_id=BO),
        make_reaction(10, to=5, sender_id=LAYLA),
        make_message(11, "صباح الخير، أنا أيضًا قرأت النص", LAYLA),
        make_message(12, "東京チームも確認しました。問題ありません。", LAYLA),
        make_message(13, "Fixed the second paragraph.", content={"mentions": [BO, LAYLA]},
                     original_content={"msgtype": "swp.text", "body": "Fixed the secnd paragraf."},
                     edited_at="2025-11-24T16:01:40.000000Z"),
        make_message(14, "", content={"msgtype": "swp.media", "media_id": picture}),
        make_message(15, "And the contract", BO, content={"msgtype": "swp.media", "media_id": pdf}),
        make_message(16, "", content={"msgtype": "swp.media", "media_id": page}),
        make_message(17, "", content={"msgtype": "swp.media", "media_id": lost}),
        make_message(18, "The check:", MODEL, content={
            "msgtype": "swp.code", "language": "python",
            "code": "def launch(now: bool) -> str:\n\treturn \"<go>\" if now else \"wait\"\n"}),
        make_event(19, sender_id=BO, **redacted),
        make_other(20, "swp.room.redaction",
                   {"event_id": make_uid(0x1013), "redacted_by": ANNA, "reason": "a phone number"}),
        make_other(21, "swp.room.reaction", {"event_id": make_uid(0x1012), "emoji": "🎉"}),
        make_other(22, "swp.room.read_marker", {"event_id": make_uid(0x1012)}, sender_id=LAYLA),
        make_other(23, "swp.sidekick.suggestion", {"prompt": "Summarise", "tokens": 812}),
        make_other(24, "swp.call.ended", {"duration": 1834.5, "by": ANNA, "ok": True}),
        make_other(25, "org.example.poll", {"question": "Friday?", "votes": {"yes": [ANNA, BO]}}),
        make_message(26, "From before the move.", content={"_imported_sender": imported}),
        make_message(27, "See you tomorrow", BO, origin_ts=START + DAY),
        make_reply(28, to=5, origin_ts=START + DAY + 60, sender_id=LAYLA),
        make_reaction(29, to=6, sender_id=ANNA, origin_ts=START + 2 * DAY),
        make_other(30, "swp.room.reaction", {}, redacted_at="2025-11-26T16:00:00.000000Z",
                   origin_ts=START + 2 * DAY),
    ]  # fmt: skip
    for number, event in enumerate(events, 1):
        assert event["id"] == make_uid(0x1000 + number)
    return events


def make_sample(events: list[JSON] | None = None, **changes: Any) -> bytes:
    """Return a bundle of these events, or of `make_sample_events`."""
    media = [
        make_media_row(PICTURE, "launch day.png"),
        make_media_row(PDF, "contract.pdf", mime_type="application/pdf"),
        make_media_row(PAGE, "page.html", mime_type="text/html"),
        make_media_row(b"virus", "invoice.exe", missing="infected", scan_status="infected"),
    ]
    senders = {
        ANNA: make_sender("Anna Berg", fqid="@anna:chat.example.com"),
        BO: make_sender("Bo Lindqvist", fqid="@bo:chat.example.com"),
        LAYLA: make_sender("ليلى حداد", fqid="@layla:peer.example.org", is_foreign=False,
                           participant_type="federated"),
        MODEL: make_sender("Reviewer", fqid="@reviewer:chat.example.com", participant_type="ai"),
    }  # fmt: skip
    stored = zip(media, (PICTURE, PDF, PAGE), strict=False)
    topic = "Everything about the 1.0, and the party after"
    return make_bundle(
        make_manifest(
            events=make_sample_events(media) if events is None else events,
            **{"media": media, "senders": senders, "room": {**ROOM, "topic": topic}, **changes},
        ),
        *[(row["name"], data) for row, data in stored if "media" not in changes],
    )


def render(
    bundle: bytes,
    name: str,
    *,
    selection: EventSelection = EVERYTHING,
    zone: tzinfo = UTC,
    **options: Any,
) -> dict[str, bytes]:
    """Return the files of a transcript in the format of this name."""
    with read_bundle(io.BytesIO(bundle), max_bytes=MAX_BYTES, cut_references=True) as opened:
        facts = {"kind": "bundle", "manifest_sha256": opened.manifest_sha256}
        source = TranscriptSource(opened.content, facts, "a test")
        chosen = TranscriptOptions(name, Clock(zone), selection, **options)
        return {path: b"".join(chunks) for path, chunks in iter_files(source, chosen, CREATED)}


def render_record(bundle: bytes, name: str, **options: Any) -> JSON:
    record: JSON = json.loads(render(bundle, name, **options)["transcript.json"])
    return record


def write(bundle: bytes, name: str, directory: Path, **options: Any) -> Path:
    for path, data in render(bundle, name, **options).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    return directory
