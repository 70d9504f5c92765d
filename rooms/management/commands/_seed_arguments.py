"""What `seed_rooms` takes; argparse says what is wrong with it."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable

from rooms.models import RoomType

MOST = 100_000_000
"""Events in a room: some 22 years of talk."""
MOST_BYTES = 2**40


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text) or len(text) > 200:
        raise ArgumentTypeError(f"{text!r} is not made of a–z, 0–9 and single hyphens")
    return text


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most:,}")
        return int(text)

    return number


_count = _between(0, MOST)
_size = _between(0, MOST_BYTES)
_senders = _between(1, MOST)


def _share(text: str) -> float:
    if not re.fullmatch(r"0?\.[0-9]+|[01](\.0+)?", text):
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return float(text)


def _room_type(text: str) -> RoomType:
    try:
        return RoomType(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(RoomType.values)}") from None


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--tenant", metavar="SLUG", required=True, help="made locally if there is none")
    add(
        "--workspace",
        metavar="SLUG",
        type=_slug,
        default="seeded",
        help="made if there is none (default seeded)",
    )
    add("--rooms", metavar="N", type=_count, default=1, help="how many (default 1)")
    add("--events", metavar="N", type=_count, default=1000, help="in each room (default 1,000)")
    add("--media", metavar="N", type=_count, default=0, help="files in each room (default 0)")
    add("--media-bytes", metavar="N", type=_size, default=10_000, help="size of each (10,000)")
    add("--senders", metavar="N", type=_senders, default=12, help="who speaks (default 12)")
    add(
        "--foreign-share",
        metavar="SHARE",
        type=_share,
        default=0.25,
        help="of the senders (default 0.25)",
    )
    add(
        "--type",
        dest="room_type",
        metavar="TYPE",
        type=_room_type,
        default=RoomType.GROUP,
        help="group (default), public, dm or another",
    )
    add("--seed", metavar="N", type=int, default=1, help="same seed and sizes: the same is said")
    add("--json", action="store_true", help="print one JSON document")
