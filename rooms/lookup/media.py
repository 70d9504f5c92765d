"""Read the bytes of attachments from the media store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from functools import cached_property
from typing import Literal
from uuid import UUID

from django.core.files.storage import default_storage

from rooms.bundle.format import INFECTED, LEFT_OUT, LOST
from rooms.bundle.manifest.schema import MediaEntry
from rooms.errors import ExportDamaged
from rooms.models import ScanStatus
from rooms.models.media import get_storage_name

CHUNK_BYTES = 1024 * 1024

MissingReason = Literal["infected", "lost", "left out"]


class TenantMedia:
    """The stored files of a tenant, by their hashes.

    A store that is a directory is used directly, since Django would check every name for parts that
    lead out of it, which takes as long as opening a file. A hash can't contain any. The path is a
    text, since building a `Path` takes as long again.
    """

    def __init__(self, tenant_id: UUID) -> None:
        self._prefix = get_storage_name(tenant_id, "")

    @cached_property
    def _directory(self) -> str | None:
        try:
            return default_storage.path(self._prefix)
        except NotImplementedError:
            return None

    def has(self, sha256: str, size: int) -> bool:
        """Return whether there is a file of this size; raises the store's errors."""
        if self._directory is None:
            return exists_with_size(self._prefix + sha256, size)
        try:
            return os.stat(f"{self._directory}/{sha256}").st_size == size  # noqa: PTH116
        except FileNotFoundError:
            return False

    def iter_bytes(self, attachment: MediaEntry) -> Generator[bytes]:
        """Raises `ExportDamaged` if the file can't be read, and the errors of a bucket's client."""
        # For a larger buffer than needed, the kernel would map memory for every file.
        chunk_bytes = min(CHUNK_BYTES, attachment.size + 1)
        name = attachment.sha256
        try:
            with (
                default_storage.open(self._prefix + name)
                if self._directory is None
                else open(f"{self._directory}/{name}", "rb", buffering=0)  # noqa: PTH123
            ) as file:
                while chunk := file.read(chunk_bytes):
                    yield chunk
        except OSError as error:
            raise _unreadable_error(attachment, error) from error


def mark_missing(tenant_id: UUID, attachments: list[MediaEntry], *, with_bytes: bool) -> None:
    """Set `missing` of the attachments; names of the same file must follow each other.

    Looks up each file once. Raises `ExportDamaged`.
    """
    stored = TenantMedia(tenant_id)
    previous: MediaEntry | None = None
    for attachment in attachments:
        if previous and previous.media_id == attachment.media_id:
            attachment.missing = previous.missing
        else:
            attachment.missing = _missing_reason(stored, attachment, with_bytes)
        previous = attachment


def _missing_reason(
    stored: TenantMedia, attachment: MediaEntry, with_bytes: bool
) -> MissingReason | None:
    if attachment.scan_status == ScanStatus.INFECTED:
        return INFECTED
    if not with_bytes:
        return LEFT_OUT
    try:
        return None if stored.has(attachment.sha256, attachment.size) else LOST
    except OSError as error:
        raise _unreadable_error(attachment, error) from error


def exists_with_size(storage_name: str, size: int) -> bool:
    """Return whether the store has a file of this name and size; raises the store's errors.

    Storage.exists would return False for a directory that may not be read.
    """
    try:
        # A number in a response that was cut may look complete: nothing is lost by one response.
        return any(default_storage.size(storage_name) == size for _ in range(2))
    except FileNotFoundError:
        return False


def hash_stored(storage_name: str) -> str:
    """Return the SHA-256 of a file in the store; raises the store's errors."""
    with default_storage.open(storage_name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(storage_name: str, sha256: str, size: int) -> bool:
    """Return whether the store has these bytes; raises the store's errors."""
    return exists_with_size(storage_name, size) and hash_stored(storage_name) == sha256


def _unreadable_error(attachment: MediaEntry, error: OSError) -> ExportDamaged:
    reason = error.strerror or type(error).__name__
    return ExportDamaged(
        f"Can't read attachment {attachment.media_id} from the media store: {reason}.",
        fix="Make the media store readable for this user, or pass --no-media.",
    )
