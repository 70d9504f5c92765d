"""The transcript as HTML: an overview, pages, the attachments, and a search that needs no server.

The pages load nothing from anywhere else, and run no script but `app.js`: the policy in each page
allows scripts and styles with a nonce only, which no one who wrote in the room could know.
"""

from __future__ import annotations

import base64
import re
from calendar import Calendar, day_abbr, month_name
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from rooms.bundle.format import media_entry_name
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.schema import MediaEntry
from rooms.errors import TranscriptTooLarge
from rooms.transcripts.document import Document, Format, OutputFile
from rooms.transcripts.markup import escape_text, format_code, format_message
from rooms.transcripts.timeline import (
    EVERYTHING,
    Layout,
    Reference,
    TranscriptPage,
    find_quoted,
    group_by_text,
)
from rooms.transcripts.wording import (
    MESSAGE,
    NOT_LISTED,
    READ_MARKER,
    Person,
    describe,
    encode_json,
    find_mentioned,
    find_replaced,
    find_unshown,
    get_texts,
    is_plain,
    reveal,
)
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize

MAX_SINGLE_EVENTS, MAX_SINGLE_BYTES = 20_000, 50 * 2**20
MAX_INLINE_BYTES = 10 * 2**20
INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
# A browser would run scripts in other files, or guess their type from their first bytes.
_PASSIVE_SUFFIX = re.compile(
    r"\.(7z|avi|bmp|bz2|csv|docx?|eml|flac|gif|gz|heic|ics|jpe?g|json|log|m4a|md|mkv|mov|mp[34]|odp"
    r"|ods|odt|ogg|opus|pdf|png|pptx?|rar|rtf|tar|tiff?|txt|vcf|wav|webm|webp|xlsx?|xz|zip)\Z",
    re.IGNORECASE,
)
_PAGES_PER_SHARD = 10
_COLOURS = 12
_SAME_GROUP_SECONDS = 300
_MAX_SEARCHED_CHARS = 4000
_INDEX = "index.html"
_NO_DAY = "No date"


def render_html(document: Document) -> Iterator[OutputFile]:
    site = _Site(document)
    if document.options.single_file:
        yield OutputFile(_INDEX, site.iter_single_file())
        return
    yield OutputFile("style.css", [_read_asset("style.css").encode()])
    yield OutputFile("app.js", [_read_asset("app.js").encode()])
    yield from site.iter_pages()
    is_part = document.options.selection != EVERYTHING
    for entry in document.media.iter_stored(only_used=is_part):
        yield OutputFile(get_media_path(entry), document.content.iter_media(entry.sha256))
    yield OutputFile(_INDEX, [site.build_overview().encode()])


def get_media_path(entry: MediaEntry) -> str:
    path = media_entry_name(entry.sha256, reveal(entry.name))
    return path if _PASSIVE_SUFFIX.search(path) else f"{path}.bin"


def _read_asset(name: str) -> str:
    return (files("rooms.transcripts") / "assets" / name).read_text("utf-8")


def format_day(day: str) -> str:
    """Return 28 November 2026, in words that need no locale."""
    if not day:
        return _NO_DAY
    when = date.fromisoformat(day)
    return f"{when.day} {month_name[when.month]} {when.year}"


