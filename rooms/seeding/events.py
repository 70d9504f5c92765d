"""Generate the events of one room with sample data, one at a time.

Content is composed as JSON text, because building and encoding objects would take longer than
storing the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple, TypeVar
from uuid import UUID

from rooms.bundle.format import add_hyphens

T = TypeVar("T")

Row = tuple[str | int | bool | None, ...]
"""The values of `COLUMNS`."""
COLUMNS = (
    "id", "tenant_id", "room_id", "sender_id", "event_type", "content", "original_content",
    "stream_position", "origin_ts", "event_uuid", "do_not_index", "created_at", "edited_at",
    "redacted_at",
)  # fmt: skip

EVENT_INTERVAL_MS = 7_000
"""Average time between two events."""
MAX_REPLY_TARGETS = 256
"""Earlier messages that replies and reactions can refer to."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 — SQLite stores times without a zone, in UTC
_LOW_BITS = (1 << 62) - 1
_MULTIPLIER = 0x1E3779B97F4A7C15  # odd, so that products of numbers below 2**62 are distinct


@dataclass(frozen=True)
class RoomPlan:
    """The tenant, room, senders and files of the events. Ids in lists are text with hyphens."""

    tenant_id: UUID
    room_id: UUID
    senders: Sequence[str]
    media: Sequence[str]
    events: int
    first_position: int
    until: datetime


class GeneratedEvent(NamedTuple):
    """What differs between events; `fate` is "edited", "redacted" or empty."""

    event_type: str
    content: str
    original: str | None = None
    fate: str = ""
    indexed: bool = True


