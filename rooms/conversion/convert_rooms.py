"""Convert an export of another chat system: one bundle for each room, and an account of it all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from django.utils.module_loading import import_string

from rooms.conversion.accounts import ROOMS, WRITTEN, Accounts
from rooms.conversion.event_encoder import EventEncoder, RoomState
from rooms.conversion.model import Portion, Reader, SourcePerson, SourceRoom
from rooms.conversion.people import read_people_map
from rooms.conversion.room_writer import RoomWriter, WrittenRoom
from rooms.conversion.source_files import SourceFiles
from rooms.conversion.spool import SortedSpool
from rooms.errors import ConversionRunning
from scaiwave import __version__
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError
from scaiwave.core.files import (
    make_directories,
    remove_drafts_in,
    replace_file,
    translate_write_errors,
)

SYSTEMS = {
    "slack": "rooms.conversion.slack.SlackReader",
    "mattermost": "rooms.conversion.mattermost.MattermostReader",
    "discord": "rooms.conversion.discord.DiscordReader",
}
REPORT = "conversion.json"
PROGRESS = ".conversion-progress"
"""Finished portions of a conversion that has not ended, one JSON text a line."""


@dataclass(frozen=True)
class ConversionOptions:
    """`only` are names or IDs of rooms; `workspace` replaces the name of the source.

    With `public`, rooms that everyone in the source could read become public rooms.
    """

    only: frozenset[str] = frozenset()
    people: Path | None = None
    files: Path | None = None
    public: bool = False
    workspace: str = ""


@dataclass(frozen=True)
class ConversionResult:
    """`reported` and `notes` are rows with `count` and `example`; see `Accounts`."""

    system: str
    workspace: str
    rooms: Sequence[WrittenRoom]
    people: int
    totals: dict[str, dict[str, int]]
    reported: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    dry_run: bool

    def document(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "workspace": self.workspace,
            "rooms": [room.row() for room in self.rooms],
            "people": self.people,
            "totals": self.totals,
            "reported": self.reported,
            "notes": self.notes,
            "changed": bool(self.rooms),
        }

    @property
    def sentence(self) -> str:
        verb = "Would convert" if self.dry_run else "Converted"
        events = sum(room.events for room in self.rooms)
        return f"{verb} {pluralize(len(self.rooms), 'room')} with {pluralize(events, 'event')}." + (
            " No changes were made." if self.dry_run else ""
        )


def convert_rooms(
    *,
    system: str,
    source: Path,
    directory: Path,
    options: ConversionOptions,
    dry_run: bool = False,
    progress_factory: ProgressFactory = null_progress_factory,
) -> ConversionResult:
    """Write a bundle for each room of the source, and `conversion.json`, into the directory.

    Equal sources give equal bytes. An interrupted conversion goes on where it was, if the source
    and the options are the same. Uses no database, no network and no key.

    Raises `SourceUnreadable`, `SourceRefused`, `UsageError`, `ConversionRunning`,
    `ConversionIncomplete`, `DiskFull` or `FileUnwritable`.
    """
    accounts = Accounts()
    with (
        progress_factory("Converting", ColumnType.BYTES) as report_progress,
        nullcontext() if dry_run else _lock_directory(directory),
        ExitStack() as stack,
    ):
        done, total = 0, None

        def count_bytes(count: int) -> None:
            nonlocal done
            done += count
            report_progress(done, total)

        files = stack.enter_context(SourceFiles(source, options.files, accounts, count_bytes))
        total = files.total_bytes
        known_people = read_people_map(options.people) if options.people else {}
        reader: Reader = import_string(SYSTEMS[system])(
            files, accounts, only=options.only, workspace=options.workspace
        )
        if reader.rooms:
            _check_names(reader, options.only)
        for person, known in known_people.items():
            if known.name and person in reader.people:
                reader.people[person].name = known.name
        participants = {
            key: value.participant_id for key, value in known_people.items() if value.participant_id
        }
        encoder = EventEncoder(reader, files, accounts, participants)
        writer = RoomWriter(reader, files, accounts, encoder, None if dry_run else directory)
        journal = _Journal(None if dry_run else directory, source, system, options)
        conversion = _Conversion(reader, files, accounts, encoder, writer, journal, options.public)
        rooms = sorted(conversion.run(), key=lambda room: room.file)
        _check_names(reader, options.only)
        _count_rooms(reader, rooms, accounts, options.only)
        files.report_unread()
        accounts.check()
        result = _build_result(reader, rooms, accounts, dry_run=dry_run)
        if not dry_run:
            _write_report(directory / REPORT, result, reader, accounts)
            journal.remove()
    return result


@dataclass
class _Conversion:
    reader: Reader
    files: SourceFiles
    accounts: Accounts
    encoder: EventEncoder
    writer: RoomWriter
    journal: _Journal
    public: bool
    room_count: int = 0

    def run(self) -> Iterator[WrittenRoom]:
        listed = set(self.reader.people)
        self.files.take_digest()
        self.accounts.take_changes()
        for name, portion in self.reader.iter_portions():
            if (entry := self.journal.find(name)) is not None:
                self.accounts.restore(entry["accounts"], self.files.number)
                for person in entry["people"]:
                    known = msgspec.convert(person, SourcePerson)
                    self.reader.people.setdefault(known.id, known)
                yield from (WrittenRoom(**row) for row in entry["rooms"])
                continue
            rooms = list(self._convert(portion))
            people = [self.reader.people[key] for key in self.reader.people.keys() - listed]
            self.journal.add(
                {
                    "portion": name,
                    "rooms": [room.row() for room in rooms],
                    "people": [msgspec.to_builtins(person) for person in people],
                    "accounts": self.accounts.take_changes(),
                }
            )
            yield from rooms

    def _convert(self, portion: Portion) -> Iterator[WrittenRoom]:
        states: dict[str, RoomState] = {}
        with SortedSpool() as spool:
            for room, event in portion:
                if (state := states.get(room.id)) is None:
                    state = states[room.id] = self._start_room(room)
                for record in self.encoder.iter_records(state, event):
                    spool.add(record)
            digest = self.files.take_digest()
            by_number = {state.number: state for state in states.values()}
            number_size = 4
            for raw, records in groupby(spool.iter_sorted(), lambda record: record[:number_size]):
                state = by_number[int.from_bytes(raw, "big")]
                yield self.writer.write(state, records, digest)

    def _start_room(self, room: SourceRoom) -> RoomState:
        if room.room_type == "public" and not self.public:
            room.room_type = "group"
        self.room_count += 1
        return self.encoder.start_room(room, self.room_count)


class _Journal:
    """The finished portions of a conversion with the same source and options."""

    def __init__(
        self, directory: Path | None, source: Path, system: str, options: ConversionOptions
    ) -> None:
        self._directory = directory
        self._entries: dict[str, dict[str, Any]] = {}
        if directory is None:
            return
        self._path = directory / PROGRESS
        fingerprint = _build_fingerprint(source, system, options)
        lines = self._read_lines(fingerprint)
        self._entries = {entry["portion"]: entry for entry in lines}
        self.remove()
        for value in (fingerprint, *lines):
            self._write(value)

    def find(self, portion: str) -> dict[str, Any] | None:
        """Return what an interrupted run wrote of a portion, if its bundles are still there."""
        entry = self._entries.get(portion)
        if entry is None or self._directory is None:
            return None
        sizes = (_get_size(self._directory / row["file"]) for row in entry["rooms"])
        return entry if list(sizes) == entry["sizes"] else None

    def add(self, entry: dict[str, Any]) -> None:
        if self._directory is not None:
            sizes = [_get_size(self._directory / row["file"]) for row in entry["rooms"]]
            self._write({**entry, "sizes": sizes})

    def remove(self) -> None:
        with translate_write_errors(self._path):
            self._path.unlink(missing_ok=True)

    def _write(self, value: Any) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            translate_write_errors(self._path),
            os.fdopen(os.open(self._path, flags, 0o600), "wb") as file,
        ):
            file.write(msgspec.json.encode(value) + b"\n")

    def _read_lines(self, fingerprint: str) -> list[dict[str, Any]]:
        try:
            first, *rest = self._path.read_bytes().split(b"\n")
            if msgspec.json.decode(first) != fingerprint:
                return []
            return [msgspec.json.decode(line) for line in rest[:-1]]
        except (OSError, msgspec.DecodeError):
            return []


def _check_names(reader: Reader, only: frozenset[str]) -> None:
    for name in sorted(only):
        if not any(room.matches(frozenset({name})) for room in reader.rooms.values()):
            raise UsageError(
                f"The source has no room named {name}.",
                fix="Leave out --only to convert all rooms; --dry-run --json lists them.",
            )


def _count_rooms(
    reader: Reader, written: Iterable[WrittenRoom], accounts: Accounts, only: frozenset[str]
) -> None:
    ids = {room.source_id for room in written}
    for room in reader.rooms.values():
        if room.place is None:
            continue
        if room.id in ids:
            accounts.count(room.place.file, ROOMS, WRITTEN)
        else:
            is_empty = room.matches(only)
            loss = "room without messages" if is_empty else "room that --only leaves out"
            accounts.report(room.place, ROOMS, loss)


def _get_size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _build_fingerprint(source: Path, system: str, options: ConversionOptions) -> str:
    """Return a text that differs if a file of the source, an option or the program does."""
    digest = sha256()
    paths = [source, *(path for path in (options.people, options.files) if path)]
    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            status = file.lstat()
            digest.update(
                f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape")
            )
    words = (system, __version__, str(options.public), options.workspace, *sorted(options.only))
    digest.update("\0".join(words).encode(errors="replace"))
    return digest.hexdigest()


@contextmanager
def _lock_directory(directory: Path) -> Iterator[None]:
    """Create the directory, and let one conversion at a time write to it."""
    with translate_write_errors(directory / REPORT):
        if not directory.parent.is_dir() or (directory.exists() and not directory.is_dir()):
            raise UsageError(
                f"{directory} is not a directory and can't be created.",
                fix="Pass a directory whose parent directory exists.",
            )
        make_directories(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConversionRunning(
                f"Another conversion into {directory} is in progress."
            ) from None
        remove_drafts_in(directory)
        yield
    finally:
        os.close(descriptor)


def _build_result(
    reader: Reader, rooms: list[WrittenRoom], accounts: Accounts, *, dry_run: bool
) -> ConversionResult:
    reported = [
        {"kind": kind, "loss": loss, "count": count, "example": example}
        for (kind, loss), (count, example) in sorted(accounts.reported.items())
    ]
    notes = [
        {"loss": loss, "count": count, "example": example}
        for loss, (count, example) in sorted(accounts.notes.items())
    ]
    return ConversionResult(
        reader.system, reader.workspace, rooms, len(reader.people), accounts.get_totals(),
        reported, notes, dry_run,
    )  # fmt: skip


def _write_report(path: Path, result: ConversionResult, reader: Reader, accounts: Accounts) -> None:
    people = sorted(reader.people.values(), key=lambda person: person.id)
    document = result.document()
    del document["changed"], document["people"]
    document["converter"] = f"scaiwave {__version__}"
    document["people"] = [
        {"id": person.id, "name": person.name, "email": person.email, "is_bot": person.is_bot}
        for person in people
    ]
    document["files"] = list(accounts.iter_files())
    text = json.dumps(document, ensure_ascii=False, indent=1).encode(errors="replace")
    replace_file(path, text + b"\n")
