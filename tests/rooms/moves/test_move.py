"""A tenant that was exported and imported is the same tenant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Model

from rooms.imports.id_mapping import IdMapper
from rooms.models import (
    Event,
    Media,
    Room,
    RoomMedia,
    RoomMember,
    ScanStatus,
    TenantImport,
    Workspace,
)
from rooms.moves.abort_import import abort_tenant_import
from rooms.moves.rows import iter_tenant_tables, load_tables
from tenants.models import Group, Participant, ParticipantType, Tenant
from tests.rooms.moves.factories import (
    NOW,
    bring,
    export,
    leave,
    make_moving_tenant,
    on_old_server,
    read_index,
    verify,
)
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import TIMESTAMPS
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]

Rows = dict[str, list[dict[str, Any]]]


def test_success_every_model_that_reaches_a_tenant_is_listed() -> None:
    """A model that has a tenant, or refers to a row that has one, is exported, or has a reason."""
    reaching: set[type[Model]] = {Tenant}
    models = [m for m in apps.get_models(include_auto_created=True) if not m._meta.proxy]
    names = {"tenant", "tenant_id", "tenant_slug"}
    while found := {
        model
        for model in set(models) - reaching
        if any(
            field.related_model in reaching or field.name in names
            for field in model._meta.concrete_fields
        )
    }:
        reaching |= found
    tables = list(iter_tenant_tables())
    assert sorted(table.model for table in tables) == sorted(m._meta.label for m in reaching)
    listed: set[type[Model]] = set()
    for table in tables:
        model = apps.get_model(table.model)
        assert bool(table.file) != bool(table.reason), table
        assert model._base_manager.filter(**{table.tenant: UUID(int=0)}).count() == 0
        listed.add(model)
        for field in model._meta.concrete_fields:
            if field.related_model in reaching and table.file:
                assert field.related_model in listed, f"{table.model} comes before its parents"
    assert all(table._decoder for table in load_tables().values())


def snapshot_of(tenant: Tenant) -> Rows:
    """Every row of the tenant, by table."""
    rows = {}
    for table in iter_tenant_tables():
        model = apps.get_model(table.model)
        found = model._base_manager.filter(**{table.tenant: tenant.pk}).values()
        rows[table.model] = sorted(found, key=lambda row: str(row.get("id", "")))
    return rows


def expected_rows(rows: Rows, tenant: Tenant, exported: set[str]) -> Rows:
    """The rows of the source as they must be here, mapped without the product's rules."""
    new_id = IdMapper(tenant.pk)
    moved = {
        str(row["id"]): new_id(str(row["id"]))
        for name in ("Participant", "Group", "GroupMembership", "Role", "RoleGrant")
        for row in rows[f"tenants.{name}"]
    }
    for name in ("Workspace", "WorkspaceMember", "Room", "RoomMember", "Event", "Media"):
        for row in rows[f"rooms.{name}"]:
            moved[str(row["id"])] = new_id(str(row["id"]))
    moved[str(rows["tenants.Tenant"][0]["id"])] = str(tenant.pk)

    def replace(value: Any) -> Any:
        match value:
            case dict():
                # The creator of an event has sent its `event_uuid`, which stays.
                return {
                    key: each if key == "event_uuid" else replace(each)
                    for key, each in value.items()
                }
            case list():
                return [replace(each) for each in value]
            case UUID():
                return UUID(moved.get(str(value), str(value)))
            case str():
                return moved.get(value, value)
        return value

    kept: Rows = {}
    for table in (
        "tenants.Participant", "tenants.Group", "tenants.GroupMembership", "tenants.Role",
        "tenants.RoleGrant", "rooms.Workspace", "rooms.WorkspaceMember", "rooms.Room",
        "rooms.RoomMember", "rooms.Event",
    ):  # fmt: skip
        column = {"rooms.Room": "id", "rooms.RoomMember": "room_id", "rooms.Event": "room_id"}
        found = [
            replace(row)
            for row in rows[table]
            if table not in column or str(row[column[table]]) in exported
        ]
        kept[table] = sorted(found, key=lambda row: str(row["id"]))
    return kept


