"""Who the people of an export are here."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Model
from pytest_django import Settings

from rooms.errors import TenantImportPeople, TenantImportRefused
from rooms.lookup.authors import find_erasures
from rooms.models import (
    Event,
    RoomImport,
    RoomMedia,
    RoomMember,
    SearchDocument,
    TenantImport,
)
from rooms.moves.abort_import import abort_tenant_import
from rooms.moves.mapping import PeopleOptions, TenantMapping
from rooms.people.export_participant import ParticipantExport
from rooms.search.base import EventRange
from rooms.search.database import SearchIndex
from rooms.search.scope import Scope
from scaiwave.console.progress import null_progress
from scaiwave.core.errors import UsageError
from tenants.errors import (
    InvalidRoleSlug,
    RoleBuiltIn,
    RoomOnHold,
    TenantConflict,
)
from tenants.holds.hold import add_hold
from tenants.models import Group, GroupMembership, Hold, Participant, Role, RoleGrant, Tenant
from tenants.roles.queries.super_admins import find_super_admin_holders
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    export,
    leave,
    make_moving_tenant,
    on_old_server,
    tick,
    verify,
)
from tests.rooms.moves.forged_exports import forge, rewrite, set_value
from tests.scaiwave import row_factories
from tests.tenants.factories import (
    HOST_OPERATOR,
    add_members,
    make_group,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A last export, whose tenant has left; anna has the ScaiKey ID usr_anna."""
    source = make_moving_tenant(events=12)
    Participant.objects.filter(local_id="anna.acme").update(scaikey_id="usr_anna")
    export(source, tmp_path / "out", freeze=True)
    leave(source)
    return tmp_path / "out"


def write_map(path: Path, *rows: str) -> PeopleOptions:
    path.write_text("\n".join(["source_id,participant_id", *rows]))
    return PeopleOptions(path)


def test_success_into_a_tenant_that_was_synced(out: Path, tmp_path: Path) -> None:
    """People by ScaiKey ID, file and e-mail; roles by slug."""
    here = make_tenant("moved", scaikey_tenant_id="tnt_acme")
    anna = make_person(here, "anna", scaikey_id="usr_anna", local_id="anna.here")
    bert = make_person(here, "bert", scaikey_id="usr_bert_here", email="other@acme.example")
    role = Role.objects.create(tenant=here, slug="editors", name="Editors here", created_at=NOW)
    RoleGrant.objects.create(
        tenant=here, role=role, participant=anna, granted_by="root", created_at=NOW
    )
    people = write_map(tmp_path / "map.csv", f"@bert.acme:localhost,{bert.pk}")
    done = bring_alike(out, people=people)
    assert (done.figures["people_mapped"], done.figures["opened"]) == (2, True)
    author = Event.objects.get(tenant=here, content__body="hi")
    assert author.sender == anna
    assert author.content["mentions"] == [str(bert.pk)]
    levels = RoomMember.objects.filter(tenant=here, room=author.room).order_by("-power_level")
    assert [(row.participant, row.power_level) for row in levels] == [(anna, 100), (bert, 7)]
    assert list(Role.objects.filter(tenant=here, slug="editors")) == [role]
    assert RoleGrant.objects.filter(tenant=here, role=role, participant=anna).count() == 1
    assert verify(out, "moved").error is None
    anna.refresh_from_db()
    assert anna.is_active
    # Without the ID of ScaiKey, another import would not find her, whose row stays.
    TenantImport.objects.update(finished_at=None)
    Participant.objects.filter(pk=anna.pk).update(scaikey_id=None, purged_at=tick())
    with pytest.raises(TenantImportRefused, match=f"1 person of .*, first {anna.pk}"):
        abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick())


def test_success_by_email(out: Path) -> None:
    """Only of one active person whom ScaiKey knows."""
    here = make_tenant("moved", scaikey_tenant_id=None)
    bert = make_person(here, "bert", email="BERT@acme.example")
    options = PeopleOptions(match_email=True)
    assert bring(out, people=options, dry_run=True).figures["people_mapped"] == 1
    twin = make_person(here, "twin", email="bert@acme.example")
    assert bring(out, people=options, dry_run=True).figures["people_mapped"] == 0
    Participant.objects.filter(pk=twin.pk).update(scaikey_id=None)
    done = bring(out, people=options)
    assert done.figures["people_mapped"] == 1
    assert str(bert.pk) in TenantImport.objects.get().people.values()


