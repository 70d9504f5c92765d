"""Rows of every model, as many as asked for, each tied to rows of the others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from django.contrib.auth.models import Permission

from federation.models import KnownPeer, Policy, ServerKey
from identity_sync.models import Registration, SyncChange, SyncRun, SyncSkip, WebhookEvent
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    SearchBackfill,
    SearchDocument,
    SearchRange,
    StreamCounter,
    Workspace,
    WorkspaceMember,
)
from scaiwave.ids import new_id
from tenants.models import (
    AdminUser,
    AuditEntry,
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
    TokenUsage,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SINCE = {"created_at": NOW, "updated_at": NOW}


def partner(name: str = "north", **fields: Any) -> Partner:
    return Partner.objects.create(slug=name, name=name.title(), **{**SINCE, **fields})


def tenant(slug: str = "acme", **fields: Any) -> Tenant:
    return Tenant.objects.create(slug=slug, name=slug.title(), **{**SINCE, **fields})


def participant(of: Tenant, name: str = "anna", **fields: Any) -> Participant:
    given = {"display_name": name.title(), "email": f"{name}@example.com", **SINCE, **fields}
    return Participant.objects.create(tenant=of, local_id=f"{name}.{of.slug}", **given)


def workspace(of: Tenant, slug: str = "main", **fields: Any) -> Workspace:
    return Workspace.objects.create(tenant=of, slug=slug, name=slug, **{**SINCE, **fields})


def room(of: Workspace, by: Participant, name: str = "Lobby", **fields: Any) -> Room:
    given = {"name": name, **SINCE, **fields}
    return Room.objects.create(tenant=of.tenant, workspace=of, creator=by, **given)


def event(of: Room, position: int, **fields: Any) -> Event:
    given = {
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": "Grüße aus 東京"},
        "origin_ts": 1_772_600_000,
        "created_at": NOW,
        "sender": of.creator,
        **fields,
    }
    return Event.objects.create(tenant=of.tenant, room=of, stream_position=position, **given)


def media(of: Tenant, text: str = "bytes", **fields: Any) -> Media:
    given = {"mime_type": "image/png", "size": len(text), "scan_status": "clean", **fields}
    given.setdefault("sha256", sha256(text.encode()).hexdigest())
    return Media.objects.create(tenant=of, created_at=NOW, **given)


def everything(number: int) -> Tenant:
    """One row of every model, in a tenant of its own; the number keeps them apart."""
    owner = partner(f"partner{number}")
    of = tenant(f"tenant{number}", partner=owner, scaikey_tenant_id=f"scaikey-{number}")
    anna = participant(of, f"anna{number}")
    _people(of, anna, number)
    _talk(of, anna, number)
    _runs(of, anna, number)
    return of


def _people(of: Tenant, anna: Participant, number: int) -> None:
    group = Group.objects.create(tenant=of, name=f"Group {number}", **SINCE)
    membership = {"tenant": of, "group": group, "member_participant": anna}
    GroupMembership.objects.create(**membership, **SINCE)
    role = Role.objects.create(tenant=of, slug="admins", name="Admins", created_at=NOW)
    grant = {"granted_by": "root", "created_at": NOW}
    RoleGrant.objects.create(tenant=of, role=role, participant=anna, **grant)
    spent = {"total_tokens": 10, "fetched_at": NOW}
    TokenUsage.objects.create(tenant=of, month=date(2026, 3, 1), **spent)
    # As it is kept; hashing one takes half a second.
    user = AdminUser.objects.create(username=f"operator{number}", password="pbkdf2$never")
    user.user_permissions.set(Permission.objects.all()[:3])


def _talk(of: Tenant, anna: Participant, number: int) -> None:
    place = workspace(of)
    joined = {"tenant": of, "participant": anna}
    WorkspaceMember.objects.create(workspace=place, role="owner", created_at=NOW, **joined)
    lobby = room(place, anna, f"Lobby {number}")
    RoomMember.objects.create(room=lobby, power_level=100, joined_at=NOW, **joined)
    said = event(lobby, number + 1)
    shown = {"stream_position": said.stream_position, "body": said.content["body"]}
    SearchDocument.objects.create(tenant=of, event=said, **shown)
    asked = {"scope": f"tenant={of.pk}", "tenant": of, "operator": "root"}
    run = SearchBackfill.objects.create(started_at=NOW, **asked)
    SearchRange.objects.create(
        backfill=run, tenant=of, first=1, last=number + 1, done_through=0, events=1
    )
    shown = {"room": lobby, "media": media(of), "name": "photo.png"}
    RoomMedia.objects.create(tenant=of, created_at=NOW, **shown)
    StreamCounter.objects.create(tenant=of, last_position=number + 1)
    ImportIntent.objects.create(tenant=of, hashes=["0" * 64], operator="root", started_at=NOW)
    source = {"manifest_sha256": "0" * 64, "source_room_id": str(new_id()), "operator": "root"}
    RoomImport.objects.create(tenant=of, room=lobby, created_at=NOW, **source)


def _runs(of: Tenant, anna: Participant, number: int) -> None:
    counts = {"participants": {"seen": 9, "added": 2, "updated": 0, "deactivated": 1}}
    told = {"operator": "root", "outcome": "applied", "started_at": NOW}
    run = SyncRun.objects.create(tenant=of, counts=counts, duration_seconds=1.25, **told)
    did = {"kind": "participants", "action": "added", "reason": "new in ScaiKey"}
    SyncChange.objects.create(run=run, tenant=of, subject_id=anna.pk, fields="email,name", **did)
    SyncSkip.objects.create(
        tenant=of,
        kind="participants",
        subject_scaikey_id=f"usr_skipped_{number}",
        reason="postponed: no answer",
        first_skipped_at=NOW,
        last_skipped_at=NOW,
    )
    WebhookEvent.objects.create(
        event_id=f"evt_{number}", event_type="user.updated", received_at=NOW, run=run
    )
    asked = {"scope": "GLOBAL", "contact_email": "ops@example.com", "requested_at": NOW}
    Registration.objects.create(
        scaikey_url="http://localhost", request_id=f"request-{number}", name="Us", **asked
    )
    half = {"public_key": "cHVibGlj", "private_key_encrypted": "never to be seen either"}
    ServerKey.objects.create(key_id=f"key{number}", created_at=NOW, signs_from=NOW, **half)
    Policy.objects.get_or_create(number=1, defaults={"updated_at": NOW})
    seen = {"first_seen_at": NOW, "last_seen_at": NOW}
    KnownPeer.objects.create(server_name=f"peer{number}.example", public_key="cHVi", **seen)
    subject = {"subject_type": "tenant", "subject_id": str(new_id()), "subject_name": of.slug}
    AuditEntry.objects.create(
        at=NOW,
        operator="root",
        operator_role="host",
        action="create-tenant",
        tenant_id=str(of.pk),
        tenant_slug=of.slug,
        details={"slug": of.slug},
        **subject,
    )