def test_success_round_trip(tmp_path: Path) -> None:
    """Every row and value is the same but the absence of people, and who granted roles."""
    source, other = make_moving_tenant(), make_moving_tenant("other")
    before, others = snapshot_of(source), snapshot_of(other)
    made = export(source, tmp_path / "out", freeze=True)
    assert {row["reason"] for row in made.lists["not_exported"]} == {
        "its type is sidekick", "its type is bridge", "it is incognito", "it is federated",
    }  # fmt: skip
    index = read_index(tmp_path / "out")
    assert index["frozen"]
    assert [room["name"] for room in index["rooms"] if room["reason"]] == [""] * 4
    assert verify(tmp_path / "out").error is None
    leave(source)

    dry = bring(tmp_path / "out", dry_run=True)
    people = len(before["tenants.Participant"])
    assert (dry.figures["people_placeholders"], dry.figures["people_mapped"]) == (people, 0)
    assert not Tenant.objects.filter(slug="moved").exists()
    done = bring(tmp_path / "out")
    assert (done.changed, done.figures["opened"], done.figures["bundles"]) == (True, True, 3)

    here = Tenant.objects.get(slug="moved")
    exported = {room["id"] for room in index["rooms"] if not room["reason"]}
    found, expected = snapshot_of(here), expected_rows(before, here, exported)
    record = TenantImport.objects.get()
    for table, rows in expected.items():
        for row in rows:
            if row.get("scaikey_id") or row.get("participant_type") == ParticipantType.HUMAN:
                row["absent_since"] = record.started_at
            if row.get("participant_type") == ParticipantType.HUMAN:
                row["created_at"] = record.started_at
            if "granted_by" in row:
                row |= {"granted_by": "import from localhost", "source": "manual"}
        assert found[table] == rows, table
    assert (here.name, here.max_rooms, here.features) == ("acme", 99, {"calls": True})
    assert (here.scaikey_tenant_id, here.is_active) == ("tnt_acme", True)
    new_id = IdMapper(here.pk)
    for media in Media.objects.filter(tenant=here):
        old = next(row for row in before["rooms.Media"] if row["sha256"] == media.sha256)
        assert str(media.pk) == new_id(str(old["id"]))
        assert default_storage.exists(media.storage_name)
    assert verify(tmp_path / "out", "moved").error is None
    assert snapshot_of(other) == others
    assert not bring(tmp_path / "out").changed


def test_success_placeholders_can_not_sign_in(tmp_path: Path) -> None:
    source = make_moving_tenant()
    export(source, tmp_path / "out")
    leave(source)
    done = bring(tmp_path / "out")
    here = Tenant.objects.get(slug="moved")
    assert not done.figures["opened"]
    assert here.inactive_reason == "suspended manually"
    people = Participant.objects.filter(tenant=here)
    assert not any(person.is_active for person in people if person.participant_type == "human")
    assert not any(group.absent_since is None for group in Group.objects.filter(tenant=here))
    assert bring(tmp_path / "out", opens=True).figures["opened"]
    here.refresh_from_db()
    assert here.is_active


def _edit(tenant: Tenant) -> None:
    event = Event.objects.filter(tenant=tenant, event_type="swp.room.message").first()
    assert event is not None
    event.content = {"body": "edited"}
    event.save()


def _damage(media: Media) -> None:
    """Replace the bytes, but not their number."""
    default_storage.delete(media.storage_name)
    default_storage.save(media.storage_name, ContentFile(b"?" * media.size))