def test_success_known_by_the_name_before(out: Path, settings: Settings) -> None:
    """People with another local ID here: as authors whom bundles and moved rooms name."""
    here = make_tenant("moved", scaikey_tenant_id="tnt_acme")
    anna = make_person(here, "anna", scaikey_id="usr_anna", local_id="anna.here")
    bring(out)
    TenantImport.objects.update(source_server_name="Old.Example")
    carl = make_person(here, "carl")
    room = row_factories.make_room(row_factories.make_workspace(here, "one"), carl, "one")
    names = {"@anna.acme:old.example": 3, "@anna.acme:Old.Example": 2, "@anna.here:old.example": 1}
    picture = row_factories.make_media(here, "face")
    RoomMedia.objects.create(tenant=here, room=room, media=picture, name="f", created_at=NOW)
    RoomImport.objects.create(tenant=here, room=room, created_at=NOW)
    position = Event.objects.latest("stream_position").stream_position
    for fqid, count in names.items():
        sender = {"display_name": "Anna", "fqid": fqid, "avatar_url": ""}
        if fqid != "@anna.here:old.example":
            sender["avatar_url"] = f"media:{picture.pk}"
        for _ in range(count):
            position += 1
            content = {"body": "x", "_imported_sender": sender}
            row_factories.make_event(room, position, sender=carl, content=content)
    content = {"_imported_sender": {"fqid": 5}}
    row_factories.make_event(room, position + 1, sender=carl, content=content)
    own = ParticipantExport(HOST_OPERATOR, anna, NOW, null_progress)
    assert own.rooms[room.pk] == 5
    Participant.objects.filter(pk=anna.pk).update(absent_since=NOW)
    add_hold(operator=HOST_OPERATOR, tenant="moved", room=str(room.pk), reason="case", now=NOW)
    with pytest.raises(RoomOnHold):
        run_command("purge_participant", str(anna.pk), "--with-messages", "--yes")
    Hold.objects.update(lifted_at=NOW)
    run_command("purge_participant", str(anna.pk), "--with-messages", "--yes")
    events = Event.objects.filter(room=room).values_list("content__body", flat=True)
    assert sorted(filter(None, events)) == ["x"]
    named = Event.objects.filter(room=room, content___imported_sender__display_name="Anna")
    assert named.count() == 1
    assert not RoomMedia.objects.filter(room=room).exists()
    erasures = find_erasures(here.pk)
    assert {name for name in names if name in erasures} == {*list(names)[:2]}


def test_success_not_by_the_email_of_others(tmp_path: Path) -> None:
    """Addresses of people who have left, whom ScaiKey doesn't know, or who share it say nothing."""
    source = make_moving_tenant(events=12)
    people = Participant.objects.filter(tenant=source, participant_type="human")
    gone, manual, *twins = (people[number] for number in range(4))
    Participant.objects.filter(pk=gone.pk).update(email="new@acme.example", absent_since=NOW)
    Participant.objects.filter(pk=manual.pk).update(email="boss@acme.example", scaikey_id=None)
    for twin in twins:
        changes = {"email": "twin@acme.example", "scaikey_id": f"usr_{twin.pk}"}
        Participant.objects.filter(pk=twin.pk).update(**changes)
    export(source, tmp_path / "out")
    leave(source)
    here = make_tenant("moved", scaikey_tenant_id=None)
    for name in ("new", "boss", "twin"):
        make_person(here, name, email=f"{name}@acme.example", local_id=f"{name}.here")
    done = bring(tmp_path / "out", people=PeopleOptions(match_email=True), dry_run=True)
    assert (done.figures["people_mapped"], done.lists["refused"]) == (0, [])


def test_success_chosen_by_the_file(out: Path, tmp_path: Path) -> None:
    """No ID in the file means a placeholder; someone else than found before is refused."""
    here = make_tenant("moved", scaikey_tenant_id=None)
    anna = make_person(here, "anna", scaikey_id="usr_anna", local_id="anna.here")
    bert = make_person(here, "bert", email="bert@acme.example", local_id="bert.here")
    agent = make_person(here, "agent", participant_type="agent", local_id="agent.here")
    people = write_map(tmp_path / "map.csv", "@bert.acme:localhost,")
    both = PeopleOptions(people.file, match_email=True)
    assert bring(out, people=both, dry_run=True).figures["people_mapped"] == 1
    people = write_map(
        tmp_path / "map.csv",
        f"@anna.acme:localhost,{bert.pk}",
        f"@bert.acme:localhost,{agent.pk}",
    )
    refused = bring(out, people=people, dry_run=True).lists["refused"]
    assert {row["fqid"]: row["reason"] for row in refused} == {
        "@anna.acme:localhost": f"{anna.pk} by an earlier import or the ScaiKey ID, not {bert.pk} "
        "as the file says",
        "@bert.acme:localhost": f"{agent.pk} is not a human but a agent",
    }


