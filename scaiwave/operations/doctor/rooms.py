"""Health checks for `scaiwave doctor`: media store, interrupted imports, search index."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from pathlib import Path
from typing import cast

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F, Q

from rooms.imports.intents import clean_up_abandoned
from rooms.lifecycle.purge_room import find_due_rooms
from rooms.lifecycle.remove_media import find_due_files
from rooms.models import (
    Event,
    ImportIntent,
    RemovedFile,
    RetentionPolicy,
    Room,
    SearchBackfill,
)
from rooms.retention.policies import MAX_AGE, find_overdue_policies
from rooms.search.scope import Scope
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.clock import get_latest_time, is_in_future
from scaiwave.core.sql import batched
from scaiwave.operations.doctor.findings import Finding, failed, passed, warned
from scaiwave.storage.error_mapping import map_storage_error, translate_errors
from scaiwave.storage.media import (
    AtomicFileSystemStorage,
    MediaStore,
    MediaStoreUnusable,
    MediaVersioned,
    storage_error_types,
)
from tenants.models import Tenant

PROBE_DIRECTORY = "doctor"
MAX_LAG = timedelta(days=1)
"""How long messages may wait to be indexed before it is a warning."""
MAX_COUNTED_MESSAGES = 10_000
COUNTED_TENANTS = 200
_SCHEDULE_FIX = "Run `scaiwave room search-index` from cron, every hour or night."
_MISMATCH_FIX = "Run `scaiwave room search-index`; if the mismatch remains, add --restart once."


def check_media_store(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Write a small file, read it, and delete it. A directory that does not exist is not made."""
    if isinstance(default_storage, AtomicFileSystemStorage):
        directory = Path(default_storage.path("."))
        if not directory.exists():
            parent = next(path for path in directory.parents if path.exists())
            if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
                text = f"The media store is empty; the first import creates {directory}."
                yield passed("media", text)
            else:
                error = MediaStoreUnusable(f"{directory} can't be created in {parent}.")
                yield failed("media", error)
            return
    name, content = f"{PROBE_DIRECTORY}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        default_storage.save(name, ContentFile(content))
        try:
            with default_storage.open(name) as file:
                is_intact = file.read() == content
        finally:
            try:
                # With its versions, which a bucket would keep of each of these files.
                cast(MediaStore, default_storage).erase(name)
            except MediaVersioned:
                default_storage.delete(name)
                raise
    except storage_error_types() as problem:
        yield failed("media", map_storage_error(problem))
        return
    except MediaVersioned as problem:
        text = f"Rooms and files can't be deleted for good. {problem.message}"
        yield warned("media", text, problem.fix)
        return
    if is_intact:
        yield passed("media", "The media store is readable and writable.")
    else:
        yield failed(
            "media", MediaStoreUnusable("The media store returned other bytes than were written.")
        )


