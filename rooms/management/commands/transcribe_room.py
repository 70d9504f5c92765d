from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.bundle.time_window import parse_time_window
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import check_transcript_usage, print_report
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.timeline import EventSelection
from rooms.transcripts.transcribe_room import (
    FORMATS,
    parse_time_zone,
    transcribe_bundle,
    transcribe_room,
)
from rooms.transcripts.wording import Clock
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", nargs="?", help="room (ID or alias)")
        add("--tenant", help="tenant (slug, ID or ScaiKey ID)")
        add(
            "--bundle",
            type=Path,
            metavar="PATH",
            help="bundle to read instead of a room; with increments: their directory, or the last "
            "one to read",
        )
        add("--output", type=Path, metavar="DIR", required=True, help="directory to create")
        add("--force", action="store_true", help="replace an existing transcript")
        add("--format", choices=tuple(FORMATS), default="html", help="format (default: html)")
        add("--since", metavar="TIME", help="start of the period: earlier events are left out")
        add(
            "--until",
            metavar="TIME",
            help="end of the period: events at this time or later are left out",
        )
        add("--time-zone", metavar="ZONE", help="time zone of days and times (default: UTC)")
        add("--participant", metavar="NAME", default="", help="only events of this @name:server")
        add("--search", metavar="WORDS", default="", help="only messages with all these words")
        add("--context", metavar="N", type=int, default=0, help="events around each one found")
        add("--single-file", action="store_true", help="write one HTML file, with its images")
        add("--no-media", action="store_true", help="leave out the attachments' files")
        add("--key", help="with --bundle: public key of the signer (ed25519:…)")
        add(
            "--descriptor",
            metavar="FILE",
            type=Path,
            help="with --bundle: descriptor of the signer, saved from /.well-known/scaiwave/server",
        )

    def handle(self, room: str | None, bundle: Path | None, **options: Any) -> None:
        check_transcript_usage(room, bundle, options)
        zone = parse_time_zone(options["time_zone"]) if options["time_zone"] else UTC
        since, until = options["since"], options["until"]
        window = parse_time_window(since, until, now=timezone.now(), zone=zone)
        words = tuple(options["search"].split())
        transcript_options = TranscriptOptions(
            options["format"],
            Clock(zone),
            EventSelection(window, options["participant"], words, options["context"]),
            with_media=not options["no_media"],
            single_file=options["single_file"],
        )
        common = {
            "options": transcript_options,
            "target": options["output"],
            "overwrite": options["force"],
            "now": timezone.now(),
            "progress_factory": self.output.progress,
        }
        if bundle is not None:
            result = transcribe_bundle(
                path=bundle,
                key=options["key"],
                descriptor=options["descriptor"],
                max_bytes=get_max_bytes(),
                **common,
            )
        else:
            result = transcribe_room(
                operator=self.operator, tenant=options["tenant"], room=room or "", **common
            )
        print_report(self.output, result.document(), lines=result.sentences())
