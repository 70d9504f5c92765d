"""Pages of a list that misbehaves."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import msgspec

from tests.identity_sync.scripted_scaikey.directory import sample_keys
from tests.identity_sync.scripted_scaikey.records import Listing
from tests.identity_sync.scripted_scaikey.script import ListBehaviour

JUMPING_ROWS = 10


class ServedPage(NamedTuple):
    """One page that was returned."""

    page: int
    keys: tuple[str, ...]
    total: int | None


def serve_page(
    listing: Listing, behaviour: ListBehaviour, *, page: int, per_page: int, request_number: int
) -> ServedPage:
    """Return a page of the list, after `request_number` other requests."""
    keys = _list_replica_keys(
        listing, behaviour, is_second_replica(behaviour, page, request_number)
    )
    total = len(keys)
    if total:
        keys = _add_repeats(order_keys(keys, behaviour, request_number), behaviour)
    size = min(per_page, behaviour.caps[request_number % len(behaviour.caps)])
    page_keys = keys[(page - 1) * size : page * size]
    if behaviour.repeat == "echo":
        page_keys += page_keys[:1]
    return ServedPage(page, tuple(page_keys), choose_total(total, behaviour, request_number))


def is_second_replica(behaviour: ListBehaviour, page: int, request_number: int) -> bool:
    if behaviour.replicas == "parity":
        return page % 2 == 0
    return behaviour.replicas == "alternate" and request_number % 2 == 1


def _list_replica_keys(listing: Listing, behaviour: ListBehaviour, second: bool) -> list[str]:
    if not second:
        return listing.list_lagging_keys() if behaviour.lagging else listing.keys.copy()
    if behaviour.offset:
        return _rotate(listing.keys, behaviour.offset)
    keys = listing.keys.copy()
    Random(behaviour.seed).shuffle(keys)
    return keys


def _rotate(keys: list[str], rows: int) -> list[str]:
    turn = rows % len(keys) if keys else 0
    return keys[turn:] + keys[:turn]


def order_keys(keys: list[str], behaviour: ListBehaviour, request_number: int) -> list[str]:
    match behaviour.order:
        case "rotate":
            return _rotate(keys, behaviour.step * request_number)
        case "jump":
            return _jump(keys, behaviour.seed, request_number)
        case "reverse":
            return keys[::-1] if request_number % 2 else keys
        case "shuffle" if request_number:
            Random(behaviour.seed + request_number).shuffle(keys)
    return keys


def _jump(keys: list[str], seed: int, times: int) -> list[str]:
    """Move ten rows from anywhere to the front, each time."""
    front: dict[str, None] = {}
    for time in range(times, 0, -1):
        front |= dict.fromkeys(sample_keys(Random(seed + time), keys, JUMPING_ROWS))
    return [*front, *(key for key in keys if key not in front)]


def _add_repeats(keys: list[str], behaviour: ListBehaviour) -> list[str]:
    first, second = (Random(behaviour.seed + step).randrange(len(keys)) for step in (0, 1))
    match behaviour.repeat:
        case "again":
            return [*keys, keys[first]]
        case "instead":
            keys[first] = keys[second]
    return keys


def choose_total(real: int, behaviour: ListBehaviour, request_number: int) -> int | None:
    """Return the total to report; a bare list has none."""
    if behaviour.envelope == "bare":
        return None
    part = max(1, real // 10)
    match behaviour.totals:
        case "right":
            return real
        case "low":
            return max(0, real - part)
        case "high":
            return real + part
        case "half":
            return real // 2
        case "random":
            return Random(behaviour.seed + request_number).randint(0, 2 * real)
    return None


def encode_page(rows: list[bytes], total: int | None, page: int, behaviour: ListBehaviour) -> bytes:
    body = b"[%b]" % b",".join(rows)
    if behaviour.envelope == "bare":
        return body
    totals = {"page": page} | ({} if total is None else {"total": total})
    total_json = b'"%b":%b' % (behaviour.total_position.encode(), msgspec.json.encode(totals))
    if behaviour.total_position == "top":
        total_json = msgspec.json.encode(totals)[1:-1]
    return b'{"%b":%b,%b}' % (behaviour.envelope.encode(), body, total_json)
