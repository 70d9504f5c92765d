"""Remove a file from a room: hide it at once, and delete its bytes after a grace period."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from shlex import quote
from typing import TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from rooms.bundle.format import MEDIA_KEYS
from rooms.errors import FileNotInRoom
from rooms.imports.intents import delete_announced, release_files
from rooms.lifecycle.deletion import lock_room, open_deletion
from rooms.lookup.holds import find_hold_on_room, require_room_not_held
from rooms.lookup.resolve import resolve_room
from rooms.lookup.rooms import build_removed_row
from rooms.models import Event, ImportIntent, RemovedFile, Room, RoomMedia
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.storage.media import collect_refusals
from tenants.audit.record import record_audit
from tenants.errors import AmbiguousName
from tenants.holds.queries import block_new_holds
from tenants.lookup.resolve import is_storable_text, parse_uuid, resolve_tenant
from tenants.lookup.validators import validate_required_reason

REMOVED_KEY = "_removed_file"
"""In the content of an event whose file is gone: the name of the file, and the reason."""

DELETION = ChangeWords(
    "file",
    "Would remove file {name} from room {room}.",
    "File {name} removed from room {room}. `room media restore` brings it back until {until}.",
)
PURGE = ChangeWords(
    "file",
    "Would delete file {name} of room {room} for good.",
    "File {name} of room {room} deleted for good.",
)
RESTORATION = ChangeWords(
    "file", "Would bring back file {name} of room {room}.", "File {name} is back in room {room}."
)

Attachment = TypeVar("Attachment", RoomMedia, RemovedFile)


def remove_media(
    *,
    operator: Operator,
    room: str,
    tenant: str,
    file: str,
    reason: str,
    confirm: Callable[[str, str], None],
    now: datetime,
    at_once: bool = False,
    dry_run: bool = False,
) -> Change:
    """Remove a file from a room, under all its names there; `file` is its ID, SHA-256 or name.

    No list, export or increment has it from then on. Its bytes are deleted after the grace period,
    or now if `at_once`, unless another room has them; then events name the file and the reason.
    `confirm` gets the effect and the name of the file, and raises unless the operator agrees.
    Raises FileNotInRoom, OnHold, RoomNotFound, TenantNotFound, AmbiguousName, InvalidName, and what
    `purge_removed_files` raises.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_required_reason(reason)
    found = resolve_room(operator, room, tenant=resolve_tenant(operator, tenant))
    attached = RoomMedia.objects.filter(room=found)
    links = _find(found, attached, file)
    require_room_not_held(found, effect := f"remove a file from room {found}")
    days = 0 if at_once else settings.CONFIG.get_int("SCAIWAVE_DELETION_GRACE_DAYS")
    rows = [
        RemovedFile(
            tenant=found.tenant,
            room=found,
            media=link.media,
            sha256=link.media.sha256,
            name=link.name,
            source_media_id=link.source_media_id,
            reason=reason,
            removed_at=now,
            purge_at=now + timedelta(days=days),
        )
        for link in links
    ]
    if dry_run:
        return _build_change(PURGE if at_once else DELETION, rows[0], dry_run=True)
    end = "for good; this can't be undone" if at_once else f"on {rows[0].purge_at:%Y-%m-%d}"
    confirm(
        f"This hides file {rows[0].name} of room {found}, and deletes its bytes {end}.",
        rows[0].name,
    )
    with transaction.atomic():
        block_new_holds()
        require_room_not_held(found, effect)
        _find(found, attached, str(rows[0].media_id))  # Another command may have been faster.
        attached.filter(pk__in=[link.pk for link in links]).delete()
        # The file may have been removed before under the same name, and have come again.
        names = [row.name for row in rows]
        RemovedFile.objects.filter(room=found, sha256=rows[0].sha256, name__in=names).delete()
        RemovedFile.objects.bulk_create(rows)
        _record(operator, rows[0], "room media remove", now)
    if at_once:
        with open_deletion(operator, now):
            _purge(operator, now, RemovedFile.objects.filter(pk__in=[row.pk for row in rows]))
    return _build_change(PURGE if at_once else DELETION, rows[0], changed=True)


