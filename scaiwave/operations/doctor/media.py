"""Whether the media store has the files of attachments, for `doctor`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import QuerySet

from rooms.errors import MediaFilesMissing
from rooms.lookup.media import exists_with_size, hash_stored
from rooms.lookup.tenant_stats import get_stored_media
from rooms.models import Media, RoomMedia
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.bulk import list_some
from scaiwave.operations.doctor.findings import Finding, failed, passed
from scaiwave.storage.media import MediaStoreUnusable

NAME = "media_files"
SAMPLE_FILES = 50
BATCH_FILES = 1000
_NAMED = 3
MediaDepth = Literal["sample", "sizes", "hashes"]


def check_media_files(
    config: Configuration,
    now: datetime,
    depth: MediaDepth = "sample",
    progress_factory: ProgressFactory = null_progress_factory,
) -> Iterator[Finding]:
    """Count missing and damaged files by tenant; infected and removed files may be gone.

    Looks up some files or all of them; for `hashes` it reads them too.
    """
    stored, number, is_sample = get_stored_media().select_related("tenant"), 0, depth == "sample"
    # Whole rows with their tenants would take three times as long to order.
    sample = stored.order_by("?").values_list("pk", flat=True)[:SAMPLE_FILES]
    files = stored.filter(pk__in=list(sample)) if is_sample else _iter_all(stored)
    total = SAMPLE_FILES if is_sample else stored.count()
    counts, ids = defaultdict[str, Counter[str]](Counter), defaultdict[str, list[str]](list)
    with progress_factory("Checking attachments") as progress:
        for number, media in enumerate(files, 1):
            problem, slug = _find_problem(media, depth), media.tenant.slug
            # Its row may have been deleted since.
            if problem and RoomMedia.objects.filter(media=media).exists():
                counts[slug][problem] += 1
                ids[slug] = [*ids[slug], str(media.pk)][:_NAMED]
            progress(number, total)
    what = pluralize(number, "sampled attachment" if is_sample else "attachment")
    if not counts:
        yield passed(NAME, f"No file is missing of {what}.")
        return
    bad = sum(found.total() for found in counts.values())
    tenants = [
        f"{slug} ({', '.join(f'{count:,} {kind}' for kind, count in sorted(found.items()))}: "
        f"{', '.join(ids[slug])})"
        for slug, found in sorted(counts.items())
    ]
    text = f"Files missing or damaged: {bad:,} of {what}: {list_some(tenants)}."
    yield failed(NAME, MediaFilesMissing(text))


def _iter_all(stored: QuerySet[Media]) -> Iterator[Media]:
    """Read some rows at a time: a cursor would stay open for hours."""
    last = UUID(int=0)
    while batch := list(stored.filter(pk__gt=last).order_by("pk")[:BATCH_FILES]):
        yield from batch
        last = batch[-1].pk


def _find_problem(media: Media, depth: MediaDepth) -> str:
    name = media.storage_name
    try:
        if not exists_with_size(name, media.size):
            return "damaged" if default_storage.exists(name) else "missing"
        return "damaged" if depth == "hashes" and hash_stored(name) != media.sha256 else ""
    except OSError as error:
        text = f"Attachment {media.pk} can't be read: {error.strerror or error}."
        raise MediaStoreUnusable(text) from error
