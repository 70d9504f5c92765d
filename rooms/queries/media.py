"""Read the bytes of attachments from the media store."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

import msgspec
from django.core.files.storage import default_storage

from rooms.bundle.format import INFECTED, LEFT_OUT, LOST
from rooms.bundle.manifest.schema import MediaEntry
from rooms.errors import ExportDamaged
from rooms.models import ScanStatus
from rooms.models.media import get_storage_name

CHUNK_BYTES = 1024 * 1024

MissingReason = Literal["infected", "lost", "left out"]


def mark_missing(
    tenant_id: UUID, attachments: list[MediaEntry], *, with_bytes: bool
) -> list[MediaEntry]:
    """Return the attachments with `missing` set, in the same order.

    Looks up each file once; names of the same file must follow each other.
    """
    marked: list[MediaEntry] = []
    for attachment in attachments:
        if marked and marked[-1].media_id == attachment.media_id:
            reason = marked[-1].missing
        else:
            reason = _missing_reason(tenant_id, attachment, with_bytes)
        marked.append(msgspec.structs.replace(attachment, missing=reason))
    return marked


def _missing_reason(
    tenant_id: UUID, attachment: MediaEntry, with_bytes: bool
) -> MissingReason | None:
    if attachment.scan_status == ScanStatus.INFECTED:
        return INFECTED
    if not with_bytes:
        return LEFT_OUT
    with _translate_storage_errors(attachment):
        exists = exists_with_size(_storage_name(tenant_id, attachment), attachment.size)
    return None if exists else LOST


def exists_with_size(storage_name: str, size: int) -> bool:
    """Return whether the store has a file of this name and size; raises the store's errors.

    Storage.exists would return False for a directory that may not be read.
    """
    try:
        # A number in a response that was cut may look complete: nothing is lost by one response.
        return any(default_storage.size(storage_name) == size for _ in range(2))
    except FileNotFoundError:
        return False


def iter_bytes(tenant_id: UUID, attachment: MediaEntry) -> Generator[bytes]:
    """Raises `ExportDamaged` if the file can't be read, and the errors of a bucket's client."""
    with _translate_storage_errors(attachment):
        file = default_storage.open(_storage_name(tenant_id, attachment))
    with file:
        while True:
            with _translate_storage_errors(attachment):
                # For a larger buffer than needed, the kernel would map memory for every file.
                chunk = file.read(min(CHUNK_BYTES, attachment.size + 1))
            if not chunk:
                return
            yield chunk


def _storage_name(tenant_id: UUID, attachment: MediaEntry) -> str:
    return get_storage_name(tenant_id, attachment.sha256)


@contextmanager
def _translate_storage_errors(attachment: MediaEntry) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExportDamaged(
            f"Can't read attachment {attachment.media_id} from the media store: {reason}.",
            fix="Make the media store readable for this user, or pass --no-media.",
        ) from error
