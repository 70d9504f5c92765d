"""The bytes of attachments, out of the media store."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from django.core.files.storage import default_storage

from rooms.bundle.format import INFECTED, LEFT_OUT, LOST
from rooms.bundle.writer import Attachment
from rooms.errors import ExportDamaged
from rooms.models import Media, ScanStatus
from scaiwave.media_storage import storage_error_types

CHUNK = 1024 * 1024


def mark_missing(
    tenant_id: UUID, attachments: list[Attachment], *, with_bytes: bool
) -> list[Attachment]:
    """The same with what is missing marked, in the same order; asks the store once a file."""
    marked: list[Attachment] = []
    for attachment in attachments:
        if marked and marked[-1].media_id == attachment.media_id:
            why = marked[-1].missing
        else:
            why = _why_missing(tenant_id, attachment, with_bytes)
        marked.append(replace(attachment, missing=why))
    return marked


def _why_missing(tenant_id: UUID, attachment: Attachment, with_bytes: bool) -> str | None:
    if attachment.scan_status == ScanStatus.INFECTED:
        return INFECTED
    if not with_bytes:
        return LEFT_OUT
    with _readable(attachment):
        there = exists_with_size(_storage_name(tenant_id, attachment), attachment.size)
    return None if there else LOST


def exists_with_size(storage_name: str, size: int) -> bool:
    """Whether the store has a file of this name and size; raises what the store does.

    Not `exists`: it says no, too, where a folder may not be looked into.
    """
    try:
        return bool(default_storage.size(storage_name) == size)
    except FileNotFoundError:
        return False


def iter_bytes(tenant_id: UUID, attachment: Attachment) -> Generator[bytes]:
    """Raises `ExportDamaged` when the store does not give them."""
    with _readable(attachment):
        file = default_storage.open(_storage_name(tenant_id, attachment))
    with file:
        while True:
            with _readable(attachment):
                chunk = file.read(CHUNK)
            if not chunk:
                return
            yield chunk


def _storage_name(tenant_id: UUID, attachment: Attachment) -> str:
    return Media(tenant_id=tenant_id, sha256=attachment.sha256).storage_name


@contextmanager
def _readable(attachment: Attachment) -> Iterator[None]:
    try:
        yield
    except storage_error_types() as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ExportDamaged(
            f"Attachment {attachment.media_id} can't be read from the media store: {why}.",
            fix="Make the media store readable for this user, or pass --no-media.",
        ) from error