@pytest.mark.parametrize("is_suspended", [False, True])
def test_success_aborted_import_leaves_the_suspension(out: Path, is_suspended: bool) -> None:
    """Only what the import has suspended is active again."""
    here = make_tenant("moved", scaikey_tenant_id=None)
    if is_suspended:
        Tenant.objects.filter(pk=here.pk).update(suspended_by_hand_at=NOW)
    bring(out)
    here.refresh_from_db()
    assert here.is_active != is_suspended
    TenantImport.objects.update(finished_at=None)
    abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick())
    here.refresh_from_db()
    assert here.is_active != is_suspended


def test_success_dry_run_lists_what_syncs_will_do(tmp_path: Path) -> None:
    """Of a new tenant as the export has it, of one that exists as it is."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    Tenant.objects.filter(pk=source.pk).update(sync_removals=False)
    export(source, out)
    leave(source)
    keys = ("scaikey_tenant_id", "sync_removals")
    planned = bring(out, dry_run=True).figures
    assert [planned[key] for key in keys] == ["tnt_acme", False]
    make_tenant("moved", scaikey_tenant_id=None)
    dry, done = bring(out, dry_run=True), bring(out)
    assert [dry.figures[key] for key in keys] == [None, True]
    assert [done.figures[key] for key in keys] == [None, True]
    assert dry.sentence == (
        "Would import tenant moved with 3 rooms. It would be suspended. No changes were made."
    )
    assert done.sentence == (
        "Imported tenant moved with 3 rooms. It was suspended: import an export that was frozen, "
        "or pass --open."
    )


def test_success_suspends_again_what_was_resumed(tmp_path: Path) -> None:
    source = make_moving_tenant(events=12)
    export(source, tmp_path / "out")
    leave(source)
    bring(tmp_path / "out")
    Tenant.objects.filter(slug="moved").update(suspended_by_hand_at=None)
    assert bring(tmp_path / "out", dry_run=True).sentence == (
        "Would import tenant moved with 3 rooms. It would be suspended again. No changes were made."
    )
    with_open = bring(tmp_path / "out", dry_run=True, opens=True)
    assert with_open.sentence == "Would import tenant moved with 3 rooms. No changes were made."
    again = bring(tmp_path / "out")
    assert (again.changed, again.sentence) == (
        True,
        "Imported tenant moved with 3 rooms. It was suspended again: import an export that was "
        "frozen, or pass --open.",
    )
    assert not Tenant.objects.get(slug="moved").is_active


def test_success_without_super_admin(tmp_path: Path) -> None:
    """The role is about every tenant of a server, so an export can't bring it."""
    source = make_moving_tenant(events=12)
    anna = Participant.objects.get(local_id="anna.acme")
    role = Role.objects.create(
        tenant=source, slug="super_admin", name="x", is_built_in=True, created_at=NOW
    )
    RoleGrant.objects.create(
        tenant=source, role=role, participant=anna, granted_by="root", created_at=NOW
    )
    export(source, tmp_path / "out")
    leave(source)
    here = make_tenant("moved", scaikey_tenant_id=None, max_rooms=1)
    done = bring_alike(tmp_path / "out", opens=True)
    assert [text.partition(" of ")[0] for text in done.warnings] == [
        "1 grant",
        "Tenant moved exceeds the new limit for rooms: 3 in use, 1 allowed. Nothing is deleted.",
    ]
    grants = RoleGrant.objects.filter(tenant=here)
    assert (grants.filter(role__slug="super_admin").count(), grants.count()) == (0, 2)
    assert verify(tmp_path / "out", "moved").error is None


IDENTITIES: dict[str, tuple[type[Model], dict[str, str]]] = {
    "roles has another slug": (Role, {"slug": "super_admin"}),
    "groups has another scaikey_id": (Group, {"scaikey_id": "grp_of_others"}),
    "people has another participant_type or scaikey_id or local_id or server_name": (
        Participant, {"scaikey_id": "usr_mallory"},
    ),
}  # fmt: skip


