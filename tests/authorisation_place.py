"""A database in which every command finds what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from federation.models import ServerKey
from federation.services.keys import generate_key, rotate_key
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.models import Room, WorkspaceMember
from rooms.services.exports.export_room import export_room
from scaiwave.auth.operators import get_host_operator
from scaiwave.sandbox import Sandbox
from tenants.models import Group, Participant, Partner, Role, RoleGrant, Tenant
from tenants.services.audit import record_audit
from tests.scaiwave import rows
from tests.scaiwave.rows import NOW

ENCRYPTION_KEY = Fernet.generate_key().decode()


@dataclass(frozen=True)
class Place:
    """One tenant of one partner, to which things happen, and others that are only there."""

    scaikey: Sandbox
    folder: Path
    partner: Partner
    other_partner: Partner
    tenant: Tenant
    other_tenant: Tenant
    local_tenant: Tenant
    suspended_tenant: Tenant
    anna: Participant
    suspended_person: Participant
    group: Group
    room: Room

    @classmethod
    def made(cls, scaikey: Sandbox, folder: Path) -> Place:
        partner = rows.partner("north", scaikey_id="prt-north")
        other_partner = rows.partner("south", scaikey_id="prt-south")
        tenant = rows.tenant("acme", partner=partner, scaikey_tenant_id="tnt-acme")
        anna = rows.participant(tenant, scaikey_id="usr-anna")
        record_audit(
            operator=get_host_operator(), action="seen-to", subject=tenant, tenant=tenant, now=NOW
        )
        return cls(
            scaikey,
            folder,
            partner,
            other_partner,
            tenant,
            rows.tenant("globex", partner=other_partner, scaikey_tenant_id="tnt-globex"),
            rows.tenant("lab", partner=partner),
            rows.tenant("idle", partner=partner, suspended_by_hand_at=NOW),
            anna,
            rows.participant(tenant, "bert", scaikey_id="usr-bert", suspended_by_hand_at=NOW),
            _crew(tenant),
            _room(tenant, anna),
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SCAIWAVE_HOME": str(self.folder),
            "SCAIWAVE_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "SCAIWAVE_SCAIKEY_URL": self.scaikey.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": self.scaikey.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": self.scaikey.client_secret,
            "SCAIWAVE_SCAIGRID_URL": self.scaikey.url,
            "SCAIWAVE_PEER_NETWORKS": "127.0.0.0/8",
            "SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true",
        }

    def registration(self) -> list[str]:
        who = ["--name", "chat", "--contact-email", "ops@example.com"]
        return ["--url", self.scaikey.url, "--scope", "GLOBAL", *who, "--no-input"]

    def password_file(self) -> str:
        path = self.folder / "password"
        path.write_text("correct horse battery staple\n")
        path.chmod(0o600)
        return str(path)

    def have_keys(self, count: int) -> None:
        for number in range(count):
            make = rotate_key if number else generate_key
            make(operator=get_host_operator(), now=NOW)

    def key_id(self) -> str:
        """Of a key that signs no more."""
        return ServerKey.objects.order_by("signs_from", "pk")[0].key_id

    def bundle(self) -> str:
        path = self.folder / "in.zip"
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


def _crew(tenant: Tenant) -> Group:
    group = Group.objects.create(tenant=tenant, name="Crew", **rows.SINCE)
    held = Role.objects.create(tenant=tenant, slug="crew-lead", name="Lead", created_at=NOW)
    RoleGrant.objects.create(
        tenant=tenant, role=held, group=group, granted_by="root", created_at=NOW
    )
    Role.objects.create(tenant=tenant, slug="unheld", name="Unheld", created_at=NOW)
    return group


def _room(tenant: Tenant, anna: Participant) -> Room:
    workspace = rows.workspace(tenant)
    WorkspaceMember.objects.create(
        tenant=tenant, workspace=workspace, participant=anna, role="owner", created_at=NOW
    )
    room = rows.room(workspace, anna)
    rows.event(room, 1)
    return room
