"""The events of one made-up room, one after the other and without remembering them.

Content is put together as JSON text, since making objects and encoding them would take longer than
storing them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

Row = tuple[
    str,
    str,
    str,
    str,
    str,
    str,
    str | None,
    int,
    int,
    str | None,
    bool,
    str,
    str | None,
    str | None,
]
COLUMNS = (
    "id", "tenant_id", "room_id", "sender_id", "event_type", "content", "original_content",
    "stream_position", "origin_ts", "event_uuid", "do_not_index", "created_at", "edited_at",
    "redacted_at",
)  # fmt: skip

STEP = 7_000
"""Milliseconds between two events, on average."""
REMEMBERED = 256
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 — SQLite keeps times without a zone, as UTC
_LOW = (1 << 62) - 1
_ODD = 0x1E3779B97F4A7C15  # odd, so that no two numbers below 2**62 give the same product


@dataclass(frozen=True)
class RoomPlan:
    """What is said where, by whom, over which files. Ids are as text with hyphens."""

    tenant_id: UUID
    room_id: UUID
    senders: Sequence[str]
    media: Sequence[str]
    events: int
    first_position: int
    until: datetime


class GeneratedEvent(NamedTuple):
    """One event without what every event has; `late` says it was edited or redacted."""

    event_type: str
    content: str
    original: str | None = None
    late: str = ""
    indexed: bool = True


class EventGenerator:
    """Yields the rows of `sw_events`; the same seed says the same, apart from ids and times.

    Ids are UUIDv7 in order of time. Each follows from its number, so that an event can name any
    earlier one.
    """

    def __init__(self, plan: RoomPlan, *, sentences: Sequence[str], rng: Random) -> None:
        self.plan = plan
        self.sentences = sentences
        self.chance = rng.random
        self.start = int(plan.until.timestamp() * 1000) - plan.events * STEP
        self.key = plan.room_id.int & _LOW
        self.sender = plan.senders[0]
        self.number = 0
        self.shown = 0
        self.redacted: int | None = None
        self.messages: list[int] = []

    def rows(self) -> Iterator[Row]:
        plan, kinds, many = self.plan, _KINDS, len(_KINDS)
        tenant, room = plan.tenant_id.hex, plan.room_id.hex
        senders = len(plan.senders)
        for number in range(plan.events):
            self.number = number
            self.sender = plan.senders[int(self.chance() ** 2 * senders)]  # a few say the most
            said = self._first() or kinds[int(self.chance() * many)](self)
            moment = self._moment(number)
            edited = _time(moment + 60_000) if said.late == "edited" else None
            redacted = _time(moment + STEP) if said.late == "redacted" else None
            uuid = self._hex(number) if number % 5 == 0 else None
            yield (
                self._hex(number), tenant, room, self.sender.replace("-", ""), said.event_type,
                said.content, said.original, plan.first_position + number, moment // 1000, uuid,
                not said.indexed, _time(moment), edited, redacted,
            )  # fmt: skip

    def _first(self) -> GeneratedEvent | None:
        """What has to be said at this point: somebody comes in, something is taken back."""
        if self.number == 0:
            return self.member()
        if (target := self.redacted) is None:
            return None
        self.redacted = None
        reason = self._text() if target % 2 else ""
        return GeneratedEvent(
            "swp.room.redaction",
            f'{{"event_id":"{self._id(target)}","redacted_by":"{self.sender}","reason":"{reason}"}}',
        )

    def _moment(self, number: int) -> int:
        """Milliseconds since 1970: growing with the number, at uneven steps."""
        return self.start + number * STEP + number * 2_654_435_761 % STEP

    def _hex(self, number: int) -> str:
        low = (self.key + number * _ODD) & _LOW
        high = self._moment(number) << 16 | 0x7000 | number & 0xFFF
        return f"{high:016x}{low | 1 << 63:016x}"

    def _id(self, number: int) -> str:
        plain = self._hex(number)
        return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}"

    def _text(self) -> str:
        known = len(self.sentences)
        first = self.sentences[int(self.chance() * known)]
        if self.chance() < 0.3:
            return first
        return f"{first} {self.sentences[int(self.chance() * known)]}"

    def _sender(self) -> str:
        return self.plan.senders[int(self.chance() * len(self.plan.senders))]

    def _earlier(self) -> int | None:
        """An earlier message: mostly a recent one, sometimes one of long ago."""
        return self.messages[int(self.chance() * len(self.messages))] if self.messages else None

    def _remember(self) -> None:
        if len(self.messages) < REMEMBERED:
            self.messages.append(self.number)
        else:
            self.messages[int(self.chance() * REMEMBERED)] = self.number

    def _message(self, more: str = "", msgtype: str = "swp.text") -> GeneratedEvent:
        self._remember()
        content = f'{{"msgtype":"{msgtype}","body":"{self._text()}"{more}}}'
        return GeneratedEvent("swp.room.message", content)

    def text(self) -> GeneratedEvent:
        return self._message()

    def reply(self) -> GeneratedEvent:
        if (target := self._earlier()) is None:
            return self.text()
        return self._message(f',"reply_to_event_id":"{self._id(target)}"')

    def mention(self) -> GeneratedEvent:
        return self._message(f',"mentions":["{self._sender()}","{self._sender()}"]')

    def code(self) -> GeneratedEvent:
        more = ',"language":"python","code":"def f(x):\\n\\treturn \\"\\\\\\\\\\" + x  # ☃\\n"'
        return self._message(more, "swp.code")

    def media(self) -> GeneratedEvent:
        files = self.plan.media
        if not files:
            return self.text()
        self.shown += 1
        shown = files[self.shown % len(files)]
        thumbnail = f',"thumbnail_id":"{files[-1]}"' if self.shown % 3 == 0 else ""
        return self._message(f',"media_id":"{shown}"{thumbnail}', "swp.media")

    def edited(self) -> GeneratedEvent:
        before, target = self._text(), self._earlier()
        more = f',"reply_to_event_id":"{self._id(target)}"' if target is not None else ""
        after = self._message(more)
        original = f'{{"msgtype":"swp.text","body":"{before}"{more}}}'
        return after._replace(original=original, late="edited")

    def taken_back(self) -> GeneratedEvent:
        """A message that the next event takes back, so it can't be the last of the room."""
        if self.number + 1 == self.plan.events:
            return self.text()
        self.redacted = self.number
        return GeneratedEvent(
            "swp.room.message", '{"msgtype":"swp.text","body":""}', late="redacted"
        )

    def reaction(self) -> GeneratedEvent:
        if (target := self._earlier()) is None:
            return self.text()
        emoji = _EMOJI[int(self.chance() * len(_EMOJI))]
        return GeneratedEvent(
            "swp.room.reaction",
            f'{{"event_id":"{self._id(target)}","sender_id":"{self.sender}","emoji":"{emoji}"}}',
        )

    def member(self) -> GeneratedEvent:
        membership = "join" if self.chance() < 0.7 else "leave"
        return GeneratedEvent(
            "swp.room.member",
            f'{{"participant_id":"{self._sender()}","membership":"{membership}",'
            f'"changed_by":"{self.sender}"}}',
        )

    def name(self) -> GeneratedEvent:
        return GeneratedEvent("swp.room.name", f'{{"name":"{self._text()}"}}')

    def topic(self) -> GeneratedEvent:
        return GeneratedEvent("swp.room.topic", f'{{"topic":"{self._text()}"}}')

    def read_marker(self) -> GeneratedEvent:
        target = self._earlier()
        marked = f'"{self._id(target)}"' if target is not None else "null"
        return GeneratedEvent(
            "swp.room.read_marker", f'{{"event_id":{marked},"sender_id":"{self.sender}"}}'
        )

    def sidekick(self) -> GeneratedEvent:
        content = f'{{"prompt":"{self._text()}","tokens":{int(self.chance() * 9000)}}}'
        return GeneratedEvent("swp.sidekick.suggestion", content, indexed=False)

    def call(self) -> GeneratedEvent:
        seconds = f"{self.chance() * 3600:.3f}"
        return GeneratedEvent(
            "swp.call.ended", f'{{"duration":{seconds},"by":"{self.sender}","ok":true}}'
        )

    def unknown(self) -> GeneratedEvent:
        """A type and keys that nobody has heard of, with every kind of JSON value."""
        whole = int(self.chance() * 2**53) * (-1 if self.chance() < 0.5 else 1)
        return GeneratedEvent(
            f"org.example.{_UNKNOWN[self.number % len(_UNKNOWN)]}",
            f'{{"":"{self._text()}","n":{whole},"most":9223372036854775807,'
            f'"x":{self.chance()!r},"small":2.5e-9,"one":1.0,"nothing":null,"no":false,'
            f'"list":[1,[2.5,[{{"deep":{{"er":[]}}}}]],"ü"],"événement":{{"ключ":"值"}}}}',
        )

    def imported(self) -> GeneratedEvent:
        """Said on another server, before the room was carried here."""
        sender = '{"display_name":"Ünal","avatar_url":"","fqid":"@unal:old.example.org"}'
        return self._message(f',"_imported_sender":{sender}')._replace(indexed=False)


_EMOJI = ("👍", "❤️", "🎉", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👋🏽", "1️⃣", "😂")
_UNKNOWN = ("poll.started", "Ereignis", "x-未知")

# Of a thousand events.
_OFTEN: dict[Callable[[EventGenerator], GeneratedEvent], int] = {
    EventGenerator.text: 530,
    EventGenerator.reply: 100,
    EventGenerator.reaction: 120,
    EventGenerator.mention: 50,
    EventGenerator.edited: 40,
    EventGenerator.media: 40,
    EventGenerator.code: 30,
    EventGenerator.read_marker: 20,
    EventGenerator.member: 20,
    EventGenerator.taken_back: 10,
    EventGenerator.sidekick: 10,
    EventGenerator.call: 10,
    EventGenerator.unknown: 10,
    EventGenerator.imported: 5,
    EventGenerator.name: 3,
    EventGenerator.topic: 2,
}  # fmt: skip
_KINDS = [kind for kind, often in _OFTEN.items() for _ in range(often)]


def _time(moment: int) -> str:
    """As both databases take it: PostgreSQL's session runs in UTC."""
    return str(_EPOCH + timedelta(milliseconds=moment))