class EventGenerator:
    """Yield rows of `sw_events`; the same seed gives the same events, except for ids and times.

    Ids are UUIDv7 in order of time. Each is computed from its number, so that an event can refer to
    any earlier one.
    """

    def __init__(self, plan: RoomPlan, *, sentences: Sequence[str], rng: Random) -> None:
        self.plan = plan
        self.sentences = sentences
        self.random = rng.random
        self.until_ms = int(plan.until.timestamp() * 1000)
        self.start_ms = self.until_ms - plan.events * EVENT_INTERVAL_MS
        self.id_offset = plan.room_id.int & _LOW_BITS
        self.sender = plan.senders[0]
        self.number = 0
        self.media_messages = 0
        self.pending_redaction: int | None = None
        self.reply_targets: list[int] = []

    def iter_rows(self) -> Iterator[Row]:
        plan, generators = self.plan, _WEIGHTED_GENERATORS
        tenant, room = plan.tenant_id.hex, plan.room_id.hex
        senders = len(plan.senders)
        for number in range(plan.events):
            self.number = number
            self.sender = plan.senders[int(self.random() ** 2 * senders)]  # a few write most
            event = self._make_required() or _choose(self.random, generators)(self)
            sent_ms = self._get_sent_ms(number)
            edited_ms = min(sent_ms + 60_000, self.until_ms)
            edited = _format_time(edited_ms) if event.fate == "edited" else None
            redacted = (
                _format_time(sent_ms + EVENT_INTERVAL_MS) if event.fate == "redacted" else None
            )
            uuid = self._make_id_hex(number) if number % 5 == 0 else None
            yield (
                self._make_id_hex(number), tenant, room, self.sender.replace("-", ""),
                event.event_type, event.content, event.original, plan.first_position + number,
                sent_ms // 1000, uuid, not event.indexed, _format_time(sent_ms), edited, redacted,
            )  # fmt: skip

    def _make_required(self) -> GeneratedEvent | None:
        """Return the event that must come here: the first join, or a pending redaction."""
        if self.number == 0:
            return self.make_member()
        if (target := self.pending_redaction) is None:
            return None
        self.pending_redaction = None
        reason = self._make_body() if target % 2 else ""
        return GeneratedEvent(
            "swp.room.redaction",
            f'{{"event_id":"{self._make_id(target)}","redacted_by":"{self.sender}","reason":"{reason}"}}',
        )

    def _get_sent_ms(self, number: int) -> int:
        """Return milliseconds since 1970, increasing with the number at uneven intervals."""
        jitter = number * 2_654_435_761 % EVENT_INTERVAL_MS
        return self.start_ms + number * EVENT_INTERVAL_MS + jitter

    def _make_id_hex(self, number: int) -> str:
        low = (self.id_offset + number * _MULTIPLIER) & _LOW_BITS
        high = self._get_sent_ms(number) << 16 | 0x7000 | number & 0xFFF
        return f"{high:016x}{low | 1 << 63:016x}"

    def _make_id(self, number: int) -> str:
        return add_hyphens(self._make_id_hex(number))

    def _make_body(self) -> str:
        first = _choose(self.random, self.sentences)
        if self.random() < 0.3:
            return first
        return f"{first} {_choose(self.random, self.sentences)}"

    def _pick_sender(self) -> str:
        return _choose(self.random, self.plan.senders)

    def _pick_reply_target(self) -> int | None:
        """Return the number of an earlier message: mostly a recent one, sometimes an old one."""
        return _choose(self.random, self.reply_targets) if self.reply_targets else None

    def _make_message(self, more: str = "", msgtype: str = "swp.text") -> GeneratedEvent:
        if len(self.reply_targets) < MAX_REPLY_TARGETS:
            self.reply_targets.append(self.number)
        else:
            self.reply_targets[int(self.random() * MAX_REPLY_TARGETS)] = self.number
        content = f'{{"msgtype":"{msgtype}","body":"{self._make_body()}"{more}}}'
        return GeneratedEvent("swp.room.message", content)

    def make_text(self) -> GeneratedEvent:
        return self._make_message()

    def make_reply(self) -> GeneratedEvent:
        if (target := self._pick_reply_target()) is None:
            return self.make_text()
        return self._make_message(f',"reply_to_event_id":"{self._make_id(target)}"')

    def make_mention(self) -> GeneratedEvent:
        return self._make_message(f',"mentions":["{self._pick_sender()}","{self._pick_sender()}"]')

    def make_code(self) -> GeneratedEvent:
        more = ',"language":"python","code":"def f(x):\\n\\treturn \\"\\\\\\\\\\" + x  # ☃\\n"'
        return self._make_message(more, "swp.code")

    def make_media(self) -> GeneratedEvent:
        files = self.plan.media
        if not files:
            return self.make_text()
        self.media_messages += 1
        media_id = files[self.media_messages % len(files)]
        thumbnail = f',"thumbnail_id":"{files[-1]}"' if self.media_messages % 3 == 0 else ""
        return self._make_message(f',"media_id":"{media_id}"{thumbnail}', "swp.media")

    def make_edited(self) -> GeneratedEvent:
        before, target = self._make_body(), self._pick_reply_target()
        more = f',"reply_to_event_id":"{self._make_id(target)}"' if target is not None else ""
        after = self._make_message(more)
        original = f'{{"msgtype":"swp.text","body":"{before}"{more}}}'
        return after._replace(original=original, fate="edited")

    def make_redacted(self) -> GeneratedEvent:
        """A message that the next event redacts, so it can't be the last of the room."""
        if self.number + 1 == self.plan.events:
            return self.make_text()
        self.pending_redaction = self.number
        return GeneratedEvent(
            "swp.room.message", '{"msgtype":"swp.text","body":""}', fate="redacted"
        )

    def make_reaction(self) -> GeneratedEvent:
        if (target := self._pick_reply_target()) is None:
            return self.make_text()
        emoji = _choose(self.random, _EMOJI)
        return GeneratedEvent(
            "swp.room.reaction",
            f'{{"event_id":"{self._make_id(target)}","sender_id":"{self.sender}","emoji":"{emoji}"}}',
        )

    def make_member(self) -> GeneratedEvent:
        membership = "join" if self.random() < 0.7 else "leave"
        return GeneratedEvent(
            "swp.room.member",
            f'{{"participant_id":"{self._pick_sender()}","membership":"{membership}",'
            f'"changed_by":"{self.sender}"}}',
        )

    def make_name(self) -> GeneratedEvent:
        return GeneratedEvent("swp.room.name", f'{{"name":"{self._make_body()}"}}')

    def make_topic(self) -> GeneratedEvent:
        return GeneratedEvent("swp.room.topic", f'{{"topic":"{self._make_body()}"}}')

    def make_read_marker(self) -> GeneratedEvent:
        target = self._pick_reply_target()
        marked = f'"{self._make_id(target)}"' if target is not None else "null"
        return GeneratedEvent(
            "swp.room.read_marker", f'{{"event_id":{marked},"sender_id":"{self.sender}"}}'
        )

    def make_sidekick(self) -> GeneratedEvent:
        content = f'{{"prompt":"{self._make_body()}","tokens":{int(self.random() * 9000)}}}'
        return GeneratedEvent("swp.sidekick.suggestion", content, indexed=False)

    def make_call(self) -> GeneratedEvent:
        seconds = f"{self.random() * 3600:.3f}"
        return GeneratedEvent(
            "swp.call.ended", f'{{"duration":{seconds},"by":"{self.sender}","ok":true}}'
        )

    def make_unknown(self) -> GeneratedEvent:
        """An event of an unknown type, with unknown keys and every kind of JSON value."""
        whole = int(self.random() * 2**53) * (-1 if self.random() < 0.5 else 1)
        return GeneratedEvent(
            f"org.example.{_UNKNOWN_TYPES[self.number % len(_UNKNOWN_TYPES)]}",
            f'{{"":"{self._make_body()}","n":{whole},"most":9223372036854775807,'
            f'"x":{self.random()!r},"small":2.5e-9,"one":1.0,"nothing":null,"no":false,'
            f'"list":[1,[2.5,[{{"deep":{{"er":[]}}}}]],"ü"],"événement":{{"ключ":"值"}}}}',
        )

    def make_imported(self) -> GeneratedEvent:
        """A message that came from another server when the room was imported."""
        sender = '{"display_name":"Ünal","avatar_url":"","fqid":"@unal:old.example.org"}'
        return self._make_message(f',"_imported_sender":{sender}')._replace(indexed=False)


