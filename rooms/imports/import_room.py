"""Import a room: a bundle becomes a new room, completely or not at all.

Everything is validated before the first row is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from federation.keys.signing import own_keys
from rooms.bundle.manifest.reader import FindOutside
from rooms.bundle.manifest.schema import RoomInfo, format_timestamp
from rooms.bundle.reader import ValidatedBundle, read_bundle
from rooms.bundle.signature import VerificationResult, VerificationStatus, require_valid
from rooms.errors import NOTHING_IMPORTED, ImportRunning
from rooms.imports.id_mapping import BundleOrigin, EventRewriter, IdMapper
from rooms.imports.intents import clean_up_abandoned
from rooms.imports.media import MediaPlan, plan_media, write_media
from rooms.imports.permissions import ImportTarget, ensure_quota, resolve_target, revalidate_target
from rooms.imports.source import Source, open_seekable
from rooms.imports.verify_bundle import read_keys
from rooms.imports.write_bundle import RowWriter, WriteContext
from rooms.lookup.authors import Erasure, find_erasures
from rooms.models import Membership, Room, RoomImport, RoomMember, RoomState, RoomType
from rooms.stream_positions import lock_stream
from scaiwave.config.server_name import find_server_name
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator, Permission
from scaiwave.ids import new_id
from tenants.audit.record import record_audit
from tenants.counters import increment_counter
from tenants.lookup.serializers import Row, get_server_name

MAX_POWER_LEVEL = 100
FOLLOWED_FIELDS = ("name", "topic", "visibility", "read_role_slugs", "is_public")


@dataclass(frozen=True)
class ImportResult:
    """`imported` is False in a dry run, and if `once` found the room of an earlier import."""

    room_id: UUID | None
    name: str
    workspace: str
    imported: bool
    dry_run: bool = False
    signature: str | None = None
    events: int = 0
    stripped: Mapping[str, int] = field(default_factory=dict)
    references_cut: int = 0
    media_stored: int = 0
    media_already_there: int = 0
    media_infected: int = 0
    media_missing: int = 0
    warnings: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        room = f"room {self.name!r}" if self.name else "a room without a name"
        if self.dry_run:
            return f"Would import {room} into workspace {self.workspace}. No changes were made."
        if not self.imported:
            return (
                f"The bundle was already imported into workspace {self.workspace} as {room}; "
                "nothing changed."
            )
        return f"Imported {room} into workspace {self.workspace}."

    def row(self) -> Row:
        """Return the values to print as a record."""
        stripped = [f"{count:,} × {kind}" for kind, count in sorted(self.stripped.items())]
        values = {key: value for key, value in vars(self).items() if key != "warnings"}
        return {**values, "stripped": stripped}

    def document(self) -> Row:
        return {
            "room": {"id": self.room_id, "name": self.name, "workspace": self.workspace},
            "imported": self.imported,
            "dry_run": self.dry_run,
            "signature": self.signature,
            "events": self.events,
            "stripped": dict(self.stripped),
            "references_cut": self.references_cut,
            "media": {
                "stored": self.media_stored,
                "already_there": self.media_already_there,
                "infected": self.media_infected,
                "missing": self.media_missing,
            },
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class ImportRequest:
    """Into which room of whom a bundle is imported, and how.

    `max_bytes` limits it, compressed and decompressed. `key` and `descriptor` are trusted besides
    this server's own keys. Without a valid signature of a known key, a room is public only with
    `public`, and an increment follows bundles with one only with `accept_unsigned`.
    """

    tenant: str
    workspace: str
    participant: str
    max_bytes: int
    now: datetime
    cut_references: bool = False
    dry_run: bool = False
    key: str | None = None
    descriptor: Path | None = None
    require_signature: bool = False
    accept_unsigned: bool = False
    public: bool = False
    progress_factory: ProgressFactory = null_progress_factory

    def resolve_target(self, operator: Operator) -> ImportTarget:
        names = {"workspace": self.workspace, "participant": self.participant}
        return resolve_target(operator, tenant=self.tenant, **names)


@dataclass(frozen=True)
class BundleImport(WriteContext):
    """One import in progress: by whom, into what, from what."""

    target: ImportTarget
    request: ImportRequest
    source: Source
    bundle: ValidatedBundle
    verification: VerificationResult

    @property
    def is_trusted(self) -> bool:
        """Return whether a known key has signed the bundle."""
        return self.verification.status is VerificationStatus.VALID

    @property
    def is_named(self) -> bool:
        """Return whether that key proves the name of the server."""
        return self.is_trusted and self.verification.signer == self.bundle.header.server_name

    @property
    def may_be_public(self) -> bool:
        return self.is_trusted or self.request.public

    @cached_property
    def erasures(self) -> Mapping[str, Erasure]:
        return find_erasures(self.tenant.pk)

    @cached_property
    def origin(self) -> BundleOrigin:
        signed_by = self.bundle.signature if self.is_trusted else None
        origin = build_origin(signed_by.key_id if signed_by else None, self.now)
        return replace(origin, is_doubtful=self.is_trusted and not self.is_named)

    def get_rewriter(self, new_id: IdMapper, media_ids: Mapping[str, str]) -> EventRewriter:
        senders, origin = self.bundle.header.senders, self.origin
        return EventRewriter(
            new_id, senders=senders, media_ids=media_ids, origin=origin, erasures=self.erasures
        )

    def check_written(self, plan: MediaPlan, *, adds_room: bool) -> None:
        """Check the result once all rows are written.

        The tenant's limits are checked again under its lock, so that imports that end at the same
        time can't exceed them together. No one's data is erased here under that lock.
        """
        tenant, added_bytes = self.tenant, plan.added_bytes
        self.source.require_unchanged()
        lock_stream(tenant.pk)
        if find_erasures(tenant.pk) != self.erasures:
            raise ImportRunning(
                "Someone's data was erased during the import.",
                fix=f"{NOTHING_IMPORTED} Run the same command again.",
            )
        ensure_quota(tenant, added_bytes=added_bytes, written=True, adds_room=adds_room)

    def record(self, room: Room, **details: Any) -> None:
        """Record the import of a room, or of an increment, in the audit log."""
        header = self.bundle.header
        record_audit(
            operator=self.operator,
            action="import-room",
            subject=room,
            tenant=self.tenant,
            now=self.now,
            details={
                "workspace": self.target.workspace.slug,
                "participant": str(self.target.participant.pk),
                "from_room": header.room.id,
                "from_server": header.server_name,
                "manifest_sha256": self.bundle.manifest_sha256,
                **details,
            },
        )


@contextmanager
def open_import(
    operator: Operator,
    target: ImportTarget,
    file: BinaryIO,
    request: ImportRequest,
    find_targets: FindOutside | None = None,
) -> Iterator[BundleImport]:
    """Read and validate the whole bundle, and verify its signature.

    Cleans up after interrupted imports first.
    """
    keys = {**read_keys(request.key, request.descriptor), **own_keys()}
    max_bytes = request.max_bytes
    if not request.dry_run:
        clean_up_abandoned(request.now)
    with open_seekable(
        file, max_bytes=max_bytes, progress_factory=request.progress_factory
    ) as source:
        with request.progress_factory("Checking", ColumnType.BYTES) as progress:
            bundle = read_bundle(
                source.file,
                max_bytes=max_bytes,
                cut_references=request.cut_references,
                progress=progress,
                find_targets=find_targets,
            )
        with bundle:
            found = require_valid(bundle.signature, keys, required=request.require_signature)
            context = (operator, target.tenant, request.now, request.progress_factory)
            yield BundleImport(*context, target, request, source, bundle, found)


def import_room(
    *, operator: Operator, request: ImportRequest, file: BinaryIO, once: bool = False
) -> ImportResult:
    """Create a room, owned by the participant, from the bundle in `file`, which may be a pipe.

    With `once`, a bundle that was imported into the workspace before is not imported again.

    Raises `TenantNotFound`, `WorkspaceNotFound`, `ParticipantNotFound`, `WorkspaceForbidden`,
    `InvalidKey`, `ImportRefused`, `ImportRunning`, `TenantQuotaExceeded`, `BundleError`, `DiskFull`
    or `DatabaseBusy`; then nothing of the room is left.
    """
    # 1. Check the permission, and find the target.
    operator.require(Permission.IMPORT_ROOMS)
    target = request.resolve_target(operator)
    # 2. Read and validate the whole bundle, and verify its signature.
    with (
        open_import(operator, target, file, request) as run,
        _lock_bundle(run) if once else nullcontext(),
    ):
        # 3. With `once`, return the room of an earlier import of this bundle.
        if once and (existing := find_import(target, run.bundle.manifest_sha256)):
            room, slug = existing.room, existing.room.workspace.slug
            return ImportResult(room.pk, room.name, slug, imported=False)
        # 4. Plan the attachments and check the tenant's limits; a dry run ends here.
        plan = plan_media(target.tenant.pk, run.bundle.header.media, trusted=run.is_trusted)
        ensure_quota(target.tenant, added_bytes=plan.added_bytes)
        if run.request.dry_run:
            return _build_result(run, plan, None, _simulate(run))
        # 5. Store the files, then write all rows in one transaction.
        writer = _NewRoom(run, run.bundle)
        writer.write(plan)
        return _build_result(run, plan, writer.room, writer.rewriter)


def build_origin(key_id: str | None, now: datetime) -> BundleOrigin:
    """Return what the signature of a bundle proves now; `key_id` is of a known key, or None."""
    return BundleOrigin(
        key_id is not None,
        is_own=key_id in own_keys(),
        server_name=get_server_name(),
        hosts=_list_own_hosts(),
        proven_until=format_timestamp(now) if key_id else "",
    )


def _list_own_hosts() -> frozenset[str]:
    """Return the hosts at which this server has pages and files.

    A bucket at Amazon has several names, so then every name there is one of them:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    config = settings.CONFIG
    endpoint = config.get_url("SCAIWAVE_S3_ENDPOINT")
    urls = (config.get_url("SCAIWAVE_PUBLIC_URL"), endpoint)
    names = (config.get_str("SCAIWAVE_SERVER_NAME"), *config.get_list("SCAIWAVE_ALLOWED_HOSTS"))
    # Django lets an allowed host begin with a dot, for its subdomains.
    parsed = (find_server_name(name.removeprefix(".")) for name in names)
    hosts = {urlsplit(url).hostname for url in urls} | {name.host for name in parsed if name}
    if config.get_str("SCAIWAVE_S3_BUCKET") and not endpoint:
        hosts.add("amazonaws.com")
    return frozenset(host for host in hosts if host)


