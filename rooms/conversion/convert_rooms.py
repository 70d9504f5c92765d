"""Convert an export of another chat system: one bundle for each room, and an account of it all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from django.utils.module_loading import import_string

from rooms.conversion.accounts import WRITTEN, Accounts, RowKind
from rooms.conversion.event_encoder import EventEncoder, OpenRoom, get_room_number
from rooms.conversion.json_rows import clean_text
from rooms.conversion.people import read_people_map
from rooms.conversion.reader import Reader
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
    atomic_write,
    make_directories,
    remove_drafts_in,
    translate_write_errors,
)
from scaiwave.core.report import Report

SYSTEMS = {
    "slack": "rooms.conversion.slack.SlackReader",
    "mattermost": "rooms.conversion.mattermost.MattermostReader",
    "discord": "rooms.conversion.discord.DiscordReader",
}
REPORT = "conversion.json"


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


def convert_rooms(
    *,
    system: str,
    source: Path,
    directory: Path,
    options: ConversionOptions,
    dry_run: bool = False,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Report:
    """Write a bundle for each room of the source, and `conversion.json`, into the directory.

    Equal sources give equal bytes, so that an interrupted conversion can be run again. Uses no
    database, no network and no key.

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
            files, accounts, only=options.only, workspace=clean_text(options.workspace, 200)
        )
        if reader.rooms:
            _check_names(reader, options.only)
        encoder = EventEncoder(reader, files, accounts, known_people)
        writer = RoomWriter(encoder, None if dry_run else directory)
        converted = _convert_portions(writer, public=options.public)
        rooms = sorted(converted, key=lambda room: room.file)
        _check_names(reader, options.only)
        _count_rooms(reader, rooms, accounts, options.only)
        files.report_unread()
        accounts.check()
        document = _build_document(reader, rooms, accounts)
        if not dry_run:
            _write_report(directory / REPORT, document, reader, accounts)
    events = pluralize(sum(room.events for room in rooms), "event")
    what = f"{pluralize(len(rooms), 'room')} with {events}"
    if dry_run:
        sentence, notes = f"Would convert {what}. No changes were made.", []
    else:
        notes = [f"The full account is in {directory / REPORT}."]
        sentence = f"Converted {what}."
    return Report(document, sentence, changed=bool(rooms), notes=notes)


def _convert_portions(writer: RoomWriter, *, public: bool) -> Iterator[WrittenRoom]:
    encoder, files, room_count = writer.encoder, writer.encoder.files, 0
    files.take_digest()  # of the lists of people and rooms, which all bundles share
    for portion in encoder.reader.iter_portions():
        states: dict[str, OpenRoom] = {}
        with SortedSpool() as spool:
            for room, event in portion:
                if (state := states.get(room.id)) is None:
                    if room.room_type == "public" and not public:
                        room.room_type = "group"
                    room_count += 1
                    state = states[room.id] = encoder.start_room(room, room_count)
                for record in encoder.iter_records(state, event):
                    spool.add(record)
            digest = files.take_digest()
            by_number = {state.number: state for state in states.values()}
            for number, records in groupby(spool.iter_sorted(), get_room_number):
                yield writer.write(by_number[number], records, digest)


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
            accounts.count(room.place.file, RowKind.ROOMS, WRITTEN)
        else:
            is_empty = room.matches(only)
            loss = "room without messages" if is_empty else "room that --only leaves out"
            accounts.report(room.place, RowKind.ROOMS, loss)


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


def _build_document(reader: Reader, rooms: list[WrittenRoom], accounts: Accounts) -> dict[str, Any]:
    return {
        "system": reader.system,
        "workspace": reader.workspace,
        "rooms": [vars(room) for room in rooms],
        "people": len(reader.people),
        "totals": accounts.get_totals(),
        "reported": [
            {"kind": kind, "loss": loss, "count": count, "example": example}
            for (kind, loss), (count, example) in sorted(accounts.reported.items())
        ],
        "notes": [
            {"loss": loss, "count": count, "example": example}
            for loss, (count, example) in sorted(accounts.notes.items())
        ],
    }


def _write_report(path: Path, figures: dict[str, Any], reader: Reader, accounts: Accounts) -> None:
    people = sorted(reader.people.values(), key=lambda person: person.id)
    document = {key: value for key, value in figures.items() if key != "people"}
    document["converter"] = f"scaiwave {__version__}"
    document["people"] = [
        {"id": person.id, "name": person.name, "email": person.email, "is_bot": person.is_bot}
        for person in people
    ]
    with translate_write_errors(path), atomic_write(path, follow_links=False) as file:
        file.write(_encode(document)[:-2] + b',\n "files": [')
        separator = b"\n  "
        for row in accounts.iter_files():
            file.write(separator + _encode(row, indent=None))
            separator = b",\n  "
        file.write(b"\n ]\n}\n")


def _encode(value: Any, indent: int | None = 1) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode(errors="replace")
