"""The media store: files below SCAIWAVE_MEDIA_ROOT, or an S3 bucket.

A file's name contains its hash, so an existing file of this name has the same bytes, and writing it
again does no harm.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from scaiwave.config import Configuration
from scaiwave.core.errors import ConfigurationError, RefusedError, SettingMissing
from scaiwave.core.files import atomic_write, make_directories

DRAFT_DIRECTORY = "incoming"
_S3_SETTINGS = ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY")
_S3_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "boto3.exceptions": ("Boto3Error",),
    "s3transfer.exceptions": ("RetriesExceededError",),
}


class MediaStoreUnusable(ConfigurationError):
    """The media store can't be read or written to, or returns other bytes than were written."""

    code = "SW_MEDIA_STORE_UNUSABLE"
    fix = (
        "Check SCAIWAVE_MEDIA_ROOT or SCAIWAVE_S3_…, and that the store is reachable, has space "
        "and lets this server write."
    )


class S3LibrariesMissing(ConfigurationError):
    """A bucket is configured, and the libraries that use it are not installed."""

    code = "SW_S3_LIBRARIES_MISSING"
    fix = (
        "Install them with `pip install 'scaiwave[s3]'`, or in a checkout with "
        "`pip install --require-hashes -r scripts/requirements/s3.txt`."
    )


class MediaVersioned(RefusedError):
    """The bucket keeps versions of deleted files, and this server may not list or delete them.
    Each `admin prune` tries again to delete a file that an object lock keeps."""

    code = "SW_MEDIA_VERSIONED"
    fix = (
        "Allow s3:GetBucketVersioning, s3:ListBucketVersions and s3:DeleteObjectVersion to the key "
        "of SCAIWAVE_S3_ACCESS_KEY, end any object lock, then run `scaiwave admin prune`, or the "
        "same command again."
    )


@contextmanager
def collect_refusals() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Let a loop go on after a file that can't be deleted, and raise the first refusal at its end.

    Yields a context manager for each turn of the loop.
    """
    refusals: list[Exception] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except (MediaVersioned, PermissionError) as error:
            refusals.append(error)

    yield attempt
    if refusals:
        raise refusals[0]


class MediaStore(Protocol):
    """What both media stores do besides what Django's storages do."""

    def remove_drafts(self, names: Collection[str]) -> None: ...

    def require_erasable(self) -> None:
        """Raise `MediaVersioned` if `erase` would leave versions behind."""

    def erase(self, name: str) -> None:
        """Delete a file, which need not exist, with all its versions. Raises `MediaVersioned`."""

    def count_below(self, prefix: str) -> int:
        """Count the files whose names begin so, with their versions and drafts."""

    def erase_below(self, prefix: str) -> None:
        """Delete them. Raises `MediaVersioned`."""


class AtomicFileSystemStorage(FileSystemStorage):
    """Files that are complete or do not exist: written as a draft, synced, then renamed.

    Drafts of killed processes remain in the directory `incoming`, under the file's name with dashes
    for slashes, a dot, and a random suffix.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name

    def _save(self, name: str, content: File[Any]) -> str:
        target = Path(self.path(name))
        make_directories(target.parent)
        draft = self._drafts / f"{_draft_stem(name)}.{secrets.token_hex(8)}"
        make_directories(draft.parent)
        with atomic_write(target, draft=draft, keep_owner=False) as file:
            file.writelines(content.chunks())
        return name

    def remove_drafts(self, names: Collection[str]) -> None:
        """Delete the drafts of these files, which no process may be writing."""
        stems = set(map(_draft_stem, names))
        for draft in self._drafts.glob("*"):
            if draft.name.rpartition(".")[0] in stems:
                draft.unlink(missing_ok=True)

    def require_erasable(self) -> None:
        """Files in a directory have no versions."""

    def erase(self, name: str) -> None:
        self.delete(name)

    def count_below(self, prefix: str) -> int:
        return sum(1 for _ in self._iter_below(prefix))

    def erase_below(self, prefix: str) -> None:
        for path in self._iter_below(prefix):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path(prefix), ignore_errors=True)

    def _iter_below(self, prefix: str) -> Iterator[Path]:
        yield from (path for path in Path(self.path(prefix)).rglob("*") if path.is_file())
        yield from self._drafts.glob(f"{_draft_stem(prefix)}*")

    @property
    def _drafts(self) -> Path:
        return Path(self.path(DRAFT_DIRECTORY))


def _draft_stem(name: str) -> str:
    """Return the whole name: two tenants may be importing the same file."""
    return name.replace("/", "-")


def s3_error_types() -> tuple[type[Exception], ...]:
    """Return the exceptions of S3's client, if this process has loaded it."""
    return tuple(
        getattr(sys.modules[module], name)
        for module, names in _S3_ERRORS.items()
        if module in sys.modules
        for name in names
    )


def storage_error_types() -> tuple[type[Exception], ...]:
    return (OSError, *s3_error_types())


def storage_settings(config: Configuration) -> dict[str, Any]:
    """Return Django's settings of the media store. Raises SettingMissing for an incomplete S3."""
    settings = {part: config.get_str(f"SCAIWAVE_S3_{part}") for part in _S3_SETTINGS}
    if not settings["BUCKET"]:
        return {
            "BACKEND": "scaiwave.storage.media.AtomicFileSystemStorage",
            "OPTIONS": {"location": str(media_root(config))},
        }
    for part in ("ACCESS_KEY", "SECRET_KEY"):
        if not settings[part]:
            raise SettingMissing(
                f"SCAIWAVE_S3_BUCKET is set, but SCAIWAVE_S3_{part} is not.",
                fix="Set both keys of the bucket, or unset SCAIWAVE_S3_BUCKET to keep files here.",
            )
    return {
        "BACKEND": "scaiwave.storage.s3.S3MediaStorage",
        "OPTIONS": {
            "endpoint_url": settings["ENDPOINT"] or None,
            "bucket_name": settings["BUCKET"],
            "access_key": settings["ACCESS_KEY"],
            "secret_key": settings["SECRET_KEY"],
        },
    }


def media_root(config: Configuration) -> Path:
    """Resolve a relative path from the home directory, since cron has another working directory."""
    return config.home / (config.get_str("SCAIWAVE_MEDIA_ROOT") or "media")