@contextmanager
def _lock_bundle(run: BundleImport) -> Iterator[None]:
    """Refuse a second import of this bundle into the workspace while the first is in progress.

    Otherwise the two imports would not find each other's room, and create two.
    """
    name = f"import-{run.target.workspace.pk}-{run.bundle.manifest_sha256}"
    with process_lock(name) as acquired:
        if not acquired:
            raise ImportRunning("Another import of this bundle into this workspace is in progress.")
        yield


def find_import(target: ImportTarget, manifest_sha256: str) -> RoomImport | None:
    """Return the newest import of a bundle into the workspace by this participant.

    Another editor could import the same base once more, and get the increments in that room, or
    write into a room without being in it.
    """
    imports = RoomImport.objects.filter(
        tenant=target.tenant,
        room__creator=target.participant,
        manifest_sha256=manifest_sha256,
        room__workspace=target.workspace,
        room__deleted_at=None,
    )
    return imports.select_related("room__workspace").order_by("-created_at", "-pk").first()


def _simulate(run: BundleImport) -> EventRewriter:
    """Rewrite the events without a room; the rewriter counts what becomes of their senders."""
    media = run.bundle.header.media
    carried = {entry.media_id: entry.media_id for entry in media if entry.missing is None}
    rewriter = run.get_rewriter(IdMapper(new_id()), carried)
    done, total = 0, run.bundle.counts.kept
    with run.progress_factory("Checking senders") as progress:
        for batch in run.bundle.iter_batches():
            progress(done, total)
            rewriter.rewrite(batch)
            done += len(batch)
        progress(total, total)
    return rewriter