class _Site:
    """Renders the pages, and collects the figures of the overview."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.timeline = document.timeline
        self.people = document.people
        self.is_single = document.options.single_file
        self.page_count = max(1, len(self.timeline.page_starts))
        self._heads: dict[int, tuple[str, str, str]] = {}
        self._names: dict[int, str] = {}
        self._written: Counter[int] = Counter()
        self._shard = _SearchShard(1)
        self._spans: list[str] = []
        self._nonce = document.nonce
        self._previous: tuple[Person, int] | None = None

    # Pages.

    def iter_pages(self) -> Iterator[OutputFile]:
        for page in self.timeline.iter_pages():
            text = self._wrap(
                f"{self.document.title}, page {page.number}",
                self._build_navigation(page.number),
                f"<h1>{self._title} <small>Page {page.number:,} of {self.page_count:,}</small></h1>"
                + self._build_events(page),
                self._build_navigation(page.number, "Pages, again"),
            )
            yield OutputFile(get_page_name(page.number), [text.encode(errors="replace")])
            if page.number % _PAGES_PER_SHARD == 0 or page.number == self.page_count:
                yield from self._shard.build_files()
                self._shard = _SearchShard(self._shard.number + 1)

    def iter_single_file(self) -> Iterator[bytes]:
        events, header = sum(d.events for d in self.timeline.days.values()), self.document.header
        size = sum(entry.size for entry in header.media if _is_inline(entry))
        if events > MAX_SINGLE_EVENTS or size > MAX_SINGLE_BYTES:
            raise TranscriptTooLarge(
                f"The room is too large for one file: {pluralize(events, 'event')}, and "
                f"{format_bytes(size)} of images (maximum {MAX_SINGLE_EVENTS:,} and "
                f"{format_bytes(MAX_SINGLE_BYTES)})."
            )
        parts = [self._build_events(page) for page in self.timeline.iter_pages()]
        body = f'{self._build_summary()}<h2 class="part">Events</h2>{"".join(parts)}'
        yield self._wrap(self.document.title, "", body, "").encode(errors="replace")

    def _build_events(self, page: TranscriptPage) -> str:
        """Return the events of a page in sections, one for each day."""
        parts: list[str] = []
        day: str | None = None
        before, find_day = 0, self.timeline.clock.find_day
        is_filtered = self.document.options.selection.is_filtered
        self._shard.start_page(page.number)
        for number, event in page.events:
            if (today := find_day(event.origin_ts)) != day:
                parts.append("" if day is None else "</section>")
                parts.append(f'<section class="day"><h2><span>{format_day(today)}</span></h2>')
                day, self._previous = today, None
            elif is_filtered and number > before + 1:
                parts.append('<p class="gap">Events that the filter leaves out</p>')
            before = number
            parts.append(self._format_event(page, number, event))
        parts.append('<p class="gap">No events</p>' if day is None else "</section>")
        self._spans.append(self._format_span(page.events))
        return "\n".join(parts)

    def _format_span(self, events: list[tuple[int, BundleEvent]]) -> str:
        """Return the numbers and times of the first event and the last."""
        if not events:
            return "No events"
        (first, begin), (last, end) = events[0], events[-1]
        format_time = self.timeline.clock.format
        times = f"{format_time(begin.origin_ts, ' ')} to {format_time(end.origin_ts, ' ')}"
        return f"#{first} to #{last}: {times}"

    def _format_event(self, page: TranscriptPage, number: int, event: BundleEvent) -> str:
        person = self.people.find_author(event)
        classes, initials, head = self._heads.get(person.number) or self._build_head(person)
        self._written[person.number] += 1
        second = event.origin_ts
        is_message = event.event_type == MESSAGE and event.redacted_at is None
        if is_message:
            body, searched = self._format_message(page, event)
            previous, self._previous = self._previous, (person, second)
            if (
                previous
                and previous[0] is person
                and 0 <= second - previous[1] < _SAME_GROUP_SECONDS
            ):
                classes += " k"
        else:
            self._previous = None
            body, searched, is_line = self._format_other(page, event)
            classes += " l" if is_line else ""
        self._shard.add(number, person, second, searched)
        stamp = self.timeline.clock.format(second)
        for redaction in page.redactions.pop(event.id, ()):  # of an event that is still there
            body += f'<p class="gone">Redaction{self._format_redaction(redaction)}</p>'
        if event.id in page.reactions:
            body += self._format_reactions(page.reactions.pop(event.id))
        if event.id in page.replies:
            replies = page.replies[event.id]
            links = ", ".join(
                f'<a href="{self._link(reply.number, page)}">#{reply.number} '
                f"{self._format_name(reply.person)}</a>"
                for reply in replies
            )
            count = pluralize(len(replies), "reply", "replies")
            body += f'<p class="note">{count}: {links}</p>'
        return (
            f'<article id="e-{event.id}" class="{classes}"{initials}>{head}<a id="n{number}" '
            f'href="#n{number}">#{number} <time datetime="{stamp}">'
            f"{stamp[11:19] if stamp[10] == 'T' else stamp}</time></a></header>{body}</article>"
        )

    def _build_head(self, person: Person) -> tuple[str, str, str]:
        """Return the parts that all events of a person share: class, initials, and the header."""
        words = [word for word in person.name.split() if word[0].isalnum()] or [person.name[:1]]
        initials = "".join(word[0] for word in (words if len(words) < 2 else [words[0], words[-1]]))
        notes = f" <em>{escape_text(person.notes)}</em>" if person.notes else ""
        head = (
            f"c{person.number % _COLOURS}",
            f' data-i="{escape_text(initials)}"',
            f"<header><b>{self._format_name(person)}</b> "
            f"<span><bdi>{escape_text(person.fqid)}</bdi></span>{notes} ",
        )
        self._heads[person.number] = head
        return head

    def _format_name(self, person: Person) -> str:
        if (name := self._names.get(person.number)) is None:
            self._names[person.number] = name = f"<bdi>{escape_text(person.name)}</bdi>"
        return name

    def _format_message(self, page: TranscriptPage, event: BundleEvent) -> tuple[str, str]:
        """Return the body of a message, and the text to search."""
        content = event.content
        if is_plain(content) and event.edited_at is None and event.original_content is None:
            return format_message(content["body"]), content["body"]
        parts = [self._format_quote(page, event, "Reply to")]
        parts.append(self._format_content(content, find_unshown(content)))
        if mentioned := find_mentioned(content):
            names = ", ".join(self._format_name(self.people.find(key)) for key in mentioned)
            parts.append(f'<p class="note">Mentions {names}</p>')
        files = self.document.media.find(content)
        if event.edited_at or event.original_content is not None:
            when, before = self.timeline.clock.format_stamp(event.edited_at), find_replaced(event)
            files += self.document.media.find(before)
            inside = self._format_content(before, find_unshown(before, ())) or "<p>No text</p>"
            if event.original_content is None:
                inside = "<p>The text before is not known.</p>"
            parts.append(_fold(f"Edited {when}: show the original", inside))
        return "".join(parts), " ".join([get_texts(event), *(entry.name for entry in files)])

    def _format_content(self, content: dict[str, Any], unshown: dict[str, Any]) -> str:
        files = "".join(map(self._format_attachment, self.document.media.find(content)))
        rest = _fold("Other content", _format_json(unshown)) if unshown else ""
        return f"{_format_body(content)}{files}{rest}"

    def _format_quote(self, page: TranscriptPage, event: BundleEvent, what: str) -> str:
        if not (target := find_quoted(event)):
            return ""
        if (found := page.quotes.get(target)) is None:
            return f'<p class="re">{what} event {target}, which is not before it here</p>'
        return (
            f'<p class="re"><a href="{self._link(found.number, page)}">{what} #{found.number} '
            f"<b>{self._format_name(found.person)}</b> "
            f'<q dir="auto">{escape_text(found.text)}</q></a></p>'
        )

    def _link(self, number: int, page: TranscriptPage | None = None) -> str:
        """Return the address of an event by its number, as a link from this page."""
        place = self.timeline.find_page(number)
        is_near = self.is_single or (page and place == page.number)
        return f"{'' if is_near else get_page_name(place)}#n{number}"

    def _format_reactions(self, reactions: list[Reference]) -> str:
        items = "".join(
            f"<li>{escape_text(emoji) or '(no emoji)'} <b>{len(group)}</b> <small>"
            + ", ".join(f"{self._format_name(each.person)}" for each in group)
            + "</small></li>"
            for emoji, group in group_by_text(reactions).items()
        )
        return f'<ul class="rx" aria-label="Reactions">{items}</ul>'

    def _format_attachment(self, entry: MediaEntry) -> str:
        name, size = escape_text(entry.name), format_bytes(entry.size)
        if not entry.sha256:
            return f'<p class="file">Attachment {name} <small>{NOT_LISTED}</small></p>'
        facts = f"{escape_text(entry.mime_type)}, {size}, SHA-256 {entry.sha256[:16]}…"
        stored = self.document.media.get_stored(entry.sha256)
        if entry.missing or (self.is_single and not _is_inline(stored)):
            reason = _REASONS.get(entry.missing or "", "not in this file")
            return f'<p class="file">{name} <small>{facts}: {reason}</small></p>'
        if self.is_single:
            chunks = self.document.content.iter_media(entry.sha256)
            data = base64.b64encode(b"".join(chunks)).decode()
            picture = f'<img src="data:{entry.mime_type};base64,{data}" alt="{name}">'
            return f'<figure class="pic">{picture}<figcaption>{name}</figcaption></figure>'
        path = escape_text(quote(get_media_path(stored)))
        if _is_inline(entry):
            return (
                f'<figure class="pic"><a href="{path}"><img loading="lazy" src="{path}" '
                f'alt="{name}"></a><figcaption>{name} <small>{size}</small></figcaption></figure>'
            )
        return f'<p class="file"><a href="{path}" download>{name}</a> <small>{facts}</small></p>'

    def _format_other(self, page: TranscriptPage, event: BundleEvent) -> tuple[str, str, bool]:
        """Return the body, the text to search, and whether it is a line between messages."""
        kind = escape_text(event.event_type)
        if event.redacted_at is not None:
            what = "Message" if event.event_type == MESSAGE else kind
            when = self.timeline.clock.format_stamp(event.redacted_at)
            by = "".join(map(self._format_redaction, page.redactions.pop(event.id, ())))
            return f'<p class="gone">{what} redacted, {when}{by}</p>', "", False
        if text := describe(event, self.people):
            is_read = event.event_type == READ_MARKER
            shown = self._format_quote(page, event, "Read up to") if is_read else ""
            return shown or f"<p>{escape_text(text)}</p>", text, True
        raw = encode_json(event.content)
        return (
            _fold(f"<code>{kind}</code>", _format_json(event.content)),
            f"{event.event_type} {raw[:_MAX_SEARCHED_CHARS]}",
            True,
        )

    def _format_redaction(self, redaction: Reference) -> str:
        person = redaction.person
        reason = f': <q dir="auto">{escape_text(redaction.text)}</q>' if redaction.text else ""
        return (
            f" by <b>{self._format_name(person)}</b> <bdi>{escape_text(person.fqid)}</bdi>"
            f"{reason or ', no reason'}"
        )

    # The overview, and the frame of every page.

    @property
    def _title(self) -> str:
        return f"<bdi>{escape_text(self.document.title)}</bdi>"

    def _build_navigation(self, number: int, label: str = "Pages") -> str:
        def link(target: int, text: str, rel: str) -> str:
            if not 1 <= target <= self.page_count or target == number:
                return f"<span>{text}</span>"
            return f'<a href="{get_page_name(target)}"{rel}>{text}</a>'

        return (
            f'<nav aria-label="{label}">'
            + link(1, "First", "")
            + link(number - 1, "Previous", ' rel="prev"')
            + f"<b>{number:,} / {self.page_count:,}</b>"
            + link(number + 1, "Next", ' rel="next"')
            + link(self.page_count, "Last", "")
            + "</nav>"
        )

    def build_overview(self) -> str:
        return self._wrap(self.document.title, "", self._build_summary(), "")

    def _build_summary(self) -> str:
        document, timeline = self.document, self.timeline
        tally, days = timeline.tally, sorted(filter(None, timeline.days))
        period = f", from {format_day(days[0])} to {format_day(days[-1])}" if days else ""
        left_out = f", and {tally.left_out.total():,} left out" if tally.left_out else ""
        events = f"{tally.read.total() - tally.left_out.total():,}{period}{left_out}"
        facts = "".join(
            f'<div><dt>{label}</dt><dd dir="auto">{escape_text(text)}</dd></div>'
            for label, text in (*document.list_facts(), ("Events", events))
        )
        topic = document.header.room.topic
        lead = f'<p class="lead" dir="auto">{escape_text(topic)}</p>' if topic else ""
        parts = [f"<h1>{self._title}</h1>{lead}<dl>{facts}</dl>"]
        if not self.is_single:
            parts.append(self._build_calendar())
            parts.append(self._build_page_list())
        if self._written:
            writers = ((self.people.all[n], count) for n, count in self._written.most_common())
            rows = (
                (self._format_name(p), f"<bdi>{escape_text(p.fqid)}</bdi>",
                 escape_text(p.notes), f"{count:,}")
                for p, count in writers
            )  # fmt: skip
            parts.append(_build_table("People", ("Name", "ID", "Notes", "Events"), rows))
        if not self.is_single:
            kinds = sorted(tally.read)
            counters = (tally.read, tally.shown, tally.shown_with_target, tally.left_out)
            lines = (
                (escape_text(kind), *(f"{counter[kind]:,}" for counter in counters))
                for kind in kinds
            )
            titles = ("Type", "In the room", "Shown", "Shown with their target", "Left out")
            total = ("All", *(f"{counter.total():,}" for counter in counters))
            parts.append(_build_table("Events by type", titles, [*lines, total]))
        parts.append(self._build_missing())
        return "".join(parts)

    def _build_calendar(self) -> str:
        """Return a table for each month with events, whose days are links."""
        months: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
        days = self.timeline.days
        most = max((day.events for day in days.values()), default=1)
        undated = ""
        for name, day in sorted(days.items()):
            address, count = self._link(day.first), pluralize(day.events, "event")
            if not name:
                undated = f'<p><a href="{address}">{_NO_DAY}</a>: {count}</p>'
                continue
            when = date.fromisoformat(name)
            heat = 1 + min(3, day.events * 4 // (most + 1))
            months[when.year, when.month][when.day] = (
                f'<td class="h{heat}"><a href="{address}">{when.day}'
                f'<small>{day.events:,}</small><span class="vh"> events</span></a></td>'
            )
        tables = []
        for (year, month), cells in months.items():
            weeks = "".join(
                f"<tr>{''.join(cells.get(d, f'<td>{d or str()}</td>') for d in week)}</tr>"
                for week in Calendar().monthdayscalendar(year, month)
            )
            names = "".join(f'<th scope="col">{day}</th>' for day in day_abbr)
            tables.append(
                f"<div><table><caption>{month_name[month]} {year}</caption>"
                f"<thead><tr>{names}</tr></thead><tbody>{weeks}</tbody></table></div>"
            )
        return f'<h2 class="part">Days</h2><div class="cal">{"".join(tables)}</div>{undated}'

    def _build_page_list(self) -> str:
        pages = "".join(
            f'<li><a href="{get_page_name(number)}">Page {number:,}</a> <small>{span}</small></li>'
            for number, span in enumerate(self._spans, 1)
        )
        return f'<h2 class="part">Pages</h2><ul class="pages">{pages}</ul>'

    def _build_missing(self) -> str:
        media = self.document.media
        missing = [entry for entry in self.document.header.media if entry.missing]
        is_all = self.document.options.selection == EVERYTHING
        unused = [] if self.is_single or not is_all else media.list_unused()
        parts = []
        for title, entries in (
            ("Attachments without their files", missing),
            ("Attachments that no event shows", unused),
        ):
            if entries:
                items = "".join(f"<li>{self._format_attachment(entry)}</li>" for entry in entries)
                parts.append(f'<h2 class="part">{title}</h2><ul class="files">{items}</ul>')
        return "".join(parts)

    def _wrap(self, title: str, navigation: str, body: str, bottom: str) -> str:
        nonce, single = self._nonce, self.is_single
        style = (
            f'<style nonce="{nonce}">{_read_asset("style.css")}</style>'
            if single
            else f'<link rel="stylesheet" href="style.css" nonce="{nonce}">'
        )
        script = (
            f'<script nonce="{nonce}">{_read_asset("app.js")}</script>'
            if single
            else f'<script src="app.js" nonce="{nonce}"></script>'
        )
        shards = 0 if single else -(-self.page_count // _PAGES_PER_SHARD)
        images = "data:" if single else "'self' file:"
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            f"img-src {images}; base-uri 'none'; form-action 'none'"
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="referrer" content="no-referrer"><meta name="color-scheme" '
            f'content="light dark"><title>{escape_text(title)}</title>{style}</head>'
            f'<body data-shards="{shards}" data-zone="{escape_text(self.document.zone_name)}">'
            '<a class="skip" href="#main">Skip to the content</a>'
            f'<header class="top"><a class="home" href="{_INDEX if not single else "#main"}">'
            f'{self._title}</a>{navigation}<form role="search"><input type="search" id="q" '
            'placeholder="Search" aria-label="Search all events" autocomplete="off"></form>'
            '</header><div id="results" aria-live="polite" hidden></div>'
            f'<main id="main" tabindex="-1">{body}</main><footer>{bottom}<p>Transcript of '
            f"{self._title}, made by {escape_text(self.document.generator)} from "
            f"{escape_text(self.document.origin)}. Times: {escape_text(self.document.zone_name)}. "
            "Events are in the order in which the server received them, with the names that people "
            "had at the export. "
            "transcript.json lists every file with its hash, and what became of every event.</p>"
            f"</footer>{script}</body></html>\n"
        )


_REASONS = {
    "infected": "deleted, because a scan found it infected",
    "lost": "the server no longer has the file",
    "left out": "left out on request",
}


def get_page_name(number: int) -> str:
    return f"p{number:04d}.html"


def _is_inline(entry: MediaEntry) -> bool:
    return (
        entry.mime_type in INLINE_TYPES and entry.size <= MAX_INLINE_BYTES and entry.missing is None
    )


def _format_body(content: dict[str, Any]) -> str:
    body, code = content.get("body", ""), content.get("code")
    text = format_message(body) if isinstance(body, str) else _format_json(body)
    if code is None:
        return text
    language = content.get("language")
    shown = code if isinstance(code, str) else encode_json(code)
    return text + format_code(shown, language if isinstance(language, str) else "")


def _format_json(value: Any) -> str:
    return format_code(encode_json(value, indent=2))


def _fold(summary: str, inside: str) -> str:
    return f"<details><summary>{summary}</summary>{inside}</details>"


def _build_table(title: str, titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in titles)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<h2 class="part">{title}</h2><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{title}"><table class="list"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


class _SearchShard:
    """The searchable text of some pages, as scripts that call `register`, since `fetch` does not
    work without a server.

    The words in `w0001.js` show whether `0001.js` is needed. In that, each page begins with a line
    `#<page>`. A line has the number of the event, its person's number in `names`, its second, a tab
    and the text.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._positions: dict[int, int] = {}
        self._names: list[str] = []
        self._lines: list[str] = []
        self._texts: list[str] = []

    def start_page(self, number: int) -> None:
        self._lines.append(f"#{number}")

    def add(self, number: int, person: Person, second: int, text: str) -> None:
        if (position := self._positions.get(person.number)) is None:
            self._positions[person.number] = position = len(self._names)
            self._names.append(person.name)
        if "\n" in text or "\r" in text:
            text = " ".join(text.split())
        self._lines.append(f"{number} {position} {second}\t{text}")
        self._texts.append(text)

    def build_files(self) -> Iterator[OutputFile]:
        """Yield the text, and its words, which are far fewer: a search reads them first."""
        # Distinct words are far fewer than all, so they alone are made lower case.
        words = "\n".join(dict.fromkeys("\n".join([*self._texts, *self._names]).split()))
        words = "\n".join(dict.fromkeys(words.lower().split()))
        names, text = self._names, "\n".join(self._lines)
        for prefix, parts in (
            ("w", (f"w{self.number}", None, words)),
            ("", (self.number, names, text)),
        ):
            script = f"register({encode_json(parts)[1:-1]})\n"
            yield OutputFile(f"search/{prefix}{self.number:04d}.js", [script.encode()])


FORMAT = Format(Layout(1000, 560_000), render_html, has_media=True)
