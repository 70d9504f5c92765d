"""Who wrote what and when, as plain text, for every format."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, cast

import msgspec

from rooms.bundle.format import IMPORTED_SENDER, MEDIA_KEYS, UNVERIFIED, normalize_id
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.schema import ManifestHeader, MediaEntry

MESSAGE, REACTION, REDACTION = "swp.room.message", "swp.room.reaction", "swp.room.redaction"
MEMBER, READ_MARKER = "swp.room.member", "swp.room.read_marker"

NOT_LISTED = "not attached to the room"
# Why an attachment can't be had, other than that no one asked for it.
GONE = frozenset({"infected", "lost", NOT_LISTED})
# Control characters but tab and line feed, other line breaks, and the controls that reorder or
# isolate text.
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_TEXT_KEYS = frozenset({"body", "code", "language"})
_SHOWN_KEYS = _TEXT_KEYS.union(MEDIA_KEYS, {IMPORTED_SENDER})
_SHOWN_MESSAGE_TYPES = ("swp.text", "swp.code", "swp.media")
_MEMBERSHIPS = {
    "join": "joined the room",
    "leave": "left the room",
    "invite": "was invited to the room",
    "ban": "was banned from the room",
    "knock": "asked to join the room",
}


def reveal(text: str) -> str:
    """Make characters visible that would hide, reorder or break the text around them."""
    if text.isprintable():  # Most texts are, and this is faster.
        return text
    return _HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def reveal_line(text: str) -> str:
    """Do the same, and join the lines."""
    return " ".join(reveal(text).split())


def encode_json(value: Any, *, indent: int = 0) -> str:
    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


@dataclass(frozen=True)
class Person:
    """The author of an event. `via` is the FQID of who imported it, `number` the order of authors.

    `unverified` is a claim to be of the server that can't be proven.
    """

    number: int
    name: str
    fqid: str
    kind: str
    via: str = ""
    unverified: bool = False
    account_id: str = ""

    @cached_property
    def notes(self) -> str:
        notes = [f"imported by {self.via}"] if self.via else []
        if self.unverified:
            notes.append("unverified")
        if self.kind not in {"human", ""}:
            notes.append(self.kind)
        return ", ".join(notes)


class Authors:
    """The authors of events, by the sender and by the original sender of imported events."""

    def __init__(self, header: ManifestHeader) -> None:
        self.all: list[Person] = []
        self._known: dict[Any, Person] = {}
        self._senders = header.senders

    def find_author(self, event: BundleEvent) -> Person:
        imported = event.content.get(IMPORTED_SENDER)
        if imported is None:
            return self._known.get(event.sender_id) or self.find(event.sender_id)
        values = imported if isinstance(imported, dict) else {}
        given = (values.get(key) for key in ("display_name", "fqid"))
        name, fqid = (value if isinstance(value, str) else "" for value in given)
        unverified = values.get(UNVERIFIED) is True
        key = (event.sender_id, name, fqid, unverified)
        if (person := self._known.get(key)) is None:
            sender = self.find(event.sender_id)
            if fqid == sender.fqid or not fqid:
                person = replace(sender, name=reveal_line(name) or sender.name)
            else:
                name = reveal_line(name) or fqid
                person = Person(0, name, reveal_line(fqid), "", sender.fqid, unverified)
            self._known[key] = person = self._add(person)
        return person

    def find(self, participant_id: str) -> Person:
        """Return a sender, or someone of whom only the ID is known."""
        if (person := self._known.get(participant_id)) is None:
            sender, key = self._senders.get(participant_id), reveal_line(participant_id)
            if sender:
                fqid = reveal_line(sender.fqid)
                name, kind = (
                    reveal_line(sender.display_name) or fqid,
                    reveal_line(sender.participant_type),
                )
                person = Person(0, name, fqid, kind, account_id=key)
            else:
                person = Person(0, key, key, "", account_id=key)
            self._known[participant_id] = person = self._add(person)
        return person

    def _add(self, person: Person) -> Person:
        person = replace(person, number=len(self.all))
        self.all.append(person)
        return person


_MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(24 * 60)]
_SECONDS = [f":{second:02}" for second in range(60)]


class Clock:
    """Times of events in a time zone."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        # The last day: its first second, the one after it, its name, and its offset. Threads share
        # a clock, so it is replaced as a whole.
        self._last = (0, 0, "", "")

    def format(self, second: int, between: str = "T") -> str:
        """Return RFC 3339 with the offset; `1970 +n s` if the calendar has no such time."""
        start, _, day, offset = self._find(second)
        if offset:
            minutes, seconds = divmod(second - start, 60)
            return f"{day}{between}{_MINUTES[minutes]}{_SECONDS[seconds]}{offset}"
        try:
            return datetime.fromtimestamp(second, self.zone).isoformat(between)
        except (OverflowError, OSError, ValueError):
            return f"1970 {second:+} s"

    def format_stamp(self, timestamp: str | None) -> str:
        """Return a time of the bundle for people, without fractions."""
        if not timestamp:
            return ""
        return self.format(int(datetime.fromisoformat(timestamp).timestamp()), " ")

    def find_day(self, second: int) -> str:
        """Return a day such as 2026-11-24; empty if the calendar has no such day."""
        return self._find(second)[2]

    def _find(self, second: int) -> tuple[int, int, str, str]:
        last = self._last
        if last[0] <= second < last[1]:
            return last
        try:
            now = datetime.fromtimestamp(second, self.zone)
            start = now.replace(hour=0, minute=0, second=0, fold=0)
            end = start + timedelta(days=1)
            first, after = int(start.timestamp()), int(end.timestamp())
        except (OverflowError, OSError, ValueError):
            return (0, 0, "", "")
        # A day on which the offset changes has none.
        is_even = start.utcoffset() == end.utcoffset()
        offset = start.isoformat()[19:] if is_even and first <= second < after else ""
        self._last = last = (first, after, start.date().isoformat(), offset)
        return last


