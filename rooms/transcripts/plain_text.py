"""The transcript as plain text: a line for each event, for reading in a terminal and for grep."""

from __future__ import annotations

from collections.abc import Iterator

from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.schema import MediaEntry
from rooms.transcripts.document import Document, Format, OutputFile
from rooms.transcripts.timeline import (
    Layout,
    Reference,
    TranscriptPage,
    find_quoted,
    group_by_text,
)
from rooms.transcripts.wording import (
    GONE,
    MESSAGE,
    describe,
    encode_json,
    find_mentioned,
    find_replaced,
    find_unshown,
    get_body,
    is_plain,
    reveal,
)

_INDENT = "\n    "


def render_text(document: Document) -> Iterator[OutputFile]:
    yield OutputFile("transcript.txt", _iter_chunks(document))


def _iter_chunks(document: Document) -> Iterator[bytes]:
    facts = "".join(f"{label}: {text}\n" for label, text in document.list_facts())
    yield f"{facts}\n".encode(errors="replace")
    find_author, format_time = document.people.find_author, document.clock.format
    for page in document.timeline.iter_pages():
        lines = []
        for number, event in page.events:
            person = find_author(event)
            time = format_time(event.origin_ts, " ").replace("+00:00", "Z")
            text = _describe(document, page, event)
            # No line but the first may look like an event.
            line = f"{time}  #{number}  {event.id}  {person.fqid}  {person.name}: {text}"
            lines.append(line.replace("\n", _INDENT))
        lines.append("")
        yield "\n".join(lines).encode(errors="replace")


def _describe(document: Document, page: TranscriptPage, event: BundleEvent) -> str:
    content = event.content
    if event.event_type == MESSAGE and event.redacted_at is None:
        text = reveal(get_body(content))
        if not is_plain(content) or event.original_content is not None or event.edited_at:
            text = "\n".join([text, *_list_notes(document, page, event)])
    elif event.redacted_at is not None:
        kind = "message" if event.event_type == MESSAGE else reveal(event.event_type)
        text = f"(redacted {kind}, {document.clock.format_stamp(event.redacted_at)})"
    elif not (text := describe(event, document.people)):
        text = reveal(f"{event.event_type} {encode_json(content)}")
    if reactions := page.reactions.pop(event.id, ()):
        groups = group_by_text(list(reactions)).items()
        text += "\n" + "; ".join(
            f"[{emoji or '(no emoji)'} {len(group)}: {', '.join(r.person.name for r in group)}]"
            for emoji, group in groups
        )
    for redaction in page.redactions.pop(event.id, ()):
        reason = f": {redaction.text}" if redaction.text else ""
        text += f"\n[redacted by {redaction.person.name} {redaction.person.fqid}{reason}]"
    return text


def _list_notes(document: Document, page: TranscriptPage, event: BundleEvent) -> Iterator[str]:
    content = event.content
    if notes := document.people.find_author(event).notes:
        yield f"[{notes}]"
    if target := find_quoted(event):
        yield f"[reply to {format_quote(page.quotes.get(target), target)}]"
    for entry in document.media.find(content):
        yield f"[{describe_attachment(entry)}]"
    if mentioned := find_mentioned(content):
        yield f"[mentions {', '.join(document.people.find(key).name for key in mentioned)}]"
    if event.edited_at:
        yield f"[edited {document.clock.format_stamp(event.edited_at)}]"
    if event.original_content is not None:
        yield f"[before the edit: {reveal(get_body(event.original_content))}]"
        yield from (f"[before the edit: {part}]" for part in list_replaced(document, event))
    if unshown := find_unshown(content):
        yield f"[also: {reveal(encode_json(unshown))}]"


def list_replaced(document: Document, event: BundleEvent) -> list[str]:
    """Return the attachments, and other content but the text, that edits have changed."""
    before = find_replaced(event)
    parts = [describe_attachment(entry) for entry in document.media.find(before)]
    unshown = find_unshown(before, ())
    return [*parts, reveal(encode_json(unshown))] if unshown else parts


def format_quote(quote: Reference | None, target: str) -> str:
    return f"#{quote.number} {quote.person.name}: {quote.text}" if quote else f"event {target}"


def describe_attachment(entry: MediaEntry) -> str:
    facts = [entry.mime_type, f"{entry.size:,} bytes", f"SHA-256 {entry.sha256}"]
    facts = facts if entry.sha256 else []
    if entry.missing in GONE:
        facts.append(f"missing: {entry.missing}")
    return reveal(f"{entry.name} ({', '.join(facts)})")


FORMAT = Format(Layout(500), render_text, has_media=False)
