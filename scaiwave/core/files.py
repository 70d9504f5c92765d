"""Write files that are complete or absent, readable by their owner only, and durable.

A file is written as a draft: `.<name>.<random>.draft` beside it, locked while its process runs,
synced, then renamed over the file. After a kill, the old file or the new one is there.

`atomic_write` streams and raises OSError, and `atomic_directory` does it for many files;
`replace_file` takes all bytes at once, raises errors for operators, and removes the drafts of
processes that were killed. `check_replaceable` checks beforehand whether a file can be written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO

from scaiwave.core.errors import DiskFull, FileUnwritable, ScaiWaveError

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, an exhausted quota, and a file that has reached the size limit of its process."""

UNUSABLE_ERRNOS = frozenset(
    {
        errno.EROFS,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENFILE,
        errno.ENOLCK,
        errno.ENOTDIR,
        errno.ESTALE,
    }
)
"""The host, and not a defect of the suite, makes a file unusable."""

DRAFT_SUFFIX = ".draft"
_DRAFT_NAME = re.compile(r"\A\..+\.[0-9a-f]{16}\.draft\Z")


@contextmanager
def atomic_write(
    path: Path,
    *,
    mode: int = 0o600,
    overwrite: bool = True,
    keep_owner: bool = True,
    follow_links: bool = True,
    draft: Path | None = None,
) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of `path` at the end, and is deleted on an exception.

    The file is on disk, with its name, before this returns. A symbolic link is followed, or, if
    `follow_links` is false, replaced. With `keep_owner` an existing file keeps its owner, and a new
    file that root writes gets the owner of its directory. `draft` names the draft, on the same file
    system, for callers that clean up themselves.

    Raises OSError, and FileExistsError without `overwrite`.
    """
    target = Path(os.path.realpath(path)) if follow_links else path.absolute()
    draft = draft or _name_draft(target)
    descriptor = create_private_file(draft, locked=True, owner_of=target if keep_owner else None)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
            # Still open, since closing unlocks it.
            if overwrite:
                draft.replace(target)
            else:
                _move_to_new_name(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


@contextmanager
def atomic_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new directory that gets the name `path` at the end, and is removed on an exception.

    Its files and its name are on disk before this returns. With `overwrite` an existing
    directory is removed; the caller has made sure that nothing in it is needed.

    Raises OSError, and FileExistsError without `overwrite`.
    """
    target = path.absolute()
    draft = _name_draft(target)
    draft.mkdir(mode=0o700)
    descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some network file systems have no such locks; drafts there are not cleaned up.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield draft
        _sync_tree(draft)
        if overwrite and target.exists():
            old = _name_draft(target)
            target.rename(old)
            draft.rename(target)
            shutil.rmtree(old)
        elif target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        else:
            draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(target.parent)


def _sync_tree(directory: Path) -> None:
    for parent, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of a file as `atomic_write` does, then remove abandoned drafts of it.

    Raises `DiskFull` or `FileUnwritable`; the old file is then unchanged.
    """
    target = resolve_target(path)
    with translate_write_errors(target):
        with atomic_write(target, mode=mode) as file:
            file.write(content)
        remove_abandoned_drafts(target)


def check_replaceable(path: Path, size: int) -> None:
    """Raise what `replace_file` would raise now for content of `size` bytes."""
    target = resolve_target(path)
    draft = _name_draft(target)
    with translate_write_errors(target):
        descriptor = create_private_file(draft, locked=True, owner_of=target)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"\0" * size)
                file.flush()
                os.fsync(descriptor)
        finally:
            draft.unlink(missing_ok=True)


def resolve_target(path: Path) -> Path:
    """Return the file that a path leads to.

    Raises `FileUnwritable` if that is a directory, pipe or device.
    """
    target = Path(os.path.realpath(path))
    with translate_write_errors(target):
        try:
            is_regular = stat.S_ISREG(target.stat().st_mode)
        except FileNotFoundError:
            is_regular = True
    if not is_regular:
        raise FileUnwritable(
            f"{target} can't be written: it is not a regular file.",
            fix="Move it out of the way, or name another file.",
        )
    return target


def create_private_file(path: Path, *, locked: bool = False, owner_of: Path | None = None) -> int:
    """Create a file with mode 0600 and return its descriptor; raises OSError.

    With `locked` an flock on it shows to other processes that its creator is running. With
    `owner_of` it gets the owner of that file; if that doesn't exist and this is root, the owner
    of its directory.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    owner = _owner_to_set(owner_of) if owner_of is not None else None
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            if owner:
                os.fchown(descriptor, *owner)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        if not locked:
            return descriptor
        # Some network file systems have no such locks; drafts there are not cleaned up.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
        # Another process took it for abandoned before it was locked.
        os.close(descriptor)


