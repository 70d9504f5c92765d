"""Proves that a decoder which forgives has lost nothing."""

from __future__ import annotations

import re
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec

from rooms.bundle.format import DEEPEST
from rooms.bundle.manifest.events import Batch, BundleEvent

MOST_INTEGER = 2**63 - 1
LEAST_INTEGER = -(2**63)

_ALWAYS = sum(field.required for field in msgspec.structs.fields(BundleEvent))
"""Keys that every event has."""
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXT = re.compile(rb'"[^"]*"( ?:)?')
_originals = attrgetter("original_content")
_MAY_BE_NULL = tuple(map(attrgetter, ("event_uuid", "edited_at", "redacted_at")))
_NESTED = frozenset({dict, list})


def decoded_losslessly(body: bytes, batch: Batch) -> bool:
    """Whether every key of the text is in the events, and no value is one that is refused.

    As many keys in the text as in what was decoded: then none was there twice or unknown. The text
    has been decoded as JSON, so a backslash is nowhere but inside of texts, and without what is
    escaped every quotation mark begins or ends one.
    """
    if b"\\" in body:
        # From the end, where its backslash is looked for and not its 0, of which there are more.
        if body.rfind(b"\\u0000") >= 0:
            return False
        body = _ESCAPED.sub(b"", body)
    spaced = b" :" in body
    if b"\t" in body or b"\r" in body or b"\n:" in body or (spaced and b"  :" in body):
        return False
    if (decoded := _keys(batch)) is None:
        return False
    # A text that begins with a colon, such as ":-)", makes the quick count too high.
    counted = body.count(b'":') + (body.count(b'" :') if spaced else 0)
    return decoded == counted or decoded == _exact_keys(body)


def _exact_keys(body: bytes) -> int:
    """The texts that a colon follows."""
    return sum(map(bool, _TEXT.findall(body)))


def _keys(batch: Batch) -> int | None:
    """How many keys the events have, and all that is in them; None if something is too much.

    Level by level, so that each step is one over many values.
    """
    found = _ALWAYS * len(batch)
    for column in _MAY_BE_NULL:
        found += len(batch) - list(map(column, batch)).count(None)
    found += sum([event.do_not_index for event in batch])
    level: list[Any] = [event.content for event in batch]
    originals = [content for content in map(_originals, batch) if content is not None]
    level += originals
    found += len(originals)
    for _ in range(2, DEEPEST + 1):
        if not level:
            return found
        if (below := _level(level)) is None:
            return None
        found += below[0]
        level = below[1]
    return None


def _level(level: list[Any]) -> tuple[int, list[Any]] | None:
    """The keys of these objects and arrays, and the objects and arrays in them.

    None if there is an integer of more than 64 bits.
    """
    objects = [value for value in level if type(value) is dict]
    values = list(chain.from_iterable(map(dict.values, objects)))
    if len(objects) < len(level):
        values += chain.from_iterable([value for value in level if type(value) is list])
    # Most are texts; the others are few enough to be looked at again.
    values = [value for value in values if type(value) is not str]
    integers = [value for value in values if type(value) is int]
    if integers and (min(integers) < LEAST_INTEGER or max(integers) > MOST_INTEGER):
        return None
    return sum(map(len, objects)), [value for value in values if type(value) in _NESTED]
