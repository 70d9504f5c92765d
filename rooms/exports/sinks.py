"""Write an export to a stream, or to a file that is complete or absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import BinaryIO

from django.conf import settings

from rooms.errors import ExportDamaged, ExportReaderClosed, ExportRunning
from rooms.exports.export_room import ExportResult, FileExport, Result, RoomExport
from rooms.models import Room
from scaiwave.core.completed_work import record_completed
from scaiwave.core.draft_journal import announce_drafts
from scaiwave.core.errors import FileExists, FileUnwritable, UsageError
from scaiwave.core.files import (
    DISK_FULL_ERRNOS,
    atomic_write,
    remove_drafts_in,
    translate_disk_full,
)
from scaiwave.core.locks import process_lock


def write_to_stream(start: Callable[[], RoomExport], stream: BinaryIO) -> ExportResult:
    """Raises `ExportReaderClosed`, `DiskFull`, and the errors of the export."""
    with closing(start()) as export:
        for chunk in export:
            with _translate_stream_errors():
                stream.write(chunk)
        with _translate_stream_errors():
            stream.flush()
    return export.result


def write_to_file(
    start: Callable[[], RoomExport], target: Path, *, overwrite: bool
) -> ExportResult:
    """Write or replace the file once the bundle is complete; until then it is unchanged.

    What earlier exports into its directory left when they were killed is removed.

    Raises `UsageError` or `FileUnwritable` if it can't be written, `FileExists` if it exists and
    `overwrite` is false, `DiskFull`, and the errors of the export.
    """
    with write_drafts(target.parent):
        result, publish = write_draft(start, target, overwrite=overwrite)
        publish()
    record_written(target)
    return result


@contextmanager
def write_drafts(directory: Path) -> Iterator[None]:
    """Announce drafts in the directory, and remove the drafts of killed exports."""
    with announce_drafts(settings.HOME, directory):
        with _translate_unwritable(directory):
            remove_drafts_in(directory)
        yield


@contextmanager
def lock_directory(directory: Path, *, room: Room | None = None) -> Iterator[None]:
    """Let one export at a time write to a directory, or to the chain of a room in it.

    So no drafts in use are removed, and no two increments follow the same one. Raises
    `ExportRunning`.
    """
    name = os.fsencode(directory.resolve()) + (f"\0{room.pk}".encode() if room else b"")
    with process_lock(f"export-{sha256(name).hexdigest()[:16]}") as acquired:
        if not acquired:
            raise ExportRunning(f"Another export into {directory} is in progress.")
        yield


def write_draft(
    start: Callable[[], FileExport[Result]], target: Path, *, overwrite: bool
) -> tuple[Result, Callable[[], None]]:
    """Write the file as a draft. Call inside `write_drafts`.

    Returns the result, and a function that waits until the bytes are on disk and then gives the
    draft the name of the file; any thread may call it. Both raise the errors of `write_to_file`.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_target(target, overwrite=overwrite))
        with closing(start()) as export:
            _write(export, file)
        return export.result, stack.pop_all().close


def _write(export: FileExport[Result], file: BinaryIO) -> None:
    while True:
        try:
            file.writelines(export)
        except ExportDamaged as error:
            if not export.restart(error):
                raise
            file.seek(0)
            file.truncate()
        else:
            return


def record_written(target: Path) -> None:
    record_completed(f"room export: {target}", command=f"scaiwave room verify {quote(str(target))}")


@contextmanager
def _translate_stream_errors() -> Iterator[None]:
    with translate_disk_full(
        "No space left on the output device. The partial bundle is not usable.",
        fix="Free some space, then run the same command again.",
    ):
        try:
            yield
        except BrokenPipeError:
            raise ExportReaderClosed(
                "The reader closed the pipe before the export finished. The data it received is "
                "not a complete bundle."
            ) from None


@contextmanager
def open_target(target: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    _check_target(target, overwrite=overwrite)
    try:
        with (
            translate_disk_full(f"Not enough disk space to write {target}."),
            ExitStack() as stack,
        ):
            with _translate_unwritable(target.parent):
                draft = atomic_write(target, keep_owner=False, overwrite=overwrite)
                file = stack.enter_context(draft)
            yield file
    except FileExistsError:  # It was created after the export began.
        raise _exists_error(target) from None


@contextmanager
def _translate_unwritable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise
        raise FileUnwritable(
            f"{directory} can't be written to: {error.strerror}.",
            fix="Make the directory writable for this user, or pass another file.",
        ) from None


def _exists_error(target: Path) -> FileExists:
    return FileExists(f"{target} already exists. It is unchanged.")


def _check_target(target: Path, *, overwrite: bool) -> None:
    """Raises `UsageError` or `FileExists`."""
    if target.is_dir():
        raise UsageError(
            f"{target} is a directory.", fix=f"Pass a file, such as {target / 'room.zip'}."
        )
    if not target.parent.is_dir():
        raise UsageError(
            f"Directory not found: {target.parent}.",
            fix="Create the directory, or pass another file.",
        )
    if target.exists() and not target.is_file():
        raise UsageError(
            f"Can't overwrite {target}: not a regular file.",
            fix="Leave out --output and redirect stdout to it.",
        )
    if target.exists() and not overwrite:
        raise _exists_error(target)
