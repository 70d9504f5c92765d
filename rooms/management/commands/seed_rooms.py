"""`scaiwave manage seed_rooms`: rooms with sample data, of any size."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from rooms.models import RoomType
from rooms.seeding.seed_rooms import SeedOptions, seed_rooms
from scaiwave.auth.identify import identify_operator
from scaiwave.console.columns import ColumnType, columns_of
from scaiwave.console.output import Output

MAX_COUNT = 100_000_000
"""Events in a room: at the seeded pace, 22 years of conversation."""
MAX_FILE_BYTES = 2**40

COLUMNS = (
    *columns_of("id", "name", "alias"),
    *columns_of("events", "media", "members", kind=ColumnType.COUNT),
)


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text) or len(text) > 200:
        raise ArgumentTypeError(f"{text!r} may contain only a–z, 0–9 and single hyphens")
    return text


def _int_between(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not minimum <= int(text) <= maximum:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {maximum:,}")
        return int(text)

    return parse


_count = _int_between(0, MAX_COUNT)


def _fraction(text: str) -> float:
    if not re.fullmatch(r"0?\.[0-9]+|[01](\.0+)?", text):
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return float(text)


def _room_type(text: str) -> RoomType:
    try:
        return RoomType(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not one of {', '.join(RoomType.values)}") from None


class Command(BaseCommand):
    help = "Add rooms with sample data to a workspace. Each run adds further rooms."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", metavar="SLUG", required=True, help="tenant; created if it does not exist")
        add(
            "--workspace",
            metavar="SLUG",
            type=_slug,
            default="seeded",
            help="workspace; created if it does not exist (default seeded)",
        )
        for name, parse, default, text in (
            ("rooms", _count, 1, "number of rooms"),
            ("events", _count, 1000, "number of events per room"),
            ("media", _count, 0, "number of files per room"),
            ("media-bytes", _int_between(0, MAX_FILE_BYTES), 10_000, "size of each file in bytes"),
            ("senders", _int_between(1, MAX_COUNT), 12, "number of senders"),
        ):
            add(
                f"--{name}",
                metavar="N",
                type=parse,
                default=default,
                help=f"{text} (default {default:,})",
            )
        add(
            "--foreign-share",
            metavar="SHARE",
            type=_fraction,
            default=0.25,
            help="share of senders from other servers (default 0.25)",
        )
        add(
            "--type",
            dest="room_type",
            metavar="TYPE",
            type=_room_type,
            default=RoomType.GROUP,
            help=f"room type: {', '.join(RoomType.values)} (default group)",
        )
        add("--seed", metavar="N", type=int, default=1, help="random seed (default 1)")
        add("--json", action="store_true", help="print one JSON document")

    def handle(self, tenant: str, workspace: str, **options: Any) -> None:
        output = Output(sys.stdout, sys.stderr, as_json=options["json"], zone=settings.LOCAL_ZONE)
        with output.progress("Events") as progress:
            seeded = seed_rooms(
                operator=identify_operator(settings.CONFIG),
                tenant=tenant,
                workspace=workspace,
                options=SeedOptions(
                    **{field.name: options[field.name] for field in fields(SeedOptions)}
                ),
                now=timezone.now(),
                progress=progress,
            )
        if options["json"]:
            output.print_json(seeded.document())
            return
        output.print_table("rooms", COLUMNS, seeded.figures["rooms"])
        output.log(seeded.sentence)