CHANGES: dict[str, Callable[[Tenant], object]] = {
    "an event": _edit,
    "a member": lambda tenant: RoomMember.objects.filter(tenant=tenant).first().delete(),  # type: ignore[union-attr]
    "another workspace": lambda tenant: Workspace.objects.create(
        id=IdMapper(tenant.pk)(str(tenant.pk)), tenant=tenant, slug="x", **TIMESTAMPS
    ),
    "a workspace": lambda tenant: Workspace.objects.filter(tenant=tenant).update(name="Other"),
    "a room": lambda tenant: Room.objects.filter(tenant=tenant, room_type="dm").update(topic="x"),
    "a file": lambda tenant: default_storage.delete(
        Media.objects.filter(tenant=tenant).first().storage_name  # type: ignore[union-attr]
    ),
    "the bytes of a file": lambda tenant: _damage(
        Media.objects.filter(tenant=tenant).exclude(scan_status=ScanStatus.INFECTED)[0]
    ),
    "the name of a file": lambda tenant: RoomMedia.objects.filter(
        pk__in=RoomMedia.objects.filter(tenant=tenant).values("pk")[:1]
    ).update(name="other"),
    "the tenant": lambda tenant: Tenant.objects.filter(pk=tenant.pk).update(name="x"),
}


def test_success_files_of_others_stay(tmp_path: Path) -> None:
    """Beside the rows, an export deletes nothing but rows of earlier ones."""
    tenant = make_moving_tenant()
    export(tenant, tmp_path / "out")
    (tmp_path / "out/rows/notes").mkdir()
    (tmp_path / "out/rows/1234").write_text("a file")
    export(tenant, tmp_path / "out", incremental=True)
    left = {path.name for path in (tmp_path / "out/rows").iterdir()}
    assert left == {"0001", "notes", "1234"}


