"""Holds: who places and lifts them, what the list shows, and that what they cover stays."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from identity_sync.models import SyncChange, SyncChangeValues, SyncRun
from identity_sync.sync.record.history import delete_expired_values
from identity_sync.sync.record.prune import count_old_runs, delete_old_runs
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.change import Change
from scaiwave.core.errors import InsufficientPermission, ScaiWaveError, UsageError
from tenants.errors import (
    HoldNotFound,
    InvalidName,
    ParticipantOnHold,
    PurgeRefused,
    RoomOnHold,
    TenantOnHold,
)
from tenants.holds.hold import add_hold, lift_hold
from tenants.holds.queries import covers_q, list_holds
from tenants.models import AuditEntry, Hold, Participant, Partner, Tenant
from tenants.people.purge_participant import (
    purge_participant,
    purge_participants,
)
from tests.scaiwave import row_factories
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def place(**subject: Any) -> Hold:
    change = add_hold(operator=HOST_OPERATOR, now=NOW, **{"reason": "case 26-118", **subject})
    return Hold.objects.get(pk=change.subject["id"])


def lift(hold: Hold) -> None:
    lift_hold(
        operator=HOST_OPERATOR,
        hold=str(hold.pk),
        reason="closed",
        confirm=lambda question: None,
        now=NOW,
    )


def purge(person: Participant) -> None:
    purge_participant(
        operator=HOST_OPERATOR,
        name=str(person.pk),
        reason="",
        confirm=lambda question: None,
        now=NOW,
    )


def purge_all() -> Change:
    return purge_participants(
        operator=HOST_OPERATOR,
        days=1,
        limit=9,
        confirm=lambda question: None,
        now=NOW,
        progress_factory=null_progress_factory,
    )


def make_room_of(person: Participant) -> Any:
    """Make a room in which the person has written without being a member of it."""
    workspace = row_factories.make_workspace(person.tenant)
    owner = make_person(person.tenant, "owner")
    room = row_factories.make_room(workspace, owner)
    row_factories.make_event(room, 1, sender=person)
    return room


@pytest.mark.parametrize(
    ("level", "error"),
    [("tenant", TenantOnHold), ("participant", ParticipantOnHold), ("room", RoomOnHold)],
)
def test_fail_purging_a_person_whom_a_hold_covers(level: str, error: type[ScaiWaveError]) -> None:
    anna = make_person(make_tenant(), absent_since=EARLIER)
    bert = make_person(make_tenant("other"), "bert", absent_since=EARLIER)
    room = make_room_of(anna)
    hold = place(
        **{"tenant": "acme"} if level != "participant" else {},
        **{"participant": str(anna.pk)} if level == "participant" else {},
        **{"room": str(room.pk)} if level == "room" else {},
    )
    with pytest.raises(error) as caught:
        purge(anna)
    assert (caught.value.exit_code, caught.value.code) == (1, error.code)
    subject = {
        "tenant": "tenant acme",
        "participant": "@anna.acme:localhost",
        "room": f"room {room.name} of acme",
    }[level]
    if level == "room":
        assert caught.value.fix.startswith("`scaiwave admin hold list` shows all holds.")
    else:
        assert caught.value.message == (
            f"Can't purge Anna (@anna.acme:localhost): hold {hold.pk} is on {subject}."
        )
    on = {"tenant": anna.tenant, "participant": anna, "room": f"room {room.pk}"}[level]
    assert str(hold) == f"hold of {NOW:%Y-%m-%d} on {on}"
    result = purge_all()
    assert result.rest == {"due": 1, "purged": 1, "on_hold": 1}
    assert result.warnings == ["Not purged because of a hold: 1 person."]
    anna.refresh_from_db()
    bert.refresh_from_db()
    assert (anna.display_name, bert.display_name) == ("Anna", "Deleted user")
    lift(hold)
    purge(anna)
    anna.refresh_from_db()
    assert anna.purged_at == NOW


def test_success_a_hold_says_nothing_of_people_who_are_still_there(anna: Participant) -> None:
    with pytest.raises(PurgeRefused):
        purge(anna)


def test_success_old_runs_and_values_about_people_on_hold_stay(tenant: Tenant) -> None:
    anna, bert = make_person(tenant), make_person(tenant, "bert")
    runs = {
        person: SyncRun.objects.create(
            operator="root", outcome="applied", started_at=EARLIER - timedelta(days=number)
        )
        for number, person in enumerate((anna, bert), 1)
    }
    SyncRun.objects.create(operator="root", outcome="applied", started_at=NOW)
    for person, run in runs.items():
        change = SyncChange.objects.create(
            run=run, tenant=tenant, kind="participants", action="update", subject_id=person.pk
        )
        SyncChangeValues.objects.create(change=change, values={"email": ["a@b.example", ""]})
    place(participant=str(anna.pk))
    assert delete_expired_values(NOW + timedelta(days=4000), days=1) == 1
    assert (count_old_runs(NOW), delete_old_runs(NOW)) == (1, 1)
    assert list(SyncChangeValues.objects.values_list("change__subject_id", flat=True)) == [anna.pk]


def test_success_the_life_of_a_hold(anna: Participant) -> None:
    hold = place(participant=str(anna.pk))
    words = ("lift_hold", str(hold.pk), "--reason", "closed", "--no-input")
    same = ("add_hold", "--participant", str(anna.pk), "--reason")
    kept = f"Hold {hold.pk} is already on @anna.acme:localhost; nothing changed.\n"
    assert (run_command(*same, "case 26-118"), Hold.objects.count()) == (kept, 1)
    assert run_command(*same, "case 26-118", "--dry-run").startswith(kept)
    assert run_command(*words) == f"Hold {hold.pk} on @anna.acme:localhost lifted.\n"
    assert run_command(*words).endswith("is already lifted; nothing changed.\n")
    assert json.loads(run_command("list_holds", "--json"))["total"] == 0
    (row,) = json.loads(run_command("list_holds", "--lifted", "--json"))["holds"]
    assert (row["reason"], row["lift_reason"], row["lifted_by"]) == (
        "case 26-118",
        "closed",
        Hold.objects.get().lifted_by,
    )
    row_factories.make_hold(anna.tenant)
    assert "Lifted" not in run_command("list_holds")
    heading, _, row = run_command("list_holds", "--lifted").splitlines()
    assert heading.endswith("Lifted by  Why lifted")
    assert row.endswith("  closed")
    entries = AuditEntry.objects.order_by("pk")
    assert [(entry.action, entry.subject_id) for entry in entries] == [
        ("hold add", str(anna.pk)),
        ("hold lift", str(anna.pk)),
    ]


def test_success_lifting_one_of_two_holds_says_that_the_other_remains(tenant: Tenant) -> None:
    hold, other = place(tenant="acme"), place(tenant="acme", reason="case 27-1")
    words = ("lift_hold", str(hold.pk), "--reason", "closed", "--no-input")
    remains = "Another hold on it remains.\n"
    assert run_command(*words, "--dry-run").startswith(
        f"Would lift hold {hold.pk} on tenant acme. {remains}"
    )
    assert run_command(*words) == f"Hold {hold.pk} on tenant acme lifted. {remains}"
    assert remains not in run_command("lift_hold", str(other.pk), *words[2:])


def test_success_pages_of_the_list(tenant: Tenant) -> None:
    holds = [row_factories.make_hold(tenant) for _ in range(3)]
    first = json.loads(run_command("list_holds", "--limit", "2", "--json"))
    assert ([row["id"] for row in first["holds"]], first["total"]) == (
        [str(holds[2].pk), str(holds[1].pk)],
        3,
    )
    rest = json.loads(run_command("list_holds", "--after", first["next_id"], "--json"))
    assert ([row["id"] for row in rest["holds"]], rest["next_id"]) == ([str(holds[0].pk)], None)


def test_success_a_person_who_is_purged_is_erased_from_holds() -> None:
    anna = make_person(make_tenant(), absent_since=EARLIER)
    hold = row_factories.make_hold(make_tenant("other"), placed_by="@ANNA.acme:localhost")
    hold.lifted_by = "anna@acme.example"
    hold.save()
    purge(anna)
    hold.refresh_from_db()
    assert (hold.placed_by, hold.lifted_by) == ("Deleted user", "Deleted user")


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ({}, UsageError),
        ({"participant": "@anna", "room": "lobby"}, UsageError),
        ({"tenant": "acme", "reason": ""}, InvalidName),
    ],
)
def test_fail_no_subject_or_no_reason(subject: dict[str, Any], error: type[Exception]) -> None:
    make_person(make_tenant())
    with pytest.raises(error):
        add_hold(operator=HOST_OPERATOR, now=NOW, **{"reason": "case", **subject})
    assert not Hold.objects.exists()


def test_fail_unknown_hold() -> None:
    with pytest.raises(HoldNotFound):
        run_command("lift_hold", str(uuid4()), "--reason", "closed", "--no-input")
    with pytest.raises(HoldNotFound) as caught:
        run_command("lift_hold", "01a2328c", "--reason", "closed", "--no-input")
    assert caught.value.message == "Hold not found: 01a2328c."


def test_fail_a_partner_sees_its_own_holds_and_changes_none(partner: Partner) -> None:
    """Otherwise a partner could lift a hold that was placed against it."""
    tenant = make_tenant(partner=partner)
    operator = make_partner_admin(partner)
    hold = row_factories.make_hold(tenant)
    row_factories.make_hold(make_tenant("other"))
    with pytest.raises(InsufficientPermission):
        add_hold(operator=operator, tenant="acme", reason="case", now=NOW)
    with pytest.raises(InsufficientPermission):
        lift_hold(
            operator=operator,
            hold=str(hold.pk),
            reason="x",
            confirm=lambda question: None,
            now=NOW,
        )
    for viewer in (operator, make_tenant_admin(tenant)):
        assert [row["id"] for row in list_holds(operator=viewer)] == [hold.pk]


def test_success_only_holds_in_force_cover_rows(anna: Participant) -> None:
    hold = place(participant=str(anna.pk))
    assert list(Participant.objects.filter(covers_q(person="pk"))) == [anna]
    assert not Tenant.objects.filter(covers_q(tenant="pk")).exists()
    lift(hold)
    assert not Participant.objects.filter(covers_q(person="pk")).exists()
