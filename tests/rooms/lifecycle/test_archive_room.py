"""Rooms that are archived and reopened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rooms.errors import RoomClosed, RoomNotFound
from rooms.lifecycle.archive_room import archive_room, reopen_room
from rooms.models import Room
from scaiwave.core.change import Change
from scaiwave.core.errors import InsufficientPermission
from tenants.errors import InvalidName, TenantNotFound
from tenants.models import AuditEntry
from tests.concurrency import run_concurrently
from tests.scaiwave.row_factories import NOW, make_participant, make_room, make_workspace
from tests.tenants.factories import (
    HOST_OPERATOR,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


@pytest.fixture
def room() -> Room:
    tenant = make_tenant(partner=make_partner())
    return make_room(make_workspace(tenant), make_participant(tenant), room_alias="lobby")


def archive(**changes: Any) -> Change:
    arguments = {"operator": HOST_OPERATOR, "name": "lobby", "tenant": "acme", "now": NOW}
    return archive_room(**{**arguments, "reason": "over", **changes})


def reopen(**changes: Any) -> Change:
    arguments = {"operator": HOST_OPERATOR, "name": "lobby", "tenant": "acme", "now": NOW}
    return reopen_room(**{**arguments, "reason": "", **changes})


def test_success_archived_and_audited(room: Room) -> None:
    assert archive().subject["state"] == "archived"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.tenant_slug) == (
        "archive-room",
        str(room.pk),
        "acme",
    )
    assert entry.details == {"reason": "over"}
    assert reopen().subject["state"] == "open"
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == [
        "archive-room",
        "reopen-room",
    ]


def test_success_commands(room: Room) -> None:
    where = ("lobby", "--tenant", "acme")
    assert run_command("archive_room", *where, "--dry-run") == "Would archive room Lobby.\n"
    assert Room.objects.get().state == "open"
    assert run_command("archive_room", *where, "--reason=over") == "Room Lobby archived.\n"
    shown = "Room Lobby is already archived; nothing changed.\n"
    assert run_command("archive_room", *where) == shown
    assert run_command("archive_room", *where, "--dry-run") == shown
    document = json.loads(run_command("archive_room", *where, "--json"))
    assert (document["changed"], document["room"]["state"]) == (False, "archived")
    dry = json.loads(run_command("reopen_room", *where, "--json", "--dry-run"))
    assert (dry["changed"], dry["dry_run"], dry["room"]["state"]) == (True, True, "archived")
    assert run_command("reopen_room", *where) == "Room Lobby reopened.\n"
    assert run_command("reopen_room", *where) == "Room Lobby is already open; nothing changed.\n"
    assert AuditEntry.objects.count() == 2


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_archive_it_once(room: Room) -> None:
    results = run_concurrently(*[archive] * 3)
    assert sorted(result.changed for result in results) == [False, False, True]
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize("act", [archive, reopen])
@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_closed(act: Callable[..., Any], dry_run: bool, room: Room) -> None:
    Room.objects.update(state="closed")
    with pytest.raises(RoomClosed) as caught:
        act(dry_run=dry_run)
    assert caught.value.message == "Room Lobby is closed."
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("act", [archive, reopen])
def test_fail_not_allowed_or_unknown(act: Callable[..., Any], room: Room) -> None:
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(room.tenant)):
        with pytest.raises(InsufficientPermission):
            act(operator=operator)
    with pytest.raises(TenantNotFound):
        act(operator=make_partner_admin(make_partner("south")))
    with pytest.raises(RoomNotFound):
        act(name="nowhere")
    with pytest.raises(InvalidName):
        act(reason="a\nb")
    assert not AuditEntry.objects.exists()
