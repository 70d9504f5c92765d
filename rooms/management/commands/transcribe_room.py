from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.time_window import parse_time_window
from rooms.imports.source import get_max_bytes
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.timeline import EventSelection
from rooms.transcripts.transcribe_room import (
    FORMATS,
    parse_time_zone,
    transcribe_bundle,
    transcribe_room,
)
from rooms.transcripts.wording import Clock
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, Excludes, Needs, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.errors import UsageError

MAX_CONTEXT_EVENTS = 1000
"""Around each event that a transcript's search finds."""
_ONE = "Pass a room and its --tenant, or --bundle PATH."


class TranscribeRoomArguments(Arguments):
    room: str | None = argument(ROOM, nargs="?")
    tenant: str | None = option(TENANT)
    bundle: Path | None = option(
        "bundle to read instead of a room; with increments: their directory, or the last one to "
        "read",
        metavar="PATH",
    )
    output: Path = option("directory to create", metavar="DIR", required=True)
    force: bool = option("replace an existing transcript")
    format: str = option("format (default: html)", choices=tuple(FORMATS), default="html")
    since: str | None = option("start of the period: earlier events are left out", metavar="TIME")
    until: str | None = option(
        "end of the period: events at this time or later are left out", metavar="TIME"
    )
    time_zone: str | None = option("time zone of days and times (default: UTC)", metavar="ZONE")
    participant: str = option("only events of this @name:server", metavar="NAME", default="")
    search: str = option("only messages with all these words", metavar="WORDS", default="")
    context: int = option("events around each one found", metavar="N", default=0)
    single_file: bool = option("write one HTML file, with its images")
    no_media: bool = option("leave out the attachments' files")
    key: str | None = option("with --bundle: public key of the signer (ed25519:…)")
    descriptor: Path | None = option(
        "with --bundle: descriptor of the signer, saved from /.well-known/scaiwave/server",
        metavar="FILE",
    )


class Command(OperatorCommand[TranscribeRoomArguments]):
    words = "room transcript"
    summary = "Write a room as pages to read, print or hand over"
    area, place = "rooms", 75
    permission = "EXPORT_ROOMS"
    examples = (
        "scaiwave room transcript lobby --tenant acme --output lobby",
        "scaiwave room transcript lobby --tenant acme --format csv --output lobby-csv",
        "scaiwave room transcript --bundle lobby.zip --format rsmf --output lobby-rsmf",
        "scaiwave room transcript --bundle /srv/bundles/<room-id> --output lobby",
    )
    help = (
        "Write a transcript of a room, or of a bundle: a directory with HTML pages, plain text, "
        "CSV or RSMF 2.0, and a record of all events in it. A bundle, or a chain of a bundle and "
        "its increments, is verified first, and needs no database."
    )

    option_rules = (
        Excludes("ROOM", "--bundle", _ONE, "Name a room or a bundle."),
        Needs("", "ROOM --bundle", _ONE, "Name a room or a bundle."),
        Needs("ROOM", "--tenant", "Pass a room and its --tenant.", "--tenant belongs to a room."),
        Needs("--tenant", "ROOM", "Pass a room and its --tenant.", "--tenant belongs to a room."),
        Needs("--key --descriptor", "--bundle", "Leave them out."),
        Excludes(
            "--single-file",
            "--format",
            "Leave out one of the two.",
            "--single-file needs --format html.",
        ),
        Needs("--context", "--search", "Pass --search WORDS too."),
    )

    def run(self, given: TranscribeRoomArguments) -> None:
        if not 0 <= given.context <= MAX_CONTEXT_EVENTS:
            raise UsageError(
                f"Invalid --context: {given.context}.",
                fix=f"Pass a number from 0 to {MAX_CONTEXT_EVENTS:,}.",
            )
        zone = parse_time_zone(given.time_zone) if given.time_zone else UTC
        since, until = given.since, given.until
        window = parse_time_window(since, until, now=timezone.now(), zone=zone)
        words = tuple(given.search.split())
        transcript_options = TranscriptOptions(
            given.format,
            Clock(zone),
            EventSelection(window, given.participant, words, given.context),
            with_media=not given.no_media,
            single_file=given.single_file,
        )
        common: dict[str, Any] = {
            "options": transcript_options,
            "target": given.output,
            "overwrite": given.force,
            "now": timezone.now(),
            "progress_factory": self.output.progress,
        }
        if given.bundle is not None:
            result = transcribe_bundle(
                path=given.bundle,
                key=given.key,
                descriptor=given.descriptor,
                max_bytes=get_max_bytes(),
                **common,
            )
        else:
            result = transcribe_room(
                operator=self.operator, tenant=given.tenant or "", room=given.room or "", **common
            )
        self.print_report(result)