def clean_up_imports(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Delete the files that interrupted imports left in the media store."""
    with translate_errors():
        count = clean_up_abandoned(now)
    if count:
        yield passed(
            "imports", f"Cleaned up after {count} interrupted import{'' if count == 1 else 's'}."
        )


def check_imports(config: Configuration, now: datetime) -> Iterator[Finding]:
    intents = ImportIntent.objects.order_by(F("started_at"))
    if oldest := intents.first():
        since = f"{oldest.started_at:%Y-%m-%d %H:%M} UTC"
        yield passed(
            "imports",
            f"In progress, or interrupted and not cleaned up: {intents.count()}. "
            f"The oldest started at {since}.",
        )
    else:
        yield passed("imports", "No imports in progress and no leftovers.")


def check_retention(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report policies that no run has reached for days."""
    policies = RetentionPolicy.objects.exclude(days=None, media_days=None)
    if not policies.exists():
        yield passed("retention_policies", "No retention policy deletes messages or files.")
        return
    if count := find_overdue_policies(now).count():
        yield warned(
            "retention_policies",
            f"{pluralize(count, 'retention policy has', 'retention policies have')} not run for "
            f"{MAX_AGE.days} days.",
            "Run `scaiwave scheduler`, or `scaiwave admin retention run --yes` from cron.",
        )
    else:
        yield passed("retention_policies", "All retention policies have run lately.")


def check_deletions(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report what would be deleted for good by now, if there was no hold."""
    rooms = Room.all_objects.filter(deleted_at__isnull=False, purge_at__lte=now).count()
    rooms -= len(find_due_rooms(now))
    files = RemovedFile.objects.filter(media__isnull=False, purge_at__lte=now)
    delayed = files.count() - len(find_due_files(now, files))
    what = f"{pluralize(rooms, 'room')} and {pluralize(delayed, 'removed file')}"
    text = f"Holds delay the deletion of {what}. `scaiwave admin hold list` shows the holds."
    yield passed("deletions", text if rooms or delayed else "No hold delays a deletion.")


def check_search(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report the outcome of the last full backfill, and how many messages are newer.

    Later edits and redactions are not counted, which would mean to read every event; the backfill
    script does that without --execute.
    """
    runs = SearchBackfill.objects.filter(scope=Scope().name)
    finished = runs.exclude(finished_at=None).order_by("-started_at")
    last = finished.filter(started_at__lte=get_latest_time(now)).first()
    if (ahead := finished.first()) and is_in_future(ahead.started_at, now):
        yield warned(
            "search",
            f"A backfill is dated in the future: {ahead.started_at:%Y-%m-%d %H:%M} UTC. It does "
            "not count.",
            "Check the clock of this host, then run the backfill again.",
        )
    if last is None:
        yield passed(
            "search", "No full backfill has completed yet; searches may return no results."
        )
        return
    yield _check_lag(last, now)
    rows = (last.outcome or {})["tenants"]
    mismatched = [row["tenant"] for row in rows if row["missing"] or row["stale"]]
    if mismatched:
        yield warned(
            "search",
            f"After the last backfill, the index for {', '.join(mismatched)} does not match the "
            "stored events.",
            _MISMATCH_FIX,
        )


def _check_lag(last: SearchBackfill, now: datetime) -> Finding:
    started = f"The last backfill started at {last.started_at:%Y-%m-%d %H:%M} UTC."
    unindexed = _count_unindexed(last)
    if not unindexed:
        return passed("search", f"All messages are indexed. {started}")
    count = "1 message is" if unindexed == 1 else f"{unindexed:,} messages are"
    if unindexed >= MAX_COUNTED_MESSAGES:
        count = f"{MAX_COUNTED_MESSAGES:,} or more messages are"
    message = f"{count} not indexed yet. {started}"
    if now - last.started_at > MAX_LAG:
        return warned("search", message, _SCHEDULE_FIX)
    return passed("search", message)


def count_unindexed_messages() -> int | None:
    """Count messages that the last full backfill has not read; None if none has completed.

    Counts up to `MAX_COUNTED_MESSAGES`.
    """
    runs = SearchBackfill.objects.filter(scope=Scope().name).exclude(finished_at=None)
    last = runs.order_by("-started_at").first()
    return None if last is None else _count_unindexed(last)


def _count_unindexed(last: SearchBackfill) -> int:
    """Count messages after the positions that the run read, up to the maximum.

    Each tenant has its own position, so that a query is about some tenants.
    """
    through = {row["tenant_id"]: row["through"] for row in (last.outcome or {})["tenants"]}
    messages = Event.objects.filter(
        event_type="swp.room.message", redacted_at=None, do_not_index=False
    )
    count = 0
    keys = Tenant.objects.order_by("pk").values_list("pk", flat=True)
    for batch in batched(keys.iterator(), COUNTED_TENANTS):
        newer = messages.filter(
            reduce(
                or_,
                (Q(tenant=key, stream_position__gt=through.get(str(key), 0)) for key in batch),
            )
        )
        count += newer[: MAX_COUNTED_MESSAGES - count].count()
        if count >= MAX_COUNTED_MESSAGES:
            break
    return count
