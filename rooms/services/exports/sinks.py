"""Where the bytes of an export go: a stream, or a file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from rooms.errors import ExportReaderClosed
from rooms.services.exported_room import ExportResult
from rooms.services.exports.export_room import RoomExport
from rooms.services.imports.source import disk_full_as
from scaiwave.errors import UsageError

DRAFT = ".draft"


def write_to_stream(begin: Callable[[], RoomExport], stream: BinaryIO) -> ExportResult:
    """Raises ExportReaderClosed when the reader goes away, DiskFull, and what the export raises."""
    with closing(begin()) as export:
        for chunk in export:
            with _written():
                stream.write(chunk)
        with _written():
            stream.flush()
    return export.result


def write_to_file(begin: Callable[[], RoomExport], target: Path) -> ExportResult:
    """The file is there once it is whole, and until then as it was.

    Raises UsageError for what can't be written, DiskFull, and what the export raises.
    """
    with atomic_write(target) as draft, closing(begin()) as export:
        for chunk in export:
            draft.write(chunk)
    return export.result


@contextmanager
def _written() -> Iterator[None]:
    with disk_full_as(
        "There is no room left where the bundle goes, so what is there is none.",
        fix="Free some space, then run the same command again.",
    ):
        try:
            yield
        except BrokenPipeError:
            raise ExportReaderClosed(
                "The reader went away before it had the whole bundle, so what it has is none."
            ) from None


@contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """A private file beside the target that takes its place at the end, and is gone if there is
    an error or a signal before."""
    _check(target)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}{DRAFT}")
    file = _opened(draft)
    try:
        with disk_full_as(f"There is no room left to write {target}."):
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _check(target: Path) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", fix=f"Name a file in it: {target / 'room.zip'}.")
    if not target.parent.is_dir():
        raise UsageError(
            f"There is no folder {target.parent}.", fix="Make it first, or name another one."
        )
    if target.exists() and not target.is_file():
        raise UsageError(
            f"{target} is no file that can be replaced.",
            fix="Without --output the bundle goes to stdout, which may lead anywhere.",
        )


def _opened(draft: Path) -> BinaryIO:
    try:
        return open(draft, "xb", opener=_private)
    except OSError as error:
        raise UsageError(
            f"{draft.parent} can't be written to: {error.strerror}.",
            fix="Make that folder writable for this user, or name another file.",
        ) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """A rename lasts once its folder is written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
