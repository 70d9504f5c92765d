from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.errors import RoomNotFound
from rooms.lookup.rooms import show_room
from rooms.models import Media, Room, RoomImport, RoomMedia, RoomMember
from scaiwave.console.output import to_json
from tenants.audit.record import record_audit
from tenants.errors import TenantNotFound
from tests.scaiwave.row_factories import (
    NOW,
    make_event,
    make_media,
    make_participant,
    make_room,
    make_tenant,
    make_workspace,
)
from tests.tenants.factories import HOST_OPERATOR, make_tenant_admin, run_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def lobby() -> Room:
    acme = make_tenant()
    anna = make_participant(acme)
    return make_room(
        make_workspace(acme), anna, room_alias="lobby", topic="Hello", visibility="shared"
    )


def show(name: str = "lobby", **options: Any) -> dict[str, Any]:
    return show_room(**{"operator": HOST_OPERATOR, "tenant": "acme", **options}, name=name)


def attach(lobby: Room, text: str, *names: str, stored: str | None = None, **fields: Any) -> Media:
    """Attach a file with the hash of the text; its bytes are `stored`, by default the text."""
    attachment = make_media(lobby.tenant, text, **fields)
    if stored != "":
        default_storage.save(attachment.storage_name, ContentFile((stored or text).encode()))
    for name in names:
        RoomMedia.objects.create(
            tenant=lobby.tenant, room=lobby, media=attachment, name=name, created_at=NOW
        )
    return attachment


def test_success_by_id_and_by_alias(lobby: Room) -> None:
    make_event(lobby, 7)
    row = show()
    assert row == show(str(lobby.pk))
    assert (row["name"], row["topic"], row["tenant"]) == ("Lobby", "Hello", "acme")
    assert (row["creator"], row["events"]) == ("@anna.acme:localhost", 1)
    assert (row["exportable"], row["imported_from"], row["audit_entries"]) == (True, None, [])


def test_success_members_by_power_level(lobby: Room) -> None:
    acme = lobby.tenant
    people = (
        (lobby.creator, "join", 50),
        (make_participant(acme, "berta", suspended_by_hand_at=NOW), "ban", 0),
        (make_participant(acme, "chris", participant_type="model"), "join", 100),
    )
    for person, membership, power in people:
        RoomMember.objects.create(
            tenant=acme, room=lobby, participant=person, membership=membership, power_level=power
        )
    keys = ("display_name", "type", "status", "membership", "power_level")
    row = show()
    assert row["members"] == 2
    assert [tuple(member[key] for key in keys) for member in row["memberships"]] == [
        ("Chris", "model", "active", "join", 100),
        ("Anna", "human", "active", "join", 50),
        ("Berta", "human", "suspended", "ban", 0),
    ]


def test_success_media_and_missing_files(lobby: Room) -> None:
    attach(lobby, "whole", "a.txt", "b.txt")
    attach(lobby, "gone", "c.txt", stored="")
    attach(lobby, "longer", "d.txt", stored="short")
    attach(lobby, "virus", "e.txt", stored="", scan_status="infected")
    row = show()
    assert [(row["name"], row["size_bytes"], row["missing_reason"]) for row in row["media"]] == [
        ("a.txt", 5, None),
        ("b.txt", 5, None),
        ("c.txt", 4, "lost"),
        ("d.txt", 6, "lost"),
        ("e.txt", 5, "infected"),
    ]
    assert row["media_bytes"] == 15


def test_success_source_of_an_imported_room(lobby: Room) -> None:
    source = {"source_room_id": "r1", "source_server_name": "old.example", "operator": "root"}
    RoomImport.objects.create(
        tenant=lobby.tenant, room=lobby, manifest_sha256="0" * 64, created_at=NOW, **source
    )
    assert show()["imported_from"] == {
        "room_id": "r1",
        "server_name": "old.example",
        "manifest_sha256": "0" * 64,
        "operator": "root",
        "imported_at": NOW,
    }


def test_success_plain_text(lobby: Room) -> None:
    Room.objects.update(room_type="bridge", read_role_slugs=["sales", "support"])
    RoomMember.objects.create(
        tenant=lobby.tenant, room=lobby, participant=lobby.creator, power_level=100, joined_at=NOW
    )
    photo = attach(lobby, "whole", "photo.png", stored="")
    record_audit(
        operator=HOST_OPERATOR, action="export-room", subject=lobby, tenant=lobby.tenant, now=NOW
    )
    assert run_command("show_room", "lobby", "--tenant", "acme") == (
        "Name           Lobby\n"
        f"ID             {lobby.pk}\n"
        "Alias          lobby\n"
        "Topic          Hello\n"
        "Type           bridge\n"
        "State          open\n"
        "Tenant         acme\n"
        "Workspace      main\n"
        "Creator        @anna.acme:localhost\n"
        "Public         no\n"
        "Federated      no\n"
        "Visibility     shared\n"
        "Read by roles  sales, support\n"
        "Members        1\n"
        "Events         0\n"
        "Last event     -\n"
        "Media          1 (5 B); 1 missing\n"
        "Exportable     no: its type is bridge\n"
        "Imported from  -\n"
        "Created        2026-03-04 05:06:07 UTC\n"
        "Changed        2026-03-04 05:06:07 UTC\n"
        "\n"
        "Members\n"
        "Name  FQID                  Type   Status  Membership  Power  Joined\n"
        "Anna  @anna.acme:localhost  human  active  join          100  2026-03-04 05:06:07 UTC\n"
        "\n"
        "Media\n"
        f"File       Type       Size  Scan   Missing  SHA-256\n"
        f"photo.png  image/png   5 B  clean  lost     {photo.sha256}\n"
        "\n"
        "Recent changes\n"
        "Time                     Operator  Action       Subject\n"
        "2026-03-04 05:06:07 UTC  root      export-room  Lobby\n"
    )
    document = json.loads(run_command("show_room", "lobby", "--tenant", "acme", "--json"))
    assert document == {"room": json.loads(to_json(show()))}


def test_fail_unknown_and_outside_the_scope(lobby: Room) -> None:
    with pytest.raises(RoomNotFound) as caught:
        show("attic")
    assert caught.value.message == "Room not found in tenant acme: attic."
    with pytest.raises(TenantNotFound):
        show(operator=make_tenant_admin(make_tenant("globex", scaikey_tenant_id="tnt_globex")))