def test_fail_files_that_are_missing(tmp_path: Path) -> None:
    """They are counted and named by export, verification and comparison, unless allowed."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    last, *stored = Media.objects.filter(tenant=source).exclude(scan_status=ScanStatus.INFECTED)
    names = {str(each.pk): each.in_rooms.order_by("name")[0].name for each in stored}
    for media in stored:
        default_storage.delete(media.storage_name)
    default_storage.save(stored[0].storage_name, ContentFile(b"longer" * 99))
    dry = export(source, out, dry_run=True)
    assert {row["id"]: row["name"] for row in dry.lists["missing_files"]} == names
    # A file of the right size with other bytes is noticed when it is read.
    default_storage.save(stored[1].storage_name, ContentFile(b"x" * stored[1].size))
    made = export(source, out, freeze=True)
    default_storage.delete(last.storage_name)  # The export has its bytes.
    for again in (False, True, True):
        made = export(source, out, freeze=True, incremental=True) if again else made
        assert {row["id"]: row["name"] for row in made.lists["missing_files"]} == names
        assert made.figures["files_missing"] == len(stored)
        assert made.error is not None
        first = ", ".join([row["name"] for row in made.lists["missing_files"]][:5])
        assert first in made.error.message
        assert made.error.message.startswith(f"{len(stored)} files are missing in the export: ")
        assert f"pass --allow-missing-files {len(stored)}." in made.error.fix
        assert made.error.code == "SW_MEDIA_FILES_MISSING"
    verified = verify(out)
    assert str(verified.error) == str(made.error)
    assert verified.figures["files_missing"] == len(stored)
    allowed = {"missing_files": len(stored)}
    assert export(source, out, freeze=True, incremental=True, **allowed).error is None
    assert str(verify(out, "acme", missing_files=1).error) == str(made.error)
    leave(source)
    bring(out)
    assert verify(out, "moved", **allowed).error is None
    assert str(verify(out, "moved").error) == str(made.error)


@pytest.mark.parametrize("what", CHANGES)
def test_fail_compare(tmp_path: Path, what: str) -> None:
    """A difference of one value is found."""
    source = make_moving_tenant(events=20)
    export(source, tmp_path / "out", freeze=True)
    leave(source)
    bring(tmp_path / "out")
    CHANGES[what](Tenant.objects.get(slug="moved"))
    assert len(verify(tmp_path / "out", "moved").lists["differences"]) == 1


def test_fail_compare_explains(tmp_path: Path) -> None:
    source = make_moving_tenant(events=20)
    export(source, tmp_path / "out", freeze=True)
    leave(source)
    bring(tmp_path / "out")
    here = Tenant.objects.get(slug="moved")
    _edit(here)
    changed = Event.objects.get(tenant=here, content__body="edited")
    extra = row_factories.make_event(changed.room, 10**6)
    gone = Event.objects.filter(room=changed.room).exclude(pk__in=[changed.pk, extra.pk]).last()
    assert gone is not None
    gone.delete()
    Workspace.objects.filter(tenant=here).update(name="Other", description="x")
    found = verify(tmp_path / "out", "moved")
    assert [(row["table"], row["difference"]) for row in found.lists["differences"]] == [
        ("room", f"1 event changed, 1 event missing, 1 event only here, first {changed.pk}"),
        ("workspaces", "other name, description"),
    ]
    assert len(found.lists["not_exported"]) == 4


@pytest.mark.parametrize("what", ["an event", "a member", "a workspace", "a room"])
def test_fail_compare_with_the_source(tmp_path: Path, what: str) -> None:
    """An edit in place during a freeze leaves no mark."""
    source = make_moving_tenant(events=20)
    export(source, tmp_path / "out", freeze=True)
    assert verify(tmp_path / "out", "acme").error is None
    CHANGES[what](source)
    differences = verify(tmp_path / "out", "acme").lists["differences"]
    # A bundle has the fields of its room and the name of its workspace too.
    assert len(differences) == {"a room": 2, "a workspace": 4}.get(what, 1)


def test_success_lists_deleted_rooms(tmp_path: Path) -> None:
    """They wait for their end, and are in no bundle."""
    source = make_moving_tenant(events=20)
    Room.objects.filter(tenant=source, room_type="dm").update(
        deleted_at=NOW, purge_at=NOW, deletion={"reason": "over"}
    )
    lost = export(source, tmp_path / "out").lists["not_exported"]
    assert {row["reason"] for row in lost} >= {"it is deleted"}
    assert len(lost) == 5
    leave(source)
    bring(tmp_path / "out")
    here = Tenant.objects.get(slug="moved")
    assert not Room.all_objects.filter(tenant=here, room_type="dm").exists()
    # Rooms that were deleted since are aborted too.
    Room.objects.filter(tenant=here).update(deleted_at=NOW, purge_at=NOW, deletion={})
    abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=NOW)
    assert not Tenant.objects.filter(slug="moved").exists()


def test_success_people_as_keys(tmp_path: Path) -> None:
    """As in power levels."""
    source = make_moving_tenant(events=12)
    anna = Participant.objects.get(local_id="anna.acme")
    room = Room.objects.get(tenant=source, room_type="dm")
    row_factories.make_event(room, 10**6, content={"users": {str(anna.pk): 100, "x": 1}})
    export(source, tmp_path / "out")
    leave(source)
    bring(tmp_path / "out")
    here = Participant.objects.get(tenant__slug="moved", local_id="anna.acme")
    moved = Event.objects.get(tenant__slug="moved", stream_position=10**6)
    assert moved.content == {"users": {str(here.pk): 100, "x": 1}}


def test_success_names_that_move(tmp_path: Path) -> None:
    """Between two exports, rows may take each other's names."""
    source, out = make_moving_tenant(events=12), tmp_path / "out"
    (main,) = Workspace.objects.filter(tenant=source)
    second = row_factories.make_workspace(source, "second")
    rooms = list(Room.objects.filter(tenant=source, name__in=("Lobby 1", "Projekt Grün 2")))
    Room.objects.filter(pk=rooms[1].pk).update(room_alias="moving")
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    with on_old_server(source, here):
        for key, slug in ((main.pk, "x"), (second.pk, "main"), (main.pk, "second")):
            Workspace.objects.filter(pk=key).update(slug=slug)
        Room.objects.filter(pk=rooms[1].pk).update(room_alias="")
        Room.objects.filter(pk=rooms[0].pk).update(room_alias="moving")
        export(source, out, incremental=True)
    bring(out)
    assert verify(out, "moved").error is None
    assert Room.objects.get(tenant=here, room_alias="moving").name == rooms[0].name
