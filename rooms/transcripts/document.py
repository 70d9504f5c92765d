"""What every format gets: the room, its events, and the choices of who asked for the transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from rooms.bundle.manifest.schema import ManifestHeader
from rooms.bundle.reader import RoomContent
from rooms.transcripts.timeline import EVERYTHING, EventSelection, Layout, Timeline
from rooms.transcripts.wording import Authors, Clock, TranscriptMedia, reveal
from scaiwave import __version__

NUMBERS = (
    "#1 is the first of all events that were read. Missing numbers are reactions and redactions, "
    "which are shown with their event, and events that a filter left out."
)


class OutputFile(NamedTuple):
    """A file of a transcript: its path in the directory, and its bytes."""

    path: str
    chunks: Iterable[bytes]


@dataclass(frozen=True)
class TranscriptOptions:
    """`single_file` is for HTML only. `text` and `csv` never contain files."""

    format: str
    clock: Clock
    selection: EventSelection = EVERYTHING
    with_media: bool = True
    single_file: bool = False


@dataclass(frozen=True)
class Document:
    """A room to be rendered once. `origin` is a sentence about where the events come from."""

    content: RoomContent
    timeline: Timeline
    media: TranscriptMedia
    options: TranscriptOptions
    origin: str
    manifest_sha256: str

    @property
    def header(self) -> ManifestHeader:
        return self.content.header

    @property
    def people(self) -> Authors:
        return self.timeline.people

    @property
    def clock(self) -> Clock:
        return self.options.clock

    @property
    def title(self) -> str:
        room = self.header.room
        return " ".join(reveal(room.name).split()) or f"Room {room.id}"

    @property
    def zone_name(self) -> str:
        return str(self.clock.zone)

    @property
    def generator(self) -> str:
        return f"scaiwave {__version__}"

    @property
    def nonce(self) -> str:
        """Return a number that no one who wrote in the room could know."""
        return sha256(f"nonce {self.manifest_sha256}".encode()).hexdigest()[:32]

    def list_facts(self) -> list[tuple[str, str]]:
        """Return facts about the room and the transcript for a reader, as labels and texts."""
        header, room, selection = self.header, self.header.room, self.options.selection
        facts = [
            ("Room", f"{self.title} ({room.id})"),
            ("Topic", reveal(room.topic)),
            ("Type", f"{room.room_type}, {room.state}"),
            ("Workspace", reveal(room.workspace.name or room.workspace.slug)),
            ("Server", reveal(header.server_name)),
            ("Created", self.clock.format_stamp(room.created_at)),
            ("Exported", self.clock.format_stamp(header.exported_at)),
            ("Time zone", self.zone_name),
            ("Numbers", NUMBERS),
            ("Source", self.origin),
        ]
        for window in filter(None, (header.window, selection.window.for_manifest)):
            since, until = map(self.clock.format_stamp, (window.since, window.until))
            bounds = [f"from {since}" if since else "", f"before {until}" if until else ""]
            facts.append(("Period", ", ".join(filter(None, bounds))))
        if selection.participant:
            facts.append(("Only from", reveal(selection.participant)))
        if selection.words:
            words = reveal(" ".join(selection.words))
            facts.append(("Only with", f"{words}, and {selection.context} events around each"))
        return [(label, " ".join(text.split())) for label, text in facts if text.strip()]


class Format(NamedTuple):
    layout: Layout
    render: Callable[[Document], Iterator[OutputFile]]
    has_media: bool
    note: str = ""