_EMOJI = ("👍", "❤️", "🎉", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👋🏽", "1️⃣", "😂")
_UNKNOWN_TYPES = ("poll.started", "Ereignis", "x-未知")

# How many of a thousand events.
_WEIGHTS: dict[Callable[[EventGenerator], GeneratedEvent], int] = {
    EventGenerator.make_text: 530,
    EventGenerator.make_reply: 100,
    EventGenerator.make_reaction: 120,
    EventGenerator.make_mention: 50,
    EventGenerator.make_edited: 40,
    EventGenerator.make_media: 40,
    EventGenerator.make_code: 30,
    EventGenerator.make_read_marker: 20,
    EventGenerator.make_member: 20,
    EventGenerator.make_redacted: 10,
    EventGenerator.make_sidekick: 10,
    EventGenerator.make_call: 10,
    EventGenerator.make_unknown: 10,
    EventGenerator.make_imported: 5,
    EventGenerator.make_name: 3,
    EventGenerator.make_topic: 2,
}  # fmt: skip
_WEIGHTED_GENERATORS = [generator for generator, weight in _WEIGHTS.items() for _ in range(weight)]


def _choose(random: Callable[[], float], values: Sequence[T]) -> T:
    """Faster than `Random.choice`, which matters for millions of events."""
    return values[int(random() * len(values))]


def _format_time(milliseconds: int) -> str:
    """Return a time that both databases accept; PostgreSQL's session runs in UTC."""
    return str(_EPOCH + timedelta(milliseconds=milliseconds))
