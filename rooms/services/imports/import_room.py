"""Carry a room in: a bundle becomes a new room, whole or not at all.

Everything is checked before the first row. Then positions are reserved, files announced and put
into the store, and all rows written in one transaction, which also takes the announcement away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO

from django.db import transaction

from rooms.bundle.reader import Limits, ValidatedBundle, check_bundle
from rooms.bundle.signature import VerificationStatus
from rooms.errors import ImportRunning
from rooms.models import (
    ImportIntent,
    Membership,
    Room,
    RoomImport,
    RoomMember,
    RoomState,
    RoomType,
)
from rooms.services.import_signature import check_signature, signature_warning, trusted_keys
from rooms.services.imported_room import ImportResult
from rooms.services.imports.events import EventDestination, write_events
from rooms.services.imports.id_mapping import EventRewriter, IdMapper
from rooms.services.imports.intents import clean_up_abandoned, complete_intent, import_intent
from rooms.services.imports.media import MediaPlan, plan_media, store_files, write_media
from rooms.services.imports.permissions import (
    ImportTarget,
    ensure_quota,
    resolve_target,
    revalidate_target,
)
from rooms.services.imports.source import Source, open_seekable
from rooms.services.stream_positions import lock_stream, reserve_positions
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.locks import process_lock
from tenants.services.audit import record_audit

FULL_POWER = 100


@dataclass(frozen=True)
class _Import:
    """One import under way: who, where to, what from."""

    operator: Operator
    place: ImportTarget
    source: Source
    bundle: ValidatedBundle
    verdict: VerificationStatus
    now: datetime
    bars: ProgressFactory


def import_room(
    *,
    operator: Operator,
    tenant: str,
    workspace: str,
    participant: str,
    file: BinaryIO,
    most_bytes: int,
    now: datetime,
    once: bool = False,
    cut_references: bool = False,
    dry_run: bool = False,
    key: str | None = None,
    require_signature: bool = False,
    bars: ProgressFactory = null_progress_factory,
) -> ImportResult:
    """Make a room of the participant's of the bundle in `file`, which may be a pipe.

    `once`: where the same bundle has made a room of this workspace that is still there, that is
    the answer. `most_bytes` bounds the bundle, packed and unpacked. `key` is one that may have
    signed it, besides this server's own.

    Raises TenantNotFound, WorkspaceNotFound, ParticipantNotFound, WorkspaceForbidden, InvalidKey,
    ImportRefused, ImportRunning, TenantQuotaExceeded, BundleError in all its forms, DiskFull and
    DatabaseBusy; nothing is left of the room then.
    """
    operator.require(Permission.CARRY_ROOMS)
    place = resolve_target(operator, tenant=tenant, workspace=workspace, participant=participant)
    keys = trusted_keys(key)
    if not dry_run:
        clean_up_abandoned(now)
    with _checked(file, most_bytes, cut_references, bars) as (source, bundle):
        verdict = check_signature(bundle.signature, keys, required=require_signature)
        work = _Import(operator, place, source, bundle, verdict, now, bars)
        return _imported(work, once=once, dry_run=dry_run)


@contextmanager
def _checked(
    file: BinaryIO, most_bytes: int, cut_references: bool, bars: ProgressFactory
) -> Iterator[tuple[Source, ValidatedBundle]]:
    with open_seekable(file, most_bytes=most_bytes, bars=bars) as source:
        with bars("Checking", ColumnType.BYTES) as progress:
            bundle = check_bundle(
                source.file,
                limits=Limits(most_bytes=most_bytes),
                cut_references=cut_references,
                progress=progress,
            )
        with bundle:
            yield source, bundle


def _imported(work: _Import, *, once: bool, dry_run: bool) -> ImportResult:
    make = _planned if dry_run else _carried
    if not once:
        return make(work)
    with _alone(work):
        earlier = _earlier(work)
        return _already(earlier) if earlier else make(work)


@contextmanager
def _alone(work: _Import) -> Iterator[None]:
    """Of two imports of one bundle into one workspace, the second must see the first's room."""
    name = f"import-{work.place.workspace.pk}-{work.bundle.manifest_sha256}"
    with process_lock(name) as free:
        if not free:
            raise ImportRunning("Another import of this bundle into this workspace is running.")
        yield


def _earlier(work: _Import) -> Room | None:
    found = RoomImport.objects.filter(
        tenant=work.place.tenant,
        manifest_sha256=work.bundle.manifest_sha256,
        room__workspace=work.place.workspace,
    )
    newest = found.select_related("room__workspace").order_by("-created_at", "-pk").first()
    return newest.room if newest else None


def _already(room: Room) -> ImportResult:
    return ImportResult(
        room_id=room.pk, name=room.name, workspace=room.workspace.slug, imported=False
    )


def _planned(work: _Import) -> ImportResult:
    return _summary(work, _plan(work), None)


def _plan(work: _Import) -> MediaPlan:
    """What becomes of the files. Raises `TenantQuotaExceeded`."""
    trusted = work.verdict is VerificationStatus.VALID
    plan = plan_media(work.place.tenant.pk, work.bundle.head.media, trusted=trusted)
    ensure_quota(work.place.tenant, added_bytes=plan.added_bytes)
    return plan


