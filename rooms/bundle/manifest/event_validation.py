"""The events of a manifest that nobody has checked yet.

The fast lane decodes many lines at once with a decoder that takes the last of two equal keys and
integers of any length. So it accepts a batch only with a proof that nothing was lost; the strict
lane decides about everything else, and names what is wrong. Both give the same values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter, lt
from typing import Any

import msgspec

from rooms.bundle import strict_json
from rooms.bundle.format import IMPORTED_SENDER, MANIFEST, MOST_CONTENT_BYTES
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.events import Batch, BundleEvent, try_decode
from rooms.bundle.manifest.schema import is_id, is_time, manifest_error
from rooms.bundle.proof import MOST_INTEGER, decoded_losslessly
from rooms.bundle.strict_json import StrictJSONError
from rooms.errors import BundleOutOfOrder, ContentTooLarge

LATEST = 253_402_300_799
EARLIEST = -62_135_596_800
"""Seconds since 1970: the years that a date can have, 1 to 9999."""

_LONGEST_TYPE = 255
# A line of this length can't hold content over the limit, however it is written: no value takes
# four times its bytes when it is written compactly.
_SHORT_LINE = MOST_CONTENT_BYTES // 4
# Where its id stands in an event that can't be decoded, if it is where this suite writes it.
_ID_FIRST = re.compile(rb'\{\s*"id"\s*:\s*"([0-9a-f-]{36})"')
_REMEMBERED = 10_000
"""Hours that are known to be good, for most events are of a few."""

# What is left of texts of the right form when each of their digits is taken for a 0.
_ID_FORM = "00000000-0000-0000-0000-000000000000"
_TIME_FORM = "0000-00-00T00:00:00.000000Z"
_MINUTE, _SECOND = 14, 17
"""Where their tens stand in a time."""
_HEX_TO_0 = str.maketrans("123456789abcdef", "0" * 15)
_DIGIT_TO_0 = str.maketrans("123456789", "0" * 9)
_sender, _type, _uuid, _edited, _redacted = map(
    attrgetter, ("sender_id", "event_type", "event_uuid", "edited_at", "redacted_at")
)


class ValidatingEventDecoder:
    """Keeps count, so that an error can say which event it is about."""

    def __init__(self) -> None:
        self.count = 0
        self._position = 0
        self._hours: set[str] = set()

    def fast(self, body: bytes) -> Batch | None:
        batch = try_decode(body)
        if not batch or not (decoded_losslessly(body, batch) and self._all_good(body, batch)):
            return None
        self.count += len(batch)
        self._position = batch[-1].stream_position
        return batch

    def slow(self, stream: JsonStream) -> BundleEvent:
        self.count += 1
        event, length = self._typed(stream)
        if trouble := _trouble(event):
            raise self.refused(event, trouble)
        if event.stream_position <= self._position:
            raise BundleOutOfOrder(
                f"Event {self.count:,} ({event.id}) has stream_position "
                f"{event.stream_position}, which does not follow {self._position}.",
                entry=MANIFEST,
                event=self.count,
                event_id=event.id,
            )
        self._check_content(event, length)
        self._position = event.stream_position
        return event

    def _typed(self, stream: JsonStream) -> tuple[BundleEvent, int]:
        """The event, and how long it is as it stands there."""
        raw = b""
        try:
            raw = stream.value()
            return msgspec.convert(strict_json.loads(raw), BundleEvent), len(raw)
        except StrictJSONError as error:
            trouble = str(error)
        except msgspec.ValidationError as error:
            trouble = f"is not as the format wants it: {error}"
        details: dict[str, Any] = {"event": self.count}
        what = f"Event {self.count:,}"
        if found := _ID_FIRST.match(raw):
            details["event_id"] = found[1].decode()
            what += f" ({details['event_id']})"
        raise manifest_error(what, trouble, **details)

    def refused(self, event: BundleEvent, trouble: str) -> Exception:
        what = f"Event {self.count:,} ({event.id:.36})"
        return manifest_error(what, trouble, event=self.count, event_id=event.id)

    def _check_content(self, event: BundleEvent, length: int) -> None:
        if length < _SHORT_LINE:
            return
        for key, size in _sizes(event):
            if size > MOST_CONTENT_BYTES:
                raise ContentTooLarge(
                    f"Event {self.count:,} ({event.id}) has {key} of {size:,} bytes; "
                    f"{MOST_CONTENT_BYTES:,} are the most.",
                    entry=MANIFEST,
                    event=self.count,
                    event_id=event.id,
                )

    def _all_good(self, body: bytes, batch: Batch) -> bool:
        """What `slow` looks at, for all at once."""
        positions = [self._position, *[event.stream_position for event in batch]]
        moments = [event.origin_ts for event in batch]
        return (
            positions[-1] <= MOST_INTEGER
            and all(map(lt, positions, positions[1:]))
            and min(moments) >= EARLIEST
            and max(moments) <= LATEST
            and _all_ids(batch)
            and self._all_times(batch)
            and all(0 < len(name) <= _LONGEST_TYPE for name in set(map(_type, batch)))
            and _only_short_lines(body)
        )

    def _all_times(self, batch: Batch) -> bool:
        times = [event.created_at for event in batch]
        times += [time for time in map(_edited, batch) if time is not None]
        times += [time for time in map(_redacted, batch) if time is not None]
        if not _have_form(times, _TIME_FORM, _DIGIT_TO_0):
            return False
        joined = "".join(times)
        if max(joined[_MINUTE :: len(_TIME_FORM)] + joined[_SECOND :: len(_TIME_FORM)]) > "5":
            return False
        hours = {time[:_MINUTE] for time in times} - self._hours
        if not all(is_time(f"{hour}{_TIME_FORM[_MINUTE:]}") for hour in hours):
            return False
        self._hours = hours if len(self._hours) > _REMEMBERED else self._hours | hours
        return True


def _only_short_lines(body: bytes) -> bool:
    at = 0
    while len(body) - at > _SHORT_LINE:
        at = body.rfind(b"\n", at, at + _SHORT_LINE) + 1
        if not at:
            return False
    return True


def _all_ids(batch: Batch) -> bool:
    ids = [event.id for event in batch]
    ids += set(map(_sender, batch))
    ids += [uuid for uuid in map(_uuid, batch) if uuid is not None]
    return _have_form(ids, _ID_FORM, _HEX_TO_0)


def _have_form(texts: list[str], form: str, to_0: dict[int, int]) -> bool:
    """Whether each is of this form; all at once, each of them being of its length."""
    lengths = set(map(len, texts))
    return lengths == {len(form)} and "".join(texts).translate(to_0) == form * len(texts)


def _trouble(event: BundleEvent) -> str | None:
    for key in ("id", "sender_id", "event_uuid"):
        value = getattr(event, key)
        if value is not None and not is_id(value):
            return f"has {value!r:.60} as {key}, which is no id"
    for key in ("created_at", "edited_at", "redacted_at"):
        value = getattr(event, key)
        if value is not None and not is_time(value):
            return f"has {value!r:.60} as {key}, which is no time"
    if event.stream_position > MOST_INTEGER:
        return f"has a stream_position of more than 64 bits: {event.stream_position}"
    if not EARLIEST <= event.origin_ts <= LATEST:
        return f"has an origin_ts out of range: {event.origin_ts}"
    if not 0 < len(event.event_type) <= _LONGEST_TYPE:
        return f"has an event_type that is empty or longer than {_LONGEST_TYPE} characters"
    return None


def _sizes(event: BundleEvent) -> Iterator[tuple[str, int]]:
    """In bytes of compact UTF-8; what an import adds to content counts by itself."""
    for key in ("content", "original_content"):
        content = getattr(event, key)
        if content and IMPORTED_SENDER in content:
            yield f"{key}.{IMPORTED_SENDER}", len(msgspec.json.encode(content[IMPORTED_SENDER]))
            content = {name: value for name, value in content.items() if name != IMPORTED_SENDER}
        yield key, len(msgspec.json.encode(content))
