"""Decode and validate the events of a manifest that has not been checked yet.

`decode_batch` decodes many lines at once with msgspec, which keeps the last of two equal keys,
ignores unknown ones and accepts integers of any length. So it accepts a batch only if
`_is_lossless` finds that nothing was dropped. `decode_one` decides about everything else and
reports the error. Both return the same values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from operator import lt
from typing import Any, NamedTuple

import msgspec

from rooms.bundle.format import IMPORTED_SENDER, MANIFEST, MAX_CONTENT_BYTES, MAX_DEPTH
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.events import Batch, BundleEvent, Columns, IncrementEvent, try_decode
from rooms.bundle.manifest.schema import is_id, is_timestamp, manifest_error
from rooms.errors import BundleOutOfOrder, ContentTooLarge
from scaiwave.core import strict_json
from scaiwave.core.strict_json import MAX_INTEGER, MIN_INTEGER, StrictJSONError

_MAX_TYPE_CHARS = 255
# An event of this length can't have content over the limit, however it is written: no value takes
# four times its bytes when it is written compactly.
_SHORT_EVENT_BYTES = MAX_CONTENT_BYTES // 4
# The ID of an event that can't be decoded, where an export of this suite writes it.
_ID_FIRST = re.compile(rb'\{\s*"id"\s*:\s*"([0-9a-f-]{36})"')
_MAX_CACHED_HOURS = 10_000
_BETWEEN_EVENTS = b"},\n{"

# Valid texts become these when each of their digits is replaced by 0. So one comparison checks the
# joined texts of a whole batch.
_ID_FORM = "00000000-0000-0000-0000-000000000000"
_TIMESTAMP_FORM = "0000-00-00T00:00:00.000000Z"
_MINUTE, _SECOND = 14, 17
"""Where the tens of the minute and of the second are in a timestamp. What is before is the hour."""
_HEX_TO_0 = str.maketrans("123456789abcdef", "0" * 15)
_DIGIT_TO_0 = str.maketrans("123456789", "0" * 9)

_REQUIRED_TEXTS = 11
"""An event has seven required keys, and four required fields that are texts."""
_MAX_SINGLE_ESCAPES = 1000
"""Backslashes of a batch that are looked at one by one, which is fast as long as there are few."""
_QUOTE, _U = b'"u'

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ValidatingEventDecoder:
    """Counts the events, so that an error can name the one it is about."""

    def __init__(self, kind: type[BundleEvent] = BundleEvent) -> None:
        self.count = 0
        self._kind = kind
        # In an increment, each event has another key, `change`, whose value is a text.
        self._required_texts = _REQUIRED_TEXTS + 2 * (kind is IncrementEvent)
        self.last_position = 0
        # Hours whose timestamps are known to be valid: most events are from a few hours.
        self._hours: set[str] = set()

    def decode_batch(self, body: bytes) -> Batch | None:
        """Return the events of a JSON array if all are certainly valid, else None.

        None counts nothing, so that `decode_one` can read and decide about the same events.
        """
        batch = try_decode(body, self._kind)
        if not batch or not (decoded := _count_decoded(batch.columns, self._required_texts)):
            return None
        if not (
            _is_lossless(body, decoded)
            and self._is_valid(batch.columns)
            and _has_only_short_events(body, decoded)
        ):
            return None
        self.count += len(batch)
        self.last_position = batch[-1].stream_position
        return batch

    def decode_one(self, stream: JsonStream) -> BundleEvent:
        """Raises BundleBadManifest, BundleOutOfOrder or ContentTooLarge, each naming the event."""
        self.count += 1
        event, length = self._decode_typed(stream)
        if problem := _find_problem(event):
            raise manifest_error(
                # The ID may be the problem, and then of any length.
                f"Event {self.count:,} ({event.id:.36})",
                problem,
                event=self.count,
                event_id=event.id,
            )
        if event.stream_position <= self.last_position:
            raise BundleOutOfOrder(
                f"Event {self.count:,} ({event.id}) is out of order: stream_position "
                f"{event.stream_position} does not follow {self.last_position}.",
                entry=MANIFEST,
                event=self.count,
                event_id=event.id,
            )
        self._check_content_size(event, length)
        self.last_position = event.stream_position
        return event

    def _decode_typed(self, stream: JsonStream) -> tuple[BundleEvent, int]:
        """Return the event and the length of its text."""
        raw = b""
        try:
            raw = stream.read_value()
            return msgspec.convert(strict_json.loads(raw), self._kind), len(raw)
        except StrictJSONError as error:
            problem = str(error)
        except msgspec.ValidationError as error:
            problem = f"does not match the format: {error}"
        details: dict[str, Any] = {"event": self.count}
        subject = f"Event {self.count:,}"
        if match := _ID_FIRST.match(raw):
            details["event_id"] = match[1].decode()
            subject += f" ({details['event_id']})"
        raise manifest_error(subject, problem, **details)

    def _check_content_size(self, event: BundleEvent, length: int) -> None:
        if length < _SHORT_EVENT_BYTES:
            return
        for key, size in _iter_sizes(event):
            if size > MAX_CONTENT_BYTES:
                raise ContentTooLarge(
                    f"Event {self.count:,} ({event.id}) has {key} of {size:,} bytes (maximum "
                    f"{MAX_CONTENT_BYTES:,}).",
                    entry=MANIFEST,
                    event=self.count,
                    event_id=event.id,
                )

    def _is_valid(self, columns: Columns) -> bool:
        """Check what `decode_one` checks, except sizes, for all events at once."""
        positions, seconds = columns.positions, columns.origin_seconds
        return (
            positions[0] > self.last_position
            and positions[-1] <= MAX_INTEGER
            and all(map(lt, positions, positions[1:]))
            and min(seconds) >= MIN_INTEGER
            and max(seconds) <= MAX_INTEGER
            and _has_valid_ids(columns)
            and self._has_valid_timestamps(columns)
            and all(0 < len(name) <= _MAX_TYPE_CHARS for name in set(columns.event_types))
        )

    def _has_valid_timestamps(self, columns: Columns) -> bool:
        times = list(columns.created_times)
        times += [time for time in columns.edited_times if time is not None]
        times += [time for time in columns.redacted_times if time is not None]
        if not _all_have_form(times, _TIMESTAMP_FORM, _DIGIT_TO_0):
            return False
        joined, step = "".join(times), len(_TIMESTAMP_FORM)
        tens = joined[_MINUTE::step] + joined[_SECOND::step]
        if any(digit in tens for digit in "6789"):
            return False
        hours = {time[:_MINUTE] for time in times} - self._hours
        if not all(is_timestamp(f"{hour}{_TIMESTAMP_FORM[_MINUTE:]}") for hour in hours):
            return False
        self._hours = hours if len(self._hours) > _MAX_CACHED_HOURS else self._hours | hours
        return True


class _Decoded(NamedTuple):
    """`texts` is the number of keys and texts of the events at every level.

    `has_listed_objects` is true if an array in an event has an object as an item.
    """

    texts: int
    has_listed_objects: bool


def _has_only_short_events(body: bytes, decoded: _Decoded) -> bool:
    """Return whether no event is so long that its content can be over the limit.

    `body` is the JSON array of a batch. A JSON text contains no line break, so `},\\n{` is between
    the items of an array. Where no array in an event has objects, it is between two events.
    Otherwise the array is split and each event measured, which takes longer.
    """
    if not decoded.has_listed_objects and _has_short_parts(body):
        return True
    return all(len(raw) < _SHORT_EVENT_BYTES for raw in _split(body))


def _has_short_parts(body: bytes) -> bool:
    """Return whether `},\\n{` cuts the array into parts of at most `_SHORT_EVENT_BYTES`."""
    start = 0
    while len(body) - start > _SHORT_EVENT_BYTES:
        start = body.rfind(_BETWEEN_EVENTS, start, start + _SHORT_EVENT_BYTES) + 1
        if not start:
            return False
    return True


def _has_valid_ids(columns: Columns) -> bool:
    ids = [*columns.ids, *set(columns.sender_ids)]
    ids += [uuid for uuid in columns.event_uuids if uuid is not None]
    return _all_have_form(ids, _ID_FORM, _HEX_TO_0)


def _all_have_form(texts: list[str], form: str, to_0: dict[int, int]) -> bool:
    """Compare all texts with the form at once, after checking that each has its length."""
    lengths = set(map(len, texts))
    return lengths == {len(form)} and "".join(texts).translate(to_0) == form * len(texts)


def _find_problem(event: BundleEvent) -> str | None:
    """Return the rest of a sentence about the event. `_is_valid` has the same rules for many."""
    for key in ("id", "sender_id", "event_uuid"):
        value = getattr(event, key)
        if value is not None and not is_id(value):
            return f"has an invalid {key}: {value!r:.60}"
    for key in ("created_at", "edited_at", "redacted_at"):
        value = getattr(event, key)
        if value is not None and not is_timestamp(value):
            return f"has an invalid {key}: {value!r:.60}"
    if event.stream_position > MAX_INTEGER:
        return f"has a stream_position of more than 64 bits: {event.stream_position}"
    if not MIN_INTEGER <= event.origin_ts <= MAX_INTEGER:
        return f"has an origin_ts of more than 64 bits: {event.origin_ts}"
    if not 0 < len(event.event_type) <= _MAX_TYPE_CHARS:
        return f"has an event_type that is empty or longer than {_MAX_TYPE_CHARS} characters"
    return None


def _iter_sizes(event: BundleEvent) -> Iterator[tuple[str, int]]:
    """Yield bytes of compact UTF-8; what an import adds to content is counted separately."""
    for key in ("content", "original_content"):
        content = getattr(event, key)
        if content and IMPORTED_SENDER in content:
            yield f"{key}.{IMPORTED_SENDER}", len(msgspec.json.encode(content[IMPORTED_SENDER]))
            content = {name: value for name, value in content.items() if name != IMPORTED_SENDER}
        yield key, len(msgspec.json.encode(content))


def _is_lossless(body: bytes, decoded: _Decoded) -> bool:
    """Return whether msgspec dropped no duplicate or unknown key, and no text has U+0000.

    Whatever it drops has a key, so then the text has more quotation marks than two for each text
    that was decoded. It was decoded as JSON, so a quotation mark that is not escaped begins or ends
    a text.
    """
    if (escaped := _count_escaped_quotes(body)) is None:
        return False
    return body.count(b'"') - escaped == 2 * decoded.texts


def _count_escaped_quotes(body: bytes) -> int | None:
    """Return the number of escaped quotation marks; None if U+0000 may be among the escapes."""
    count, start = 0, body.find(b"\\")
    for _ in range(_MAX_SINGLE_ESCAPES):
        if start < 0:
            return count
        escaped = body[start + 1]
        if escaped == _QUOTE:
            count += 1
        elif escaped == _U and body.startswith(b"0000", start + 2):
            return None
        start = body.find(b"\\", start + 2)
    rest = body[start:] if start >= 0 else b""
    if b"\\u0000" in rest:
        return None
    # Pairs are removed first, so a backslash that is left before a quotation mark escapes it.
    return count + rest.replace(b"\\\\", b"").count(b'\\"')


def _count_decoded(columns: Columns, required_texts: int) -> _Decoded | None:
    """Count the keys and texts; None if an event is too deep or has an integer out of range.

    Goes level by level, so that each step handles many values at once. An optional key is counted
    only with a value, as an export of this suite writes it. A manifest that writes null or false
    has more texts than are counted, so `decode_one` reads its events.
    """
    events = len(columns.ids)
    count = required_texts * events
    for optional in (columns.event_uuids, columns.edited_times, columns.redacted_times):
        count += 2 * (events - optional.count(None))  # the key and its text
    count += sum(columns.do_not_index)  # the key
    objects: list[dict[str, Any]] = list(columns.contents)
    if columns.original_contents.count(None) < events:
        originals = [content for content in columns.original_contents if content is not None]
        objects += originals
        count += len(originals)  # the key
    lists: list[list[Any]] = []
    has_listed_objects = False
    for _ in range(2, MAX_DEPTH + 1):  # An event is level 1, and its contents are level 2.
        values = list(chain.from_iterable(map(dict.values, objects)))
        for items in lists:
            values += items
        others = [value for value in values if type(value) is not str]
        count += sum(map(len, objects)) + len(values) - len(others)
        if not others:
            return _Decoded(count, has_listed_objects)
        integers = [value for value in others if type(value) is int]
        if integers and (min(integers) < MIN_INTEGER or max(integers) > MAX_INTEGER):
            return None
        has_listed_objects |= dict in map(type, chain.from_iterable(lists))
        objects = [value for value in others if type(value) is dict]
        lists = [value for value in others if type(value) is list]
        if not objects and not lists:
            return _Decoded(count, has_listed_objects)
    return None