def restore_media(
    *, operator: Operator, room: str, tenant: str, file: str, now: datetime, dry_run: bool = False
) -> Change:
    """Bring back a removed file whose bytes are still there.

    Raises FileNotInRoom, RoomNotFound, TenantNotFound and AmbiguousName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    found = resolve_room(operator, room, tenant=resolve_tenant(operator, tenant))
    removed = RemovedFile.objects.filter(room=found, media__isnull=False)
    if dry_run:
        return _build_change(RESTORATION, _find(found, removed, file)[0], dry_run=True)
    with transaction.atomic():
        rows = _find(found, removed.select_for_update(of=("self",)), file)
        links = [
            RoomMedia(
                tenant_id=row.tenant_id,
                room_id=row.room_id,
                media_id=cast(UUID, row.media_id),
                name=row.name,
                source_media_id=row.source_media_id,
                created_at=now,
            )
            for row in rows
        ]
        # People may have attached it again in the meantime.
        RoomMedia.objects.bulk_create(links, ignore_conflicts=True)
        RemovedFile.objects.filter(pk__in=[row.pk for row in rows]).delete()
        _record(operator, rows[0], "room media restore", now)
    return _build_change(RESTORATION, rows[0], changed=True)


def count_due_files(now: datetime) -> int:
    """Count removed files whose bytes are due, of rooms that no hold covers, and deletions of
    files that were interrupted."""
    return len(find_due_files(now, RemovedFile.objects.all())) + _list_interrupted(now).count()


def purge_removed_files(operator: Operator, now: datetime) -> int:
    """Delete the bytes of removed files whose grace period has ended, and what interrupted commands
    have left; return their number.

    Raises ServerRestored, MediaVersioned and the errors of the media store.
    """
    operator.require(Permission.MANAGE_TENANTS)
    interrupted = list(_list_interrupted(now).values_list("tenant", flat=True))
    with open_deletion(operator, now), collect_refusals() as attempt:
        with attempt():
            count = _purge(operator, now, RemovedFile.objects.all())
        for tenant_id in set(interrupted):
            with attempt():
                delete_announced(tenant_id)
    return count + len(interrupted)


def _list_interrupted(now: datetime) -> QuerySet[ImportIntent]:
    return ImportIntent.objects.filter(is_deletion=True, started_at__lte=now)


def find_due_files(now: datetime, removed: QuerySet[RemovedFile]) -> list[RemovedFile]:
    """Return those whose bytes are due, of rooms that no hold covers."""
    due = removed.filter(media__isnull=False, purge_at__lte=now)
    files = list(due.select_related("room").order_by("purge_at", "pk"))
    held = {room for room in {file.room for file in files} if find_hold_on_room(room)}
    return [file for file in files if file.room not in held]


def _purge(operator: Operator, now: datetime, removed: QuerySet[RemovedFile]) -> int:
    """A file that can't be deleted does not keep the others."""
    purged = 0
    with collect_refusals() as attempt:
        for file in find_due_files(now, removed):
            with attempt():
                purged += _purge_file(operator, now, file)
    return purged


def _purge_file(operator: Operator, now: datetime, file: RemovedFile) -> bool:
    media_id = cast(UUID, file.media_id)
    named = Q(*((f"content__{key}", str(media_id)) for key in MEDIA_KEYS), _connector=Q.OR)
    # Read before the transaction, since it reads the whole room.
    events = list(Event.objects.filter(named, room=file.room).values_list("pk", flat=True))
    with transaction.atomic():
        block_new_holds()
        lock_room(file.room)  # so that no one else changes its events
        if find_hold_on_room(file.room):
            return False
        # It may have been restored, and removed again, in the meantime.
        due = RemovedFile.objects.filter(pk=file.pk, media=media_id, purge_at__lte=now)
        if not due.update(media=None):
            return False
        if RoomMedia.objects.filter(room=file.room, media=media_id).exists():
            events = []  # People have attached it again.
        for event in Event.objects.select_for_update().filter(pk__in=events):
            event.content[REMOVED_KEY] = {"name": file.name, "reason": file.reason}
            event.save(update_fields=["content"])
        release_files([media_id], operator=operator, tenant_id=file.tenant_id, now=now)
    delete_announced(file.tenant_id)
    return True


def _find(room: Room, rows: QuerySet[Attachment], file: str) -> list[Attachment]:
    """Return the names in the room of the one file that is named. Raises FileNotInRoom and
    AmbiguousName."""
    named = Q(pk__in=[])
    if is_storable_text(file):
        named = Q(name=file) | Q(media__sha256=file)
    if key := parse_uuid(file):
        named |= Q(media=key)
    keys = set(rows.filter(named).values_list("media_id", flat=True)[:10])
    if not keys:
        raise FileNotInRoom(
            f"File not found in room {room}: {file}.",
            fix=f"`scaiwave room media list {quote(str(room.pk))} --tenant "
            f"{quote(room.tenant.slug)}` lists the files of the room with their IDs.",
        )
    if len(keys) > 1:
        candidates = sorted(map(str, keys))
        raise AmbiguousName(
            f"{file} is ambiguous: {'; '.join(candidates)}.",
            fix="Use the ID of the one you mean.",
            candidates=candidates,
        )
    return list(rows.filter(media__in=keys).select_related("media").order_by("pk"))


def _record(operator: Operator, file: RemovedFile, action: str, now: datetime) -> None:
    details = {"file": file.name, "sha256": file.sha256, "reason": file.reason}
    record_audit(
        operator=operator,
        action=action,
        subject=file.room,
        tenant=file.tenant,
        now=now,
        details={**details, "until": file.purge_at.isoformat()},
    )


def _build_change(
    words: ChangeWords, file: RemovedFile, *, changed: bool = False, dry_run: bool = False
) -> Change:
    until = f"{file.purge_at.astimezone(settings.LOCAL_ZONE):%Y-%m-%d %H:%M}"
    names = {"room": str(file.room), "until": until}
    return Change(words, build_removed_row(file), changed, dry_run, names=names)
