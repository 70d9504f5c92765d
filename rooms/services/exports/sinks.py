"""Write an export to a stream, or to a file that is complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from rooms.errors import ExportReaderClosed
from rooms.services.disk_full import translate_disk_full
from rooms.services.exports.export_room import ExportResult, RoomExport
from scaiwave.errors import UsageError
from scaiwave.files import atomic_write


def write_to_stream(start: Callable[[], RoomExport], stream: BinaryIO) -> ExportResult:
    """Raises `ExportReaderClosed`, `DiskFull`, and the errors of the export."""
    with closing(start()) as export:
        for chunk in export:
            with _translate_stream_errors():
                stream.write(chunk)
        with _translate_stream_errors():
            stream.flush()
    return export.result


def write_to_file(start: Callable[[], RoomExport], target: Path) -> ExportResult:
    """Replace the file once the bundle is complete; until then it is unchanged.

    Raises `UsageError` if it can't be written, `DiskFull`, and the errors of the export.
    """
    with _open_target(target) as file, closing(start()) as export:
        for chunk in export:
            file.write(chunk)
    return export.result


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
def _open_target(target: Path) -> Iterator[BinaryIO]:
    _check_target(target)
    with translate_disk_full(f"Not enough disk space to write {target}."), ExitStack() as stack:
        try:
            file = stack.enter_context(atomic_write(target, keep_owner=False))
        except OSError as error:
            raise UsageError(
                f"Can't write to {target.parent}: {error.strerror}.",
                fix="Make the directory writable for this user, or pass another file.",
            ) from None
        yield file


def _check_target(target: Path) -> None:
    """Raises `UsageError`."""
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
