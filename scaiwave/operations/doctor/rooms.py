"""Health checks for `scaiwave doctor`: media store, interrupted imports, search index."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F, QuerySet

from rooms.imports.intents import clean_up_abandoned
from rooms.lifecycle.purge_room import find_due_rooms
from rooms.lifecycle.remove_media import find_due_files
from rooms.models import (
    ImportIntent,
    RemoteState,
    RemovedFile,
    RetentionPolicy,
    Room,
    SearchBackfill,
)
from rooms.retention.policies import MAX_AGE, find_overdue_policies
from rooms.search.backlog import MAX_EVENTS, Backlog, count_backlog
from rooms.search.scope import Scope
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.bulk import list_some
from scaiwave.core.clock import get_latest_time, is_in_future
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
MAX_COUNTED_EVENTS = 100_000
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
    finished = _get_full_backfills().order_by("-started_at")
    last = finished.filter(started_at__lte=get_latest_time(now)).first()
    if (ahead := finished.first()) and is_in_future(ahead.started_at, now):
        yield warned(
            "search",
            f"A backfill is dated in the future: {ahead.started_at:%Y-%m-%d %H:%M} UTC. It does "
            "not count.",
            "Check the clock of this host, then run the backfill again.",
        )
    yield _check_backlog(last, now)
    if last is None:
        return
    rows = (last.outcome or {})["tenants"]
    mismatched = [row["tenant"] for row in rows if row["missing"] or row["stale"]]
    if mismatched:
        yield warned(
            "search",
            f"After the last backfill, the index for {', '.join(mismatched)} does not match the "
            "stored events.",
            _MISMATCH_FIX,
        )


def _check_backlog(last: SearchBackfill | None, now: datetime) -> Finding:
    backlog, is_late = judge_backlog(now, MAX_COUNTED_EVENTS)
    started = f" The last backfill started at {last.started_at:%Y-%m-%d %H:%M} UTC." if last else ""
    if not backlog:
        return passed("search", f"All messages are indexed.{started}")
    tenants = list_some([f"{slug} ({count:,})" for slug, count in backlog.tenants.items()])
    message = f"{backlog}{tenants and f': {tenants}'}.{started}"
    if is_late:
        return warned("search", message, f"Run `{backlog.command}`, every hour or night from cron.")
    return passed("search", message)


def judge_backlog(now: datetime, max_events: int = MAX_EVENTS) -> tuple[Backlog, bool]:
    """Return the messages that searches can't find yet, and whether any has waited too long.

    They may wait for a day for the next backfill of everything, or of their tenant.
    """
    is_remote = bool(settings.CONFIG.get_url("SCAIWAVE_WEAVIATE_URL"))
    state = RemoteState.TEXT if is_remote else RemoteState.NOTHING
    backlog = count_backlog(Scope(), Tenant.objects.all(), state, max_events)
    return backlog, any(at is None or at < now - MAX_LAG for at in backlog.read_at)


def _get_full_backfills() -> QuerySet[SearchBackfill]:
    return SearchBackfill.objects.filter(scope=Scope().name).exclude(finished_at=None)
