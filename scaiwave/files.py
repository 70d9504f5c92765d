"""Files with secrets: readable by their owner alone, and replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scaiwave.errors import DiskFull, FileUnwritable, ScaiWaveError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def replace_file(path: Path, content: bytes) -> None:
    """Give the file this content, on disk before this returns, with mode 0600 all along.

    A link is followed and an existing owner kept; a new file of root's gets its folder's owner.
    Raises `DiskFull` or `FileUnwritable`; then, and when killed, the old file is whole.
    """
    target = resolve_target(path)
    with _told(target):
        draft = _draft(target, content)
        try:
            draft.replace(target)
        except BaseException:
            draft.unlink()
            raise
        _sync_folder(target.parent)


def check_replaceable(path: Path, size: int) -> None:
    """Raise what `replace_file` would raise now for a content of so many bytes."""
    target = resolve_target(path)
    with _told(target):
        _draft(target, b"\0" * size).unlink()


def resolve_target(path: Path) -> Path:
    """The file a path leads to. Raises `FileUnwritable` if that is a folder, pipe or device."""
    target = Path(os.path.realpath(path))
    with _told(target):
        try:
            regular = stat.S_ISREG(target.stat().st_mode)
        except FileNotFoundError:
            regular = True
    if not regular:
        raise FileUnwritable(
            f"{target} can't be written: it is not a regular file.",
            fix="Move it out of the way, or name another file.",
        )
    return target


def _draft(target: Path, content: bytes) -> Path:
    """A synced file beside the target that can take its place."""
    _sweep(target)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.{os.getpid()}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            if owner := _owner(target):
                os.fchown(descriptor, *owner)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _owner(target: Path) -> tuple[int, int] | None:
    """User and group to give the file to; None when it is ours anyway."""
    try:
        found = target.stat()
    except FileNotFoundError:
        if os.geteuid() != 0:
            return None
        found = target.parent.stat()
    return None if found.st_uid == os.geteuid() else (found.st_uid, found.st_gid)


def _sweep(target: Path) -> None:
    """Remove the drafts of processes that were killed: they hold secrets too."""
    for draft in target.parent.glob(f".{target.name}.*.*"):
        pid = draft.name.removeprefix(f".{target.name}.").partition(".")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            # Another user's draft is theirs to remove, and another process may have been faster.
            with suppress(PermissionError, FileNotFoundError):
                draft.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = _problem(target, error)
    else:
        return
    raise problem


def _problem(target: Path, error: OSError) -> ScaiWaveError:
    if error.errno in _FULL:
        return DiskFull(f"{target} can't be written: {error.strerror}.")
    fix = f"Make the folder {target.parent} and the file writable for this user."
    if error.errno == errno.EBUSY:
        fix = f"It is mounted by itself and can't be replaced: mount the folder {target.parent}."
    elif error.errno in {errno.ENOENT, errno.ENOTDIR}:
        fix = f"Make the folder {target.parent}, or name another file."
    elif error.errno == errno.EROFS:
        fix = f"Mount the file system of {target.parent} for writing, or name another file."
    return FileUnwritable(f"{target} can't be written: {error.strerror}.", fix=fix)
