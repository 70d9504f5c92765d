"""The transcript as CSV, one row an event, for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from rooms.bundle.manifest.events import BundleEvent
from rooms.transcripts.document import Document, Format, OutputFile
from rooms.transcripts.plain_text import list_replaced
from rooms.transcripts.timeline import Layout, TranscriptPage, find_quoted, group_by_text
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
from scaiwave.console.output import format_csv_cell, format_csv_line

_BYTE_ORDER_MARK = "\ufeff"
_HEAD_KEYS = (
    "number", "event_id", "type", "time_utc", "time_local", "sender_fqid", "sender_name",
)  # fmt: skip
_KEYS = (
    "text", "edited_at", "original_text", "original_other", "redacted_at", "redacted_by",
    "redaction_reason", "reply_to", "reactions", "attachment_names", "attachment_sha256",
    "imported_by", "other_content",
)  # fmt: skip
_NOTHING_ELSE = "," * (len(_KEYS) - 1) + "\n"
_format_known = lru_cache(10_000)(format_csv_cell)
"""For values that repeat. The ID, the number and times need no quotation mark."""


def render_csv(document: Document) -> Iterator[OutputFile]:
    yield OutputFile("transcript.csv", _iter_chunks(document))


def _iter_chunks(document: Document) -> Iterator[bytes]:
    """Yield a page at a time. Every row has every event's text in one line."""
    yield (_BYTE_ORDER_MARK + format_csv_line(_HEAD_KEYS + _KEYS)).encode()
    find_author, format_local = document.people.find_author, document.clock.format
    for page in document.timeline.iter_pages():
        lines = []
        for number, event in page.events:
            person, second = find_author(event), event.origin_ts
            lines.append(
                f"{number},{event.id},{_format_known(event.event_type)},{format_utc(second)},"
                f"{format_local(second)},{_format_known(person.fqid)},{_format_known(person.name)},"
            )
            row: dict[str, str | None] = {"imported_by": person.via} if person.via else {}
            _fill_in(row, document, page, event)
            if len(row) == 1 and "text" in row:
                lines.append(f"{format_csv_cell(row['text'])}{_NOTHING_ELSE}")
            else:
                lines.append(format_csv_line(map(row.get, _KEYS)))
        yield "".join(lines).encode(errors="replace")


def _fill_in(
    row: dict[str, str | None], document: Document, page: TranscriptPage, event: BundleEvent
) -> None:
    if event.redacted_at is not None:
        row["redacted_at"] = event.redacted_at
    elif event.event_type == MESSAGE:
        row["text"] = _join_lines(get_body(event.content))
        if not is_plain(event.content):
            _add_parts(row, document, event)
        if event.original_content is not None:
            row["original_text"] = _join_lines(get_body(event.original_content))
            row["original_other"] = "; ".join(list_replaced(document, event))
    else:
        row["text"] = _join_lines(describe(event, document.people))
        row["other_content"] = reveal(encode_json(event.content))
    if event.edited_at:
        row["edited_at"] = event.edited_at
    if reactions := page.reactions.pop(event.id, None):
        row["reactions"] = "; ".join(
            f"{emoji} {len(group)}: {', '.join(r.person.fqid for r in group)}"
            for emoji, group in group_by_text(reactions).items()
        )
    if redactions := page.redactions.pop(event.id, None):
        row["redacted_by"] = ", ".join(r.person.fqid for r in redactions)
        row["redaction_reason"] = _join_lines("; ".join(r.text for r in redactions))


def _add_parts(row: dict[str, str | None], document: Document, event: BundleEvent) -> None:
    """Fill in what few messages have."""
    if unshown := find_unshown(event.content, ("reply_to_event_id",)):
        row["other_content"] = reveal(encode_json(unshown))
    entries = document.media.find(event.content)
    row["attachment_names"] = "; ".join(
        reveal(entry.name) + (f" (missing: {entry.missing})" if entry.missing in GONE else "")
        for entry in entries
    )
    row["attachment_sha256"] = "; ".join(entry.sha256 for entry in entries)
    row["reply_to"] = find_quoted(event)


def _join_lines(text: str) -> str:
    """Show line breaks as a sign: a cell is one line, so that every tool agrees about the rows."""
    return reveal(text).replace("\n", " ⏎ ")


FORMAT = Format(
    Layout(500, has_quotes=False), render_csv, has_media=False,
    note="An apostrophe before =, +, - or @, at the start of a cell or after a semicolon, stops "
    "spreadsheets from calculating the cell, and is not part of the ID or text.",
)  # fmt: skip