def _carried(work: _Import) -> ImportResult:
    plan = _plan(work)
    tenant = work.place.tenant
    hashes = [row.sha256 for row in plan.put]
    with import_intent(hashes, operator=work.operator, tenant=tenant, now=work.now) as intent:
        with work.bars("Storing attachments", ColumnType.BYTES) as progress:
            store_files(
                plan, tenant_id=tenant.pk, open_media=work.bundle.open_media, progress=progress
            )
        total = work.bundle.counts.kept
        first_position = reserve_positions(tenant.pk, total)
        with transaction.atomic(durable=True):
            work = replace(work, place=revalidate_target(work.operator, work.place))
            room = _write_room(work)
            target = EventDestination(room, first_position, _rewriter(work, room, plan))
            with work.bars("Writing events") as progress:
                write_events(work.bundle.events(), target, total=total, progress=progress)
            _finish(work, room, plan, intent)
    return _summary(work, plan, room)


def _write_room(work: _Import) -> Room:
    """The room and its only member."""
    given, place = work.bundle.head.room, work.place
    room = Room.objects.create(
        tenant=place.tenant,
        workspace=place.workspace,
        creator=place.participant,
        room_type=RoomType.GROUP if given.room_type == RoomType.DM else given.room_type,
        name=given.name,
        topic=given.topic,
        is_public=given.is_public,
        visibility=given.visibility,
        read_role_slugs=given.read_role_slugs,
        created_at=given.created_at,
        updated_at=work.now,
    )
    RoomMember.objects.create(
        tenant=place.tenant,
        room=room,
        participant=place.participant,
        membership=Membership.JOIN,
        power_level=FULL_POWER,
        joined_at=work.now,
    )
    return room


def _rewriter(work: _Import, room: Room, plan: MediaPlan) -> EventRewriter:
    """Also writes the rows of the media, since their ids are what the events need to know."""
    media_ids = write_media(plan, room=room, now=work.now)
    return EventRewriter(IdMapper(room.pk), senders=work.bundle.head.senders, media_ids=media_ids)


def _finish(work: _Import, room: Room, plan: MediaPlan, intent: ImportIntent) -> None:
    """What has to be true when all rows are there; then the files belong to their rows.

    Of imports that end at the same time only so many get through as fit into the tenant's limits.
    """
    work.source.require_unchanged()
    lock_stream(room.tenant_id)
    ensure_quota(work.place.tenant, added_bytes=plan.added_bytes, written=True)
    head = work.bundle.head
    RoomImport.objects.create(
        tenant=work.place.tenant,
        room=room,
        manifest_sha256=work.bundle.manifest_sha256,
        source_room_id=head.room.id,
        source_server_name=head.server_name,
        operator=work.operator.name,
        created_at=work.now,
    )
    record_audit(
        operator=work.operator,
        action="import-room",
        subject=room,
        tenant=work.place.tenant,
        now=work.now,
        details={
            "workspace": work.place.workspace.slug,
            "participant": str(work.place.participant.pk),
            "from_room": head.room.id,
            "from_server": head.server_name,
            "manifest_sha256": work.bundle.manifest_sha256,
            "events": work.bundle.counts.kept,
        },
    )
    complete_intent(intent)


def _summary(work: _Import, plan: MediaPlan, room: Room | None) -> ImportResult:
    counts = work.bundle.counts
    stripped = {
        **counts.stripped,
        "swp.room.reaction": counts.reactions_stripped,
        "swp.room.redaction": counts.redactions_stripped,
    }
    return ImportResult(
        room_id=room.pk if room else None,
        name=work.bundle.head.room.name,
        workspace=work.place.workspace.slug,
        signature=work.verdict.value,
        imported=room is not None,
        dry_run=room is None,
        events=counts.kept,
        stripped={kind: count for kind, count in stripped.items() if count},
        references_cut=counts.references_cut,
        media_stored=len(plan.put),
        media_already_there=plan.already_there,
        media_infected=plan.infected,
        media_missing=plan.missing,
        warnings=tuple(_warnings(work, plan)),
    )


def _warnings(work: _Import, plan: MediaPlan) -> Iterator[str]:
    given, window = work.bundle.head.room, work.bundle.head.window
    if unsigned := signature_warning(work.bundle.signature, work.verdict):
        yield unsigned
    if window:
        since = f"since {window.since}" if window.since else "from its beginning on"
        until = window.until or "its export"
        yield f"The bundle has only what was sent {since} and before {until}."
    if given.room_type == RoomType.DM:
        yield "The dm became a group."
    if given.state != RoomState.OPEN:
        yield f"The room was {given.state}; here it is open."
    if plan.missing:
        yield f"{_attachments(plan.missing)} not in the bundle."
    if plan.infected:
        yield f"{_attachments(plan.infected)} infected; the bytes stay out."


def _attachments(count: int) -> str:
    return "1 attachment is" if count == 1 else f"{count:,} attachments are"
