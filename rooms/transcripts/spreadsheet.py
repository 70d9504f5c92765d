"""The transcript as CSV, one row an event, for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator

from rooms.bundle.manifest.events import BundleEvent
from rooms.transcripts.document import Document, Format, OutputFile
from rooms.transcripts.timeline import Layout, TranscriptPage, find_reply_target, group_by_text
from rooms.transcripts.wording import (
    GONE,
    MESSAGE,
    describe,
    encode_json,
    find_unshown,
    format_utc,
    get_body,
    is_plain,
    reveal,
)
from scaiwave.console.columns import Row
from scaiwave.console.output import format_csv_lines

FILE = "transcript.csv"
_BYTE_ORDER_MARK = "\ufeff"
_KEYS = (
    "event_id", "type", "time_utc", "time_local", "sender_fqid", "sender_name", "text", "edited_at",
    "original_text", "redacted_at", "redacted_by", "redaction_reason", "reply_to", "reactions",
    "attachment_names", "attachment_sha256", "imported_by", "other_content",
)  # fmt: skip
_EMPTY = dict.fromkeys(_KEYS)


def render_csv(document: Document) -> Iterator[OutputFile]:
    yield OutputFile(FILE, _iter_chunks(document))


def _iter_chunks(document: Document) -> Iterator[bytes]:
    """Yield about a page at a time. Every row has every event's text in one line."""
    yield _BYTE_ORDER_MARK.encode()
    lines: list[str] = []
    pages = document.timeline.iter_pages()
    rows = (_build_row(document, page, event) for page in pages for _, event in page.events)
    for line in format_csv_lines(_KEYS, rows):
        lines.append(line)
        if len(lines) == 1000:
            yield "".join(lines).encode(errors="replace")
            lines.clear()
    yield "".join(lines).encode(errors="replace")


def _build_row(document: Document, page: TranscriptPage, event: BundleEvent) -> Row:
    person = document.people.find_author(event)
    row: dict[str, str | None] = {
        **_EMPTY,
        "event_id": event.id,
        "type": event.event_type,
        "time_utc": format_utc(event.origin_ts),
        "time_local": document.clock.format(event.origin_ts),
        "sender_fqid": person.fqid,
        "sender_name": person.name,
        "imported_by": person.via or None,
    }
    is_message = event.event_type == MESSAGE
    if event.redacted_at is not None:
        row["redacted_at"] = event.redacted_at
    elif is_message:
        row["text"] = _join_lines(get_body(event.content))
        if not is_plain(event.content):
            _add_parts(row, document, event)
    elif text := describe(event, document.people):
        row["text"] = _join_lines(text)
    if not is_message and event.redacted_at is None:
        row["other_content"] = reveal(encode_json(event.content))
    if event.edited_at:
        row["edited_at"] = event.edited_at
    if event.original_content is not None and event.redacted_at is None:
        row["original_text"] = _join_lines(get_body(event.original_content))
    if reactions := page.reactions.pop(event.id, None):
        row["reactions"] = "; ".join(
            f"{emoji} {len(group)}: {', '.join(r.person.fqid for r in group)}"
            for emoji, group in group_by_text(reactions).items()
        )
    if redactions := page.redactions.pop(event.id, None):
        row["redacted_by"] = ", ".join(r.person.fqid for r in redactions)
        row["redaction_reason"] = _join_lines("; ".join(r.text for r in redactions))
    return row


def _add_parts(row: dict[str, str | None], document: Document, event: BundleEvent) -> None:
    """Fill in what few messages have."""
    if unshown := find_unshown(event.content, with_mentions=True):
        row["other_content"] = reveal(encode_json(unshown))
    entries = document.media.find(event.content)
    row["attachment_names"] = "; ".join(
        reveal(entry.name) + (f" (missing: {entry.missing})" if entry.missing in GONE else "")
        for entry in entries
    )
    row["attachment_sha256"] = "; ".join(entry.sha256 for entry in entries)
    row["reply_to"] = find_reply_target(event)


def _join_lines(text: str) -> str:
    """Show line breaks as a sign: a cell is one line, so that every tool agrees about the rows."""
    return reveal(text).replace("\n", " ⏎ ")


CSV = Format(Layout(500), render_csv, has_media=False)
