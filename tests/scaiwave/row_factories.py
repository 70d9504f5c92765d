"""Factories for rows of every model, with fixed times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.contrib.auth.models import Permission

from federation.models import KnownPeer, Policy, ServerKey
from identity_sync.models import (
    PendingRemoval,
    Registration,
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
    WebhookEvent,
)
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    RemovedFile,
    RetentionPolicy,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    SearchBackfill,
    SearchDocument,
    SearchRange,
    StreamCounter,
    TenantImport,
    TenantTask,
    Workspace,
    WorkspaceMember,
)
from scaiwave.ids import new_id
from scaiwave.operations.overview.stored import name_scope
from tenants.models import (
    AdminUser,
    AuditChain,
    AuditEntry,
    AuditPruning,
    AuditSeal,
    AuditSealPart,
    Counter,
    DailyFigures,
    DoctorRun,
    Group,
    GroupMembership,
    Hold,
    Notice,
    Participant,
    Partner,
    Restoration,
    Role,
    RoleGrant,
    SchemaState,
    StoredOverview,
    Tenant,
    TenantErasure,
    TokenUsage,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TIMESTAMPS = {"created_at": NOW, "updated_at": NOW}


def make_partner(slug: str = "north", **fields: Any) -> Partner:
    return Partner.objects.create(slug=slug, **{"name": slug.title(), **TIMESTAMPS, **fields})


def make_tenant(slug: str = "acme", **fields: Any) -> Tenant:
    return Tenant.objects.create(slug=slug, **{"name": slug.title(), **TIMESTAMPS, **fields})


def make_participant(tenant: Tenant, name: str = "anna", **fields: Any) -> Participant:
    values = {"display_name": name.title(), "email": f"{name}@example.com", **TIMESTAMPS, **fields}
    return Participant.objects.create(tenant=tenant, local_id=f"{name}.{tenant.slug}", **values)


def make_workspace(tenant: Tenant, slug: str = "main", **fields: Any) -> Workspace:
    values = {"name": slug, **TIMESTAMPS, **fields}
    return Workspace.objects.create(tenant=tenant, slug=slug, **values)


def make_room(
    workspace: Workspace, creator: Participant, name: str = "Lobby", **fields: Any
) -> Room:
    values = {"name": name, "creator": creator, **TIMESTAMPS, **fields}
    return Room.objects.create(tenant=workspace.tenant, workspace=workspace, **values)


def make_event(room: Room, position: int, **fields: Any) -> Event:
    values = {
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": "Grüße aus 東京"},
        "origin_ts": 1_772_600_000,
        "created_at": NOW,
        "sender": room.creator,
        **fields,
    }
    return Event.objects.create(tenant=room.tenant, room=room, stream_position=position, **values)


def make_media(tenant: Tenant, text: str = "bytes", **fields: Any) -> Media:
    values = {"mime_type": "image/png", "size": len(text), "scan_status": "clean", **fields}
    values.setdefault("sha256", sha256(text.encode()).hexdigest())
    return Media.objects.create(tenant=tenant, created_at=NOW, **values)


def make_removed_file(room: Room, name: str = "removed.png", **fields: Any) -> RemovedFile:
    media = fields.pop("media", None) or make_media(room.tenant, name)
    values = {
        "media": media,
        "sha256": media.sha256,
        "reason": "not allowed",
        "removed_at": NOW,
        "purge_at": NOW + timedelta(days=7),
        **fields,
    }
    return RemovedFile.objects.create(tenant=room.tenant, room=room, name=name, **values)


def make_row_of_every_model(number: int) -> Tenant:
    """Return a tenant with one row of every model. The number makes the rows unique."""
    partner = make_partner(f"partner{number}")
    tenant = make_tenant(f"tenant{number}", partner=partner, scaikey_tenant_id=f"scaikey-{number}")
    anna = make_participant(tenant, f"anna{number}")
    _make_directory_rows(tenant, anna, number)
    _make_room_rows(tenant, anna, number)
    _make_sync_rows(tenant, anna, number)
    _make_server_rows(tenant, number)
    return tenant


def _make_directory_rows(tenant: Tenant, anna: Participant, number: int) -> None:
    group = Group.objects.create(tenant=tenant, name=f"Group {number}", **TIMESTAMPS)
    GroupMembership.objects.create(
        tenant=tenant, group=group, member_participant=anna, **TIMESTAMPS
    )
    role = Role.objects.create(tenant=tenant, slug="admins", name="Admins", created_at=NOW)
    RoleGrant.objects.create(
        tenant=tenant, role=role, participant=anna, granted_by="root", created_at=NOW
    )
    make_hold(tenant, participant=anna)
    TenantErasure.objects.create(tenant_id=new_id(), begun_at=NOW, finished_at=NOW)
    TokenUsage.objects.create(
        tenant=tenant, month=date(2026, 3, 1), total_tokens=10, fetched_at=NOW
    )
    DailyFigures.objects.create(
        day=date(2026, 3, number % 28 + 1),
        recorded_at=NOW,
        tenants=1,
        members=2,
        rooms=3,
        storage_bytes=4,
    )
    StoredOverview.objects.update_or_create(
        scope=name_scope(None),
        defaults={"built_at": NOW, "document": {"tasks": [], "charts": []}},
    )
    Counter.objects.create(name=f"room_exports{number}", value=number)
    # Not hashed, which would take half a second.
    user = AdminUser.objects.create(username=f"operator{number}", password="pbkdf2$never")
    user.user_permissions.set(Permission.objects.all()[:3])


def make_hold(tenant: Tenant, **fields: Any) -> Hold:
    values = {"reason": "case 26-118", "placed_by": "root", "placed_at": NOW, **fields}
    return Hold.objects.create(tenant=tenant, **values)


def make_policy(room: Room, days: int = 36_500, *, of_tenant: bool = False) -> RetentionPolicy:
    """Return the retention policy of a room, or of its tenant."""
    scope = f"tenant={room.tenant_id}" if of_tenant else f"room={room.pk}"
    values = {"tenant": room.tenant, "room": None if of_tenant else room, "days": days}
    defaults = {"updated_at": NOW, **values}
    return RetentionPolicy.objects.get_or_create(scope=scope, defaults=defaults)[0]


def make_pending_removal(
    tenant: Tenant, number: int, *, at: datetime = NOW, **fields: Any
) -> PendingRemoval:
    values = {
        "kind": "participants",
        "subject_id": new_id(),
        "subject_scaikey_id": f"usr_waiting_{number}",
        "person_scaikey_id": f"usr_waiting_{number}",
        "subject_name": f"Waiting {number}",
        "loss": "removed",
        "cause": "removed",
        "limit_code": "tenant",
    }
    return PendingRemoval.objects.create(
        tenant=tenant, first_seen_at=at, last_seen_at=at, **{**values, **fields}
    )


def _make_room_rows(tenant: Tenant, anna: Participant, number: int) -> None:
    workspace = make_workspace(tenant)
    member = {"tenant": tenant, "participant": anna}
    WorkspaceMember.objects.create(workspace=workspace, role="owner", created_at=NOW, **member)
    lobby = make_room(workspace, anna, f"Lobby {number}")
    RoomMember.objects.create(room=lobby, power_level=100, joined_at=NOW, **member)
    message = make_event(lobby, number + 1)
    SearchDocument.objects.create(
        tenant=tenant,
        event=message,
        stream_position=message.stream_position,
        body=message.content["body"],
    )
    backfill = SearchBackfill.objects.create(
        scope=f"tenant={tenant.pk}", tenant=tenant, operator="root", started_at=NOW
    )
    SearchRange.objects.create(
        backfill=backfill, tenant=tenant, first=1, last=number + 1, done_through=0, events=1
    )
    RoomMedia.objects.create(
        tenant=tenant, room=lobby, media=make_media(tenant), name="photo.png", created_at=NOW
    )
    deletion = {"purge_at": NOW + timedelta(days=7), "deletion": {"reason": "over"}}
    make_room(workspace, anna, f"Deleted {number}", deleted_at=NOW, **deletion)
    make_removed_file(lobby, media=Media.objects.get(tenant=tenant))
    make_policy(lobby)
    StreamCounter.objects.create(tenant=tenant, last_position=number + 1)
    ImportIntent.objects.create(tenant=tenant, hashes=["0" * 64], operator="root", started_at=NOW)
    RoomImport.objects.create(
        tenant=tenant,
        room=lobby,
        created_at=NOW,
        manifest_sha256="0" * 64,
        source_room_id=str(new_id()),
        operator="root",
    )
    TenantImport.objects.create(
        tenant=tenant,
        source_tenant_id=new_id(),
        source_server_name="old.example.org",
        is_new=True,
        operator="root",
        started_at=NOW,
        finished_at=NOW,
    )
    make_tenant_task(tenant)


def make_tenant_task(tenant: Tenant, **fields: Any) -> TenantTask:
    """Return a finished export, unless the fields say otherwise."""
    values = {
        "kind": "export",
        "state": "finished",
        "directory": "/var/lib/scaiwave/exports/acme-20261124-120000",
        "result": {
            "rooms": 12,
            "rooms_not_exported": 0,
            "events": 4800,
            "size_bytes": 7_340_032,
            "host": "chat1",
            "not_exported": {},
        },
        "requested_at": NOW,
        **fields,
    }
    return TenantTask.objects.create(tenant=tenant, **values)


def _make_sync_rows(tenant: Tenant, anna: Participant, number: int) -> None:
    run = SyncRun.objects.create(
        tenant=tenant,
        counts={"participants": {"seen": 9, "added": 2, "updated": 0, "deactivated": 1}},
        duration_seconds=1.25,
        operator="root",
        outcome="applied",
        started_at=NOW,
        losses=[["people", str(tenant.pk), 1]],
    )
    change = SyncChange.objects.create(
        run=run,
        tenant=tenant,
        subject_id=anna.pk,
        fields="email,name",
        kind="participants",
        action="added",
        reason_code="added",
    )
    SyncChangeValues.objects.create(change=change, values={"email": ["a@b.example", "c@d.example"]})
    SyncPlannedChange.objects.create(
        run=run,
        tenant=tenant,
        tenant_slug=tenant.slug,
        kind="participants",
        action="deactivate",
        is_removal=True,
        subject_id=anna.pk,
        subject_name=f"Anna {number}",
        values={"status": ["active", "deactivated"]},
        reason_code="removed",
    )
    make_pending_removal(tenant, number)
    SyncSkip.objects.create(
        tenant=tenant,
        kind="participants",
        subject_scaikey_id=f"usr_skipped_{number}",
        reason_code="lookup_failed",
        detail="no answer",
        first_skipped_at=NOW,
        last_skipped_at=NOW,
    )
    WebhookEvent.objects.create(
        event_id=f"evt_{number}", event_type="user.updated", received_at=NOW, run=run
    )
    Registration.objects.create(
        scaikey_url="http://localhost",
        request_id=f"request-{number}",
        name="Us",
        scope="GLOBAL",
        contact_email="ops@example.com",
        requested_at=NOW,
    )


def _make_audit_seals(number: int) -> None:
    day = NOW.date() - timedelta(days=number)
    signed = {"key_id": f"key{number}", "statement": "{}", "signature": "c2lnbmF0dXJl"}
    AuditChain.objects.get_or_create(number=1, defaults={"open_from": new_id()})
    AuditSeal.objects.create(number=number + 1, day=day, entries=2, sealed_at=NOW, **signed)
    AuditSealPart.objects.create(day=day, number=0, hashes=b"0" * 96)
    AuditPruning.objects.create(through=day, entries=3, pruned_at=NOW, **signed)


def _make_server_rows(tenant: Tenant, number: int) -> None:
    ServerKey.objects.create(
        key_id=f"key{number}",
        created_at=NOW,
        signs_from=NOW,
        public_key="cHVibGlj",
        private_key_encrypted="never to be seen either",
    )
    Policy.objects.get_or_create(number=1, defaults={"updated_at": NOW})
    DoctorRun.objects.get_or_create(
        number=1, defaults={"ran_at": NOW, "operator": "root", "is_healthy": True}
    )
    SchemaState.objects.get_or_create(number=1, defaults={"oldest_served": "0.4.0"})
    Notice.objects.create(topic=f"topic{number}", seen_at=NOW, attempted_at=NOW, error="refused")
    Restoration.objects.get_or_create(
        number=1,
        defaults={"backup": "b", "backup_at": NOW, "restored_at": NOW},
    )
    _make_audit_seals(number)
    KnownPeer.objects.create(
        server_name=f"peer{number}.example",
        public_key="cHVi",
        first_seen_at=NOW,
        last_seen_at=NOW,
    )
    AuditEntry.objects.create(
        at=NOW,
        operator="root",
        operator_role="host",
        action="create-tenant",
        tenant_id=str(tenant.pk),
        tenant_slug=tenant.slug,
        details={"slug": tenant.slug},
        subject_type="tenant",
        subject_id=str(new_id()),
        subject_name=tenant.slug,
    )