@dataclass
class ImportWriter(RowWriter):
    """Writes into a room of the participant, who sends all events."""

    run: BundleImport

    def build_rewriter(self, media_ids: Mapping[str, str]) -> EventRewriter:
        return self.run.get_rewriter(IdMapper(self.room.pk), media_ids)


class _NewRoom(ImportWriter):
    def open_room(self) -> Room:
        """Write the room and its only member."""
        target, now = revalidate_target(self.run.operator, self.run.target), self.run.now
        self.run = replace(self.run, target=target, tenant=target.tenant)
        source = self.bundle.header.room
        room = Room.objects.create(
            tenant=target.tenant,
            workspace=target.workspace,
            creator=target.participant,
            room_type=RoomType.GROUP if source.room_type == RoomType.DM else source.room_type,
            name=source.name,
            topic=source.topic,
            is_public=source.is_public and self.run.may_be_public,
            visibility=source.visibility,
            read_role_slugs=source.read_role_slugs,
            created_at=source.created_at,
            updated_at=now,
        )
        RoomMember.objects.create(
            tenant=target.tenant,
            room=room,
            participant=target.participant,
            membership=Membership.JOIN,
            power_level=MAX_POWER_LEVEL,
            joined_at=now,
        )
        return room

    def write_media(self, plan: MediaPlan) -> Mapping[str, str]:
        return write_media(plan, room=self.room, now=self.run.now)

    def finish(self, plan: MediaPlan, added: int) -> None:
        run, bundle = self.run, self.bundle
        run.check_written(plan, adds_room=True)
        RoomImport.objects.create(
            tenant=run.tenant,
            room=self.room,
            manifest_sha256=bundle.manifest_sha256,
            source_room_id=bundle.header.room.id,
            source_server_name=bundle.header.server_name,
            operator=run.operator.name,
            created_at=run.now,
            tip_exported_at=bundle.header.exported_at,
            tip_events=bundle.counts.events,
            tip_room=build_tip_room(bundle.header.room),
            is_signed=run.is_trusted,
        )
        run.record(self.room, events=added)
        increment_counter(IMPORTS_COUNTER)
        increment_counter(IMPORT_BYTES_COUNTER, plan.added_bytes)