_UTC_CLOCK = Clock(UTC)


def format_utc(second: int) -> str:
    return _UTC_CLOCK.format(second).replace("+00:00", "Z")


class TranscriptMedia:
    """The attachments of the bundle. `used` are the IDs of the ones that events refer to."""

    def __init__(self, header: ManifestHeader) -> None:
        self.used: set[str] = set()
        self._by_id: dict[str, MediaEntry] = {}
        self._by_hash: dict[str, MediaEntry] = {}
        for entry in header.media:
            self._by_id.setdefault(entry.media_id, entry)
            self._by_hash.setdefault(entry.sha256, entry)

    def find(self, content: dict[str, Any]) -> list[MediaEntry]:
        """Return the attachments of a message: the file, then its preview.

        One that the room no longer has is `NOT_LISTED`, with its ID as the name.
        """
        found = []
        for key in MEDIA_KEYS:
            if (value := content.get(key)) is None:
                continue
            if entry := self._by_id.get(normalize_id(value) or ""):
                self.used.add(entry.media_id)
                found.append(entry)
            else:
                name = value if isinstance(value, str) else encode_json(value)
                found.append(MediaEntry(name, "", 0, "", "", name, NOT_LISTED))  # type: ignore[arg-type]
        return found

    def get_stored(self, sha256: str) -> MediaEntry:
        """Return the first attachment with these bytes, whose name they are stored under."""
        return self._by_hash[sha256]

    def iter_stored(self, *, only_used: bool) -> Iterator[MediaEntry]:
        """Yield the attachments whose bytes are in the bundle, once each."""
        wanted = {self._by_id[media_id].sha256 for media_id in self.used} if only_used else None
        for sha256, entry in self._by_hash.items():
            if entry.missing is None and (wanted is None or sha256 in wanted):
                yield entry

    def list_unused(self) -> list[MediaEntry]:
        return [entry for media_id, entry in self._by_id.items() if media_id not in self.used]


def get_body(content: dict[str, Any]) -> str:
    """Return the text of a message, with its code; JSON if it has another form."""
    body = content.get("body", "")
    text = body if isinstance(body, str) else encode_json(body)
    code = content.get("code")
    if code is None:
        return text
    return f"{text}\n{code if isinstance(code, str) else encode_json(code)}".lstrip("\n")


def get_texts(event: BundleEvent) -> str:
    """Return the text of a message with the one before its edits, to be searched."""
    texts = [event.content, *filter(None, [event.original_content])]
    return " ".join(map(get_body, texts))


def is_plain(content: dict[str, Any]) -> bool:
    """Return whether the content of a message is nothing but a text, as most are."""
    return (
        len(content) == 2
        and content.get("msgtype") == "swp.text"
        and isinstance(content.get("body"), str)
    )


def find_replaced(event: BundleEvent) -> dict[str, Any]:
    """Return the text of a message before its edits, and what else they changed."""
    before = event.original_content or {}
    return {k: v for k, v in before.items() if k in _TEXT_KEYS or v != event.content.get(k)}


def find_mentioned(content: dict[str, Any]) -> list[str]:
    """Return the IDs of the people that a message mentions; none if they have another form."""
    given = content.get("mentions")
    is_known = isinstance(given, list) and all(isinstance(key, str) for key in given)
    return cast(list[str], given) if is_known else []


def find_unshown(
    content: dict[str, Any], places: Collection[str] = ("mentions", "reply_to_event_id")
) -> dict[str, Any]:
    """Return the keys of a message that a format has no place for; it has these two for some."""

    def is_shown(key: str, value: Any) -> bool:
        match key:
            case "msgtype":
                return value in _SHOWN_MESSAGE_TYPES
            case "mentions":
                return not value or (key in places and bool(find_mentioned(content)))
            case "reply_to_event_id":
                return value is None or (key in places and normalize_id(value) is not None)
        return False

    return {k: v for k, v in content.items() if k not in _SHOWN_KEYS and not is_shown(k, v)}


def describe(event: BundleEvent, people: Authors) -> str:
    """Return a sentence about an event other than a message; empty if its form is unknown."""
    content = event.content
    match event.event_type.removeprefix("swp.room."):
        case "member":
            key, membership = content.get("participant_id"), content.get("membership")
            if isinstance(key, str) and isinstance(membership, str):
                words = _MEMBERSHIPS.get(membership, f"has the membership {membership}")
                return reveal(f"{people.find(key).name} {words}")
        case "name" if isinstance(name := content.get("name"), str):
            return reveal(f"Room name: {name}")
        case "topic" if isinstance(topic := content.get("topic"), str):
            return reveal(f"Topic: {topic}")
        case "reaction" if isinstance(content.get("emoji"), str):
            return reveal(f"Reaction {content['emoji']} to event {content.get('event_id')}")
        case "redaction" if isinstance(content.get("event_id"), str):
            reason = f": {content['reason']}" if content.get("reason") else ""
            return reveal(f"Redaction of event {content['event_id']}{reason}")
        case "read_marker" if isinstance(content.get("event_id"), str):
            return reveal(f"Read up to event {content['event_id']}")
    return ""