def test_fail_another_row_under_a_known_id(tmp_path: Path) -> None:
    """Rights that were granted here would be someone else's."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    for problem, (model, values) in IDENTITIES.items():
        row = model._base_manager.filter(tenant=source).order_by("pk")[:1].get()
        with on_old_server(source, here):
            before = {name: getattr(row, name) for name in values}
            model._base_manager.filter(pk=row.pk).update(**values)
            export(source, out, incremental=True)
            model._base_manager.filter(pk=row.pk).update(**before)
        rows = list(model._base_manager.filter(tenant=here).order_by("pk").values())
        with pytest.raises(TenantImportRefused) as caught:
            bring_alike(out)
        key = TenantMapping(here.pk, NOW)(row.pk)
        assert str(caught.value) == f"The row {key} of {problem} than in the import before."
        assert list(model._base_manager.filter(tenant=here).order_by("pk").values()) == rows


def test_fail_mapped_people_become_others(out: Path, tmp_path: Path) -> None:
    """A later export says that people who were found here have another address or ScaiKey ID."""
    here = make_tenant("moved", scaikey_tenant_id=None)
    anna = make_person(here, "anna", scaikey_id="usr_anna", local_id="anna.here")
    bert = make_person(here, "bert", email="other@acme.example", local_id="bert.here")
    people = write_map(tmp_path / "map.csv", f"@bert.acme:localhost,{bert.pk}")
    bring(out, people=people)
    TenantImport.objects.update(finished_at=None)

    def swap(rows: list[Any]) -> None:
        found = {row["local_id"]: row for row in rows}
        found["anna.acme"]["local_id"], found["bert.acme"]["local_id"] = "bert.acme", "anna.acme"

    def relink(rows: list[Any]) -> None:
        for row in rows:
            if row["local_id"] == "bert.acme":
                row.update(scaikey_id="usr_mallory", email="mallory@acme.example")

    before = TenantImport.objects.values().get()
    for name, change, person in (("swap", swap, anna), ("relink", relink, bert)):
        shutil.copytree(out, tmp_path / name)
        forge(tmp_path / name, rewrite("people", change))
        with pytest.raises(TenantImportRefused) as caught:
            bring_alike(tmp_path / name)
        assert str(caught.value) == (
            f"The row {person.pk} of people has another participant_type or scaikey_id or local_id "
            "or server_name than in the import before."
        )
        assert caught.value.fix == (
            "Undo this change on the old server, export the tenant again, and import again. "
            "Nothing was imported."
        )
        assert TenantImport.objects.values().get() == before
    bring_alike(out)


def test_fail_member_of_a_group_with_rights(tmp_path: Path) -> None:
    """A group of this server has super_admin; the export adds people to it, in a group that the
    next sync brings."""
    source = make_moving_tenant(events=12)
    inner = Group.objects.get(tenant=source, name="Inner")
    add_members(inner, newcomers := make_group(source, "Newcomers"))
    add_members(newcomers, make_person(source, "mallory"))
    GroupMembership.objects.filter(group=inner, member_group=None).delete()
    export(source, tmp_path / "out")
    here = make_tenant("moved", scaikey_tenant_id=None)
    scaikey_id = Group.objects.get(tenant=source, name="Inner").scaikey_id
    leave(source)
    group = make_group(here, "Inner here")
    Group.objects.filter(pk=group.pk).update(scaikey_id=scaikey_id)
    role = Role.objects.create(tenant=here, slug="super_admin", name="x", created_at=NOW)
    RoleGrant.objects.create(tenant=here, role=role, group=group, granted_by="root", created_at=NOW)
    with pytest.raises(TenantImportRefused) as caught:
        bring_alike(tmp_path / "out", opens=True)
    assert str(caught.value).startswith(
        "1 person would get super_admin or partner_admin by a group of this server, first "
    )
    assert caught.value.fix == (
        "Revoke the role of the group with `scaiwave role revoke`, and import again. Nothing was "
        "imported."
    )
    assert find_super_admin_holders() == set()
    assert Tenant.objects.get(slug="moved").is_active
    assert not TenantImport.objects.exists()
    assert Participant.objects.filter(tenant=here).count() == 0


def test_fail_look_alike_role(tmp_path: Path) -> None:
    source = make_moving_tenant(events=12)
    Role.objects.filter(tenant=source).update(slug="SUPER_ADMIN")
    export(source, tmp_path / "out")
    leave(source)
    with pytest.raises(RoleBuiltIn, match="looks like the built-in role super_admin"):
        bring(tmp_path / "out")
    for slug in ("\u0268nner", "x y/../z\n"):
        forge(tmp_path / "out", rewrite("roles", partial(set_value, slug=slug)))
        with pytest.raises(InvalidRoleSlug) as caught:
            bring_alike(tmp_path / "out")
        assert str(caught.value) == f"Invalid slug of a role: {slug!r}."
    assert not Tenant.objects.filter(slug="moved").exists()


def test_success_aborted_import_into_a_tenant(out: Path) -> None:
    here = make_tenant("moved", scaikey_tenant_id=None)
    bert = make_person(here, "bert")
    group = make_group(here, "Local")
    index = out / "index.json"
    assert index.exists()
    # Not finished, as if it had been interrupted at its end.
    bring(out)
    TenantImport.objects.update(finished_at=None)
    Participant.objects.filter(pk=bert.pk).update(suspended_by_hand_at=tick())
    SearchIndex().index(EventRange(Scope(), here.pk, 0, 10**9))
    assert SearchDocument.objects.filter(tenant=here).exists()
    abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick())
    here.refresh_from_db()
    assert here.is_active
    assert not SearchDocument.objects.filter(tenant=here).exists()
    assert list(Participant.objects.filter(tenant=here)) == [bert]
    assert list(Group.objects.filter(tenant=here)) == [group]
    assert not here.rooms.exists()


def test_fail_refused_people(out: Path, tmp_path: Path) -> None:
    """An address that someone else has here, and one person for two."""
    here = make_tenant("moved", scaikey_tenant_id=None)
    anna = make_person(here, "anna")
    make_person(make_tenant("third"), "x", local_id="bert.acme")
    rows = Participant.objects.filter(tenant__slug="acme", server_name="")
    local_id = rows.exclude(email__endswith="@acme.example").order_by("pk")[0].local_id
    other = f"@{local_id.removeprefix('old-')}:localhost"
    people = write_map(
        tmp_path / "map.csv", f"@anna.acme:localhost,{anna.pk}", f"{other},{anna.pk}"
    )
    dry = bring(out, people=people, dry_run=True)
    assert {row["fqid"]: row["reason"] for row in dry.lists["refused"]} == {
        "@anna.acme:localhost": f"{anna.pk} is someone else too",
        other: f"{anna.pk} is someone else too",
        "@bert.acme:localhost": "@bert.acme:localhost is someone in tenant third here",
    }
    assert (dry.sentence, dry.changed) == ("Nothing was imported.", False)
    with pytest.raises(TenantImportPeople, match="3 people"):
        bring_alike(out, people=people)
    assert not here.rooms.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n", "has no columns"),
        ("source_id,participant_id\n@stranger:localhost,\n", "not in the export"),
        (f"source_id,participant_id\n@anna.acme:localhost,{UUID(int=7)}\n", "not in the tenant"),
        (
            f"source_id,participant_id\n@anna.acme:localhost,\n@anna.acme:localhost,{UUID(int=7)}",
            "two participants",
        ),
        (f'source_id,participant_id\n"{"x" * 140_000}",\n', "can't be read as CSV"),
    ],
)
def test_fail_people_file(out: Path, tmp_path: Path, text: str, problem: str) -> None:
    make_person(make_tenant("moved", scaikey_tenant_id=None), "anna")
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(UsageError, match=problem):
        bring(out, people=PeopleOptions(tmp_path / "map.csv"), dry_run=True)


def test_fail_target(out: Path, tmp_path: Path) -> None:
    other = make_tenant("linked", scaikey_tenant_id="tnt_acme")
    with pytest.raises(TenantConflict):
        bring(out)
    Tenant.objects.filter(pk=other.pk).update(scaikey_tenant_id=None)
    row_factories.make_workspace(other)
    with pytest.raises(TenantImportRefused, match="has workspaces"):
        bring(out, slug="linked")
    anna = make_person(other, "anna")
    people = write_map(tmp_path / "map.csv", f"@anna.acme:localhost,{anna.pk}")
    with pytest.raises(UsageError, match="not in the tenant here"):
        bring(out, people=people)
