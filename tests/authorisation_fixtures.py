"""Sample data with which every command works."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.test import Client
from django.utils import timezone
from msgspec import to_builtins
from redis import Redis

from federation.keys.ed25519 import to_base64
from federation.keys.lifecycle import generate_key, rotate_key
from federation.models import KnownPeer, ServerKey
from identity_sync.models import PendingRemoval, SyncChange, SyncChangeValues, SyncRun
from rooms.bundle.manifest.schema import WHOLE_ROOM, format_timestamp
from rooms.erasure.certificate import STATEMENT, Certificate
from rooms.erasure.erase_tenant import plan_erasure
from rooms.erasure.plan import ErasureOptions
from rooms.exports.export_room import export_room, load_signer
from rooms.models import (
    DeletedRoom,
    Event,
    Media,
    RemovedFile,
    Room,
    RoomMedia,
    RoomState,
    TenantTask,
    WorkspaceMember,
)
from rooms.moves.export_tenant import ExportTenantOptions, export_tenant
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.operators import get_host_operator
from scaiwave.core.signed_files import add_signature
from scaiwave.operations.backup.manifest import (
    Attachments,
    BackupDraft,
    DatabaseDump,
    Manifest,
)
from scaiwave.operations.jobs.queries import find_job
from scaiwave.operations.jobs.site import ListedJob
from scaiwave.sandbox import Sandbox
from tenants.accounts.sessions import find_sessions
from tenants.audit.record import record_audit
from tenants.audit.seal_audit import seal_audit
from tenants.models import (
    AdminUser,
    Group,
    Hold,
    Participant,
    Partner,
    Restoration,
    Role,
    RoleGrant,
    Tenant,
    TenantErasure,
)
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW
from tests.tenants.audit.seals import make_entry

ENCRYPTION_KEY = Fernet.generate_key().decode()


@dataclass(frozen=True)
class SampleData:
    """A tenant of a partner, which commands act on, and others that they must not touch."""

    scaikey: Sandbox
    directory: Path
    partner: Partner
    other_partner: Partner
    local_partner: Partner
    suspended_partner: Partner
    tenant: Tenant
    other_tenant: Tenant
    local_tenant: Tenant
    suspended_tenant: Tenant
    anna: Participant
    suspended_person: Participant
    removed_person: Participant
    group: Group
    room: Room
    sync_run: SyncRun
    peer: KnownPeer
    archived_room: Room
    administrator: AdminUser
    disabled_administrator: AdminUser

    @classmethod
    def create(cls, scaikey: Sandbox, directory: Path) -> SampleData:
        partner = row_factories.make_partner("north", scaikey_id="prt-north")
        other_partner = row_factories.make_partner("south", scaikey_id="prt-south")
        tenant = row_factories.make_tenant("acme", partner=partner, scaikey_tenant_id="tnt-acme")
        anna = row_factories.make_participant(tenant, scaikey_id="usr-anna")
        cleo = row_factories.make_participant(
            tenant, "cleo", scaikey_id="usr-cleo", absent_since=NOW
        )
        record_audit(
            operator=get_host_operator(),
            action="sample-action",
            subject=tenant,
            tenant=tenant,
            now=NOW,
        )
        return cls(
            scaikey,
            directory,
            partner,
            other_partner,
            row_factories.make_partner("local", scaikey_id=None),
            row_factories.make_partner("paused", scaikey_id=None, suspended_by_hand_at=NOW),
            tenant,
            row_factories.make_tenant(
                "globex", partner=other_partner, scaikey_tenant_id="tnt-globex"
            ),
            row_factories.make_tenant("lab", partner=partner),
            row_factories.make_tenant("idle", partner=partner, suspended_by_hand_at=NOW),
            anna,
            row_factories.make_participant(
                tenant, "bert", scaikey_id="usr-bert", suspended_by_hand_at=NOW
            ),
            cleo,
            _make_crew(tenant),
            _make_room(tenant, anna),
            _make_sync_run(anna, cleo),
            _make_peer(),
            _make_archived_room(anna),
            AdminUser.objects.create_superuser("olga"),
            AdminUser.objects.create_superuser("otto", is_active=False),
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SCAIWAVE_HOME": str(self.directory),
            "SCAIWAVE_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "SCAIWAVE_SCAIKEY_URL": self.scaikey.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": self.scaikey.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": self.scaikey.client_secret,
            "SCAIWAVE_SCAIGRID_URL": self.scaikey.url,
            "SCAIWAVE_PEER_NETWORKS": "127.0.0.0/8",
            "SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true",
        }

    def get_registration_arguments(self) -> list[str]:
        options = ["--name", "chat", "--contact-email", "ops@example.com"]
        return ["--url", self.scaikey.url, "--scope", "GLOBAL", *options, "--no-input"]

    def write_backup(self) -> Path:
        """Write a backup of an SQLite database with one table."""
        directory = self.directory / "backup"
        directory.mkdir(exist_ok=True)
        file = directory / "database.sqlite3"
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("CREATE TABLE django_migrations (app, name)")
        draft = BackupDraft(directory, "scaiwave-20261129T020000Z")
        draft.add(file.name)
        (directory / "manifest.json").unlink(missing_ok=True)
        draft.finish(
            Manifest(
                version=1,
                name=draft.name,
                created_at=NOW,
                scaiwave_version="0.2.0",
                server_name="localhost",
                database=DatabaseDump("sqlite", file.name, "3.46", "3.46", [], {}),
                attachments=Attachments("files", 0, 0, []),
                has_secrets=False,
                files=dict(draft.files),
            ),
            None,
            null_progress_factory,
        )
        return directory

    def export_tenant(self) -> str:
        """Export a tenant without people, who would be the people that are here."""
        directory = self.directory / "moving"
        options = ExportTenantOptions(
            *(directory, False, False, "", 10**8),
            *(lambda: NOW, lambda effect: None, null_progress_factory),
        )
        export_tenant(operator=get_host_operator(), tenant=self.local_tenant.slug, options=options)
        return str(directory)

    def mark_restored(self) -> list[str]:
        """Let this server be a restored one; return the arguments of its activation."""
        Restoration.objects.get_or_create(backup="backup", backup_at=NOW, restored_at=NOW)
        return ["--no-input"]

    def add_full_sync(self) -> list[str]:
        """Let syncs be healthy; return no arguments."""
        now = timezone.now()
        SyncRun.objects.create(operator="root", outcome="applied", started_at=now, ended_at=now)
        return []

    def write_password_file(self) -> str:
        path = self.directory / "password"
        path.write_text("correct horse battery staple\n")
        path.chmod(0o600)
        return str(path)

    def create_keys(self, count: int) -> None:
        for number in range(count):
            make = rotate_key if number else generate_key
            make(operator=get_host_operator(), now=NOW)

    def add_old_audit_entry(self) -> list[str]:
        """Let a day of the audit log be due to be sealed; return no arguments."""
        make_entry(timezone.now().date() - timedelta(days=3))
        return []

    def seal_audit(self) -> list[str]:
        """Seal a day of the audit log; return no arguments."""
        self.add_old_audit_entry()
        seal_audit(operator=get_host_operator(), now=timezone.now())
        return []

    def get_old_key(self) -> ServerKey:
        """Return the oldest key, which no longer signs if there are several."""
        return ServerKey.objects.order_by("signs_from", "pk")[0]

    def get_old_key_id(self) -> str:
        return self.get_old_key().key_id

    def get_role(self, slug: str) -> Role:
        return Role.objects.get(tenant=self.tenant, slug=slug)

    def make_pending_removal(self) -> PendingRemoval:
        """Make a removal of Anna that waits for a decision."""
        return PendingRemoval.objects.open().get_or_create(
            tenant=self.tenant,
            kind="participants",
            subject_id=self.anna.pk,
            subject_scaikey_id="usr-anna",
            person_scaikey_id="usr-anna",
            subject_name="Anna",
            loss="removed",
            cause="removed",
            limit_code="tenant",
            defaults={"first_seen_at": NOW, "last_seen_at": NOW},
        )[0]

    def make_hold(self) -> Hold:
        return row_factories.make_hold(self.tenant)

    def make_policy(self) -> Room:
        """Let a retention policy of a room reach its events, and return the room."""
        row_factories.make_policy(self.room, days=1)
        if not Event.objects.filter(room=self.room, created_at__lt=NOW).exists():
            row_factories.make_event(self.room, 1_000, created_at=NOW - timedelta(days=9000))
        return self.room

    def make_policy_of_tenant(self) -> Tenant:
        row_factories.make_policy(self.room, of_tenant=True)
        return self.tenant

    def plan_erasure(self) -> list[str]:
        """Plan the erasure of the suspended tenant, and return the words that apply the plan."""
        file, name = self.directory / "erasure.plan", self.suspended_tenant.slug
        options = ErasureOptions(
            None, 0, True, 2**20, lambda: datetime.now(UTC), null_progress_factory, "over"
        )
        plan_erasure(operator=get_host_operator(), tenant=name, options=options, file=file)
        words = [name, "--apply", str(file), "--reason", "over", "--no-input"]
        return [*words, "--certificate", str(self.directory / "erased.json")]

    def make_task(self, **fields: Any) -> TenantTask:
        """Return a finished task of the suspended tenant."""
        return row_factories.make_tenant_task(self.suspended_tenant, **fields)

    def make_planned_task(self) -> TenantTask:
        file = self.plan_erasure()[2]
        return self.make_task(kind="plan", plan=json.loads(Path(file).read_bytes()))

    def make_erasure(self, **fields: Any) -> TenantErasure:
        return TenantErasure.objects.create(
            tenant_id=self.suspended_tenant.pk, begun_at=NOW, **fields
        )

    def write_certificate(self) -> list[str]:
        file, now = self.directory / "certificate.json", format_timestamp(datetime.now(UTC))
        key = str(self.tenant.pk)
        signer = load_signer(datetime.now(UTC))
        assert signer
        certificate = Certificate(
            "scaiwave-erasure-certificate", 1, "scaiwave", "chat", key, "root", "host",
            now, now, "0" * 32, "0" * 64, "", None, 0, [], 0, key, 0, [], STATEMENT,
            signer.key_id, "ed25519",
        )  # fmt: skip
        file.write_text(json.dumps(add_signature(to_builtins(certificate), signer.sign)))
        return [str(file)]

    def delete_room(self) -> DeletedRoom:
        Room.all_objects.filter(pk=self.archived_room.pk).update(
            deleted_at=NOW, purge_at=NOW + timedelta(days=36500), deletion={"reason": "over"}
        )
        return DeletedRoom.objects.get()

    def attach_file(self) -> RoomMedia:
        media = Media.objects.filter(tenant=self.tenant).first()
        return RoomMedia.objects.get_or_create(
            tenant=self.tenant,
            room=self.room,
            media=media or row_factories.make_media(self.tenant),
            name="photo.png",
            defaults={"created_at": NOW},
        )[0]

    def remove_file(self) -> RemovedFile:
        removed = RemovedFile.objects.first()
        return removed or row_factories.make_removed_file(self.room)

    def make_ended_run(self) -> SyncRun:
        return SyncRun.objects.create(
            tenant=self.tenant, outcome="applied", operator="root", started_at=NOW, ended_at=NOW
        )

    def make_tenant_without_removals(self) -> Tenant:
        self.tenant.sync_removals = False
        self.tenant.save()
        return self.tenant

    def make_silent_peer(self) -> KnownPeer:
        """Make a peer at an address where no server responds."""
        return _make_peer("127.0.0.1:1")

    def plant_failed_job(self) -> ListedJob:
        """Leave a failed job in Redis, which must be configured."""
        redis, job_id = Redis.from_url(settings.REDIS_URL), "full_sync-1"
        call = json.dumps(["identity_sync.jobs.full_sync", None, [], {}])
        redis.hset(
            f"rq:job:{job_id}", mapping={"data": call, "origin": "default", "status": "failed"}
        )
        redis.zadd("rq:failed:default", {job_id: time.time() + 1000})
        return ListedJob(find_job(operator=get_host_operator(), job_id=job_id))

    def write_slack_export(self) -> str:
        files = {
            "users.json": [{"id": "U1", "name": "anna", "profile": {"email": self.anna.email}}],
            "channels.json": [{"id": "C1", "name": "general"}],
            "general/2026-01-02.json": [
                {"type": "message", "user": "U1", "text": "Hello", "ts": "1767312000.000100",
                 "pinned_to": ["C1"], "files": [{"id": "F1", "name": "lost.txt"}]}
            ],
        }  # fmt: skip
        directory = self.directory / "slack"
        for name, rows in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(json.dumps(rows))
        return str(directory)

    def write_conversion(self) -> str:
        directory = self.directory / "matched"
        directory.mkdir(exist_ok=True)
        people = [{"id": "U1", "name": "Anna", "email": self.anna.email}]
        (directory / "conversion.json").write_text(json.dumps({"people": people}))
        return str(directory)

    def make_session(self) -> str:
        """Sign the administrator in, and return the ID of the session."""
        Client().force_login(self.administrator, "django.contrib.auth.backends.ModelBackend")
        return find_sessions()[str(self.administrator.pk)][0].id

    def make_running_sync(self) -> SyncRun:
        return SyncRun.objects.create(
            trigger="manual", operator="host", started_at=NOW, outcome="running"
        )

    def write_bundle(self) -> str:
        path = self.directory / "in.zip"
        exported = export_room(
            operator=get_host_operator(),
            tenant=self.tenant.slug,
            room=str(self.room.pk),
            window=WHOLE_ROOM,
            with_media=True,
            now=NOW,
        )
        path.write_bytes(b"".join(exported))
        return str(path)


def _make_crew(tenant: Tenant) -> Group:
    group = Group.objects.create(tenant=tenant, name="Crew", **row_factories.TIMESTAMPS)
    role = Role.objects.create(tenant=tenant, slug="crew-lead", name="Lead", created_at=NOW)
    RoleGrant.objects.create(
        tenant=tenant, role=role, group=group, granted_by="root", created_at=NOW
    )
    Role.objects.create(tenant=tenant, slug="unused", name="Unused", created_at=NOW)
    return group


def _make_room(tenant: Tenant, anna: Participant) -> Room:
    workspace = row_factories.make_workspace(tenant)
    WorkspaceMember.objects.create(
        tenant=tenant, workspace=workspace, participant=anna, role="owner", created_at=NOW
    )
    room = row_factories.make_room(workspace, anna)
    row_factories.make_event(room, 1)
    return room


def _make_archived_room(anna: Participant) -> Room:
    """Make it in a tenant's second workspace, so that the first one has one room."""
    workspace = row_factories.make_workspace(anna.tenant, "old")
    return row_factories.make_room(workspace, anna, "Archive", state=RoomState.ARCHIVED)


def _make_peer(server_name: str = "chat.example.com") -> KnownPeer:
    return KnownPeer.objects.create(
        server_name=server_name,
        public_key=to_base64(bytes(32)),
        protocol_versions=["v1"],
        first_seen_at=NOW,
        last_seen_at=NOW,
    )


def _make_sync_run(anna: Participant, removed: Participant) -> SyncRun:
    run = SyncRun.objects.create(
        tenant=anna.tenant, operator="root", outcome="applied", started_at=NOW, ended_at=NOW
    )
    change = SyncChange.objects.create(
        run=run,
        tenant=anna.tenant,
        kind="participants",
        action="update",
        subject_id=anna.pk,
        subject_scaikey_id="usr-anna",
        subject_name="Anna",
        fields="display_name",
        reason_code="changed",
    )
    SyncChangeValues.objects.create(change=change, values={"display_name": ["Ann", "Anna"]})
    SyncChange.objects.create(
        run=run,
        tenant=removed.tenant,
        kind="participants",
        action="deactivate",
        subject_id=removed.pk,
        subject_scaikey_id="usr-cleo",
        subject_name="Cleo",
        reason_code="removed",
    )
    return run