def build_tip_room(room: RoomInfo) -> Row:
    """Return the fields of a room that follow its source, unless they were changed here."""
    return {name: getattr(room, name) for name in FOLLOWED_FIELDS}


IMPORTS_COUNTER, IMPORT_BYTES_COUNTER = "room_imports", "room_import_media_bytes"
"""Rooms that were imported, and the bytes of their attachments."""


def _build_result(
    run: BundleImport, plan: MediaPlan, room: Room | None, rewriter: EventRewriter
) -> ImportResult:
    """Return the result; without a room, the result of a dry run."""
    counts = run.bundle.counts
    stripped = {
        **counts.stripped,
        "swp.room.reaction": counts.reactions_stripped,
        "swp.room.redaction": counts.redactions_stripped,
    }
    return ImportResult(
        room_id=room.pk if room else None,
        name=run.bundle.header.room.name,
        workspace=run.target.workspace.slug,
        signature=run.verification.status.value,
        imported=room is not None,
        dry_run=room is None,
        events=counts.kept,
        stripped={kind: count for kind, count in stripped.items() if count},
        references_cut=counts.references_cut,
        media_stored=len(plan.to_store),
        media_already_there=plan.already_there,
        media_infected=plan.infected,
        media_missing=plan.missing,
        warnings=tuple(_iter_warnings(run, plan, rewriter)),
    )


def _iter_warnings(run: BundleImport, plan: MediaPlan, rewriter: EventRewriter) -> Iterator[str]:
    header = run.bundle.header
    room, window = header.room, header.window
    yield from filter(None, [signature_warning(run), erasure_warning(rewriter.erased_events)])
    if rewriter.removed_avatars:
        yield (
            f"{pluralize(rewriter.removed_avatars, 'avatar')} of senders removed: only https "
            "addresses of public hosts and attachments of the bundle are imported."
        )
    if rewriter.replaced_senders:
        yield (
            f"{pluralize(rewriter.replaced_senders, 'event')} from earlier imports got the sender "
            "of this bundle: only a signature from a known key proves an earlier one."
        )
    if room.is_public:
        yield publication_warning(room.name, is_public=run.may_be_public)
    if window:
        since = f"since {window.since} and " if window.since else ""
        until = window.until or "the export"
        yield f"The bundle is partial: it contains only events sent {since}before {until}."
    if room.room_type == RoomType.DM:
        yield "The direct message was imported as a group."
    if room.state != RoomState.OPEN:
        yield f"The room was {room.state}; the imported room is open."
    if plan.missing:
        yield f"{_format_attachments(plan.missing)} missing from the bundle."
    if plan.infected:
        yield f"{_format_attachments(plan.infected)} infected and not imported."


def publication_warning(name: str, *, is_public: bool) -> str:
    if is_public:
        return f"Room {name!r} is public: everyone in the tenant can find and read it."
    return (
        f"Room {name!r} was public and is now private, because no known key has signed the bundle. "
        "Pass --public to keep it public."
    )


def erasure_warning(count: int) -> str | None:
    if not count:
        return None
    return (
        f"{pluralize(count, 'event')} imported without content: they were redacted here, or "
        "`purge-participant` erased the messages of their author here."
    )


def signature_warning(run: BundleImport) -> str | None:
    document, status = run.bundle.signature, run.verification.status
    if status is VerificationStatus.UNKNOWN and document is not None:
        return (
            f"The bundle claims to be signed by {document.server_name} with key {document.key_id}, "
            "but this key is not known here."
        )
    if status is VerificationStatus.UNSIGNED:
        return "The bundle is unsigned, so its origin can't be verified."
    if not run.is_named:
        return (
            f"The bundle is signed by {run.verification.signer}, so all senders are marked as "
            "unverified. To verify the name, pass --descriptor."
        )
    return None


def _format_attachments(count: int) -> str:
    return "1 attachment is" if count == 1 else f"{count:,} attachments are"