def remove_abandoned_drafts(path: Path) -> None:
    """Remove the drafts of this file whose processes were killed: they may hold secrets."""
    prefix = f".{path.name}."
    for draft in list(path.parent.iterdir()):
        if draft.name.startswith(prefix) and draft.suffix == DRAFT_SUFFIX:
            remove_if_abandoned(draft)


def remove_if_abandoned(draft: Path) -> bool:
    """Remove a draft unless its process is running, or it can't be removed; return whether it is
    gone."""
    # Another user's draft is theirs to remove, and another process may have been faster.
    with suppress(OSError), _lock_draft(draft):
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink()
        return True
    return False


def open_regular(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file that someone else may have put there. Raises OSError if it is not a regular file.

    Not blocking: opening a pipe would wait for its writer. O_NOFOLLOW refuses links.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


@contextmanager
def _lock_draft(draft: Path) -> Iterator[None]:
    """Raises OSError if its process is running."""
    # Not blocking: in a shared directory it might be a pipe of another user.
    descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_drafts_in(directory: Path) -> int:
    """Remove the drafts of every file in a directory whose processes were killed.

    Returns their number. Drafts that can't be removed are left.
    """
    return sum(remove_if_abandoned(draft) for draft in _list_drafts(directory))


def count_drafts_in(directory: Path) -> int:
    """Return the number of drafts that `remove_drafts_in` would remove."""
    return sum(_is_abandoned(draft) for draft in _list_drafts(directory))


def _list_drafts(directory: Path) -> list[Path]:
    try:
        return [draft for draft in directory.iterdir() if _DRAFT_NAME.match(draft.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_abandoned(draft: Path) -> bool:
    with suppress(OSError), _lock_draft(draft):
        return True
    return False


def sync_directory(directory: Path) -> None:
    """Make new names in a directory, and renames, survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(directory: Path, *, mode: int = 0o700) -> None:
    """Create a directory and its parents, each synced into the one above it."""
    if directory.is_dir():
        return
    make_directories(directory.parent, mode=mode)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)


@contextmanager
def translate_write_errors(path: Path) -> Iterator[None]:
    """Raise `DiskFull` or `FileUnwritable` in place of OSError."""
    try:
        yield
    except OSError as error:
        problem = _describe_error(path, error)
    else:
        return
    raise problem


def _move_to_new_name(draft: Path, target: Path) -> None:
    """Raises FileExistsError if the name is taken."""
    try:
        os.link(draft, target)
    except OSError as error:
        # Some file systems have no hard links.
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        draft.replace(target)
    else:
        draft.unlink()


def _name_draft(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}{DRAFT_SUFFIX}")


def _owner_to_set(target: Path) -> tuple[int, int] | None:
    """Return the user and group to give the file to; None if that is this process anyway."""
    try:
        status = target.stat()
    except FileNotFoundError:
        if os.geteuid() != 0:
            return None
        status = target.parent.stat()
    return None if status.st_uid == os.geteuid() else (status.st_uid, status.st_gid)


def _describe_error(target: Path, error: OSError) -> ScaiWaveError:
    if error.errno in DISK_FULL_ERRNOS:
        return DiskFull(f"{target} can't be written: {error.strerror}.")
    fix = f"Make the directory {target.parent} and the file writable for this user."
    if error.errno == errno.EBUSY:
        fix = (
            "The file is a mount point and can't be replaced: mount the directory "
            f"{target.parent} instead."
        )
    elif error.errno == errno.ENAMETOOLONG:
        fix = "Choose a shorter name, of at most 200 bytes."
    elif error.errno in {errno.ENOENT, errno.ENOTDIR}:
        fix = f"Create the directory {target.parent}, or name another file."
    elif error.errno == errno.EROFS:
        fix = f"Mount the file system of {target.parent} for writing, or name another file."
    return FileUnwritable(f"{target} can't be written: {error.strerror}.", fix=fix)


def close_temporary(file: BufferedRandom) -> None:
    """Close a file that goes with its end: a full disk has no space for its last bytes."""
    file.raw.close()


@contextmanager
def translate_disk_full(message: str, *, fix: str | None = None) -> Iterator[None]:
    """Raise `DiskFull` with this message for a full disk, quota or limited file."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        raise DiskFull(message, fix=fix) from error
