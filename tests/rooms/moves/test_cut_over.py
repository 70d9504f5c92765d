"""A tenant that is exported while people write, and followed until it is frozen."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.errors import TenantExportBusy, TenantImportRefused, TenantReferenced
from rooms.lifecycle import deletion as lifecycle
from rooms.lifecycle.deletion import Deletion
from rooms.lookup.authors import find_erasures
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    ScanStatus,
    TenantImport,
    Workspace,
    WorkspaceMember,
)
from rooms.models.media import get_storage_name
from rooms.moves import export_tenant as module
from rooms.moves.abort_import import abort_tenant_import
from scaiwave.core.change import Change
from scaiwave.core.errors import FileExists, UsageError
from tenants.errors import OnHold
from tenants.holds.hold import add_hold
from tenants.models import Hold, Participant, Role, RoleGrant, Tenant
from tenants.people.suspension import resume_tenant, suspend_tenant
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    export,
    leave,
    make_moving_tenant,
    on_old_server,
    read_index,
    tick,
    verify,
)
from tests.scaiwave import row_factories
from tests.scaiwave.lock_helpers import hold_lock_elsewhere
from tests.tenants.factories import HOST_OPERATOR, make_person, make_tenant, run_command

OPEN_IT = (
    "Nothing was deleted. Open the tenant with `scaiwave admin import-tenant` --open; what it has "
    "then is deleted with `scaiwave admin erase-tenant`."
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


def _seeded(tenant: Tenant) -> list[Room]:
    return list(Room.objects.filter(tenant=tenant, media__isnull=False).distinct().order_by("pk"))


def _live(tenant: Tenant) -> None:
    """A day of the tenant: what people, the scanner and operators may change."""
    room, dm = _seeded(tenant)[0], Room.objects.get(tenant=tenant, room_type="dm")
    events = list(Event.objects.filter(room=room, event_type="swp.room.message")[:6])
    events[0].content = {"body": "edited"}
    events[0].save()
    events[1].redacted_at = NOW
    events[1].save()
    events[2].delete()
    last = Event.objects.filter(tenant=tenant).latest("stream_position").stream_position
    carla = make_person(tenant, "carla")
    row_factories.make_event(room, last + 20, sender=carla, content={"body": "new"})
    row_factories.make_event(dm, last + 10, content={"body": "late", "by": str(carla.pk)})
    media = row_factories.make_media(tenant, "new file")
    default_storage.save(media.storage_name, ContentFile(b"new file"))
    RoomMedia.objects.create(tenant=tenant, room=room, media=media, name="n", created_at=NOW)
    RoomMedia.objects.filter(room=room).exclude(media=media).order_by("pk")[0].delete()
    Room.objects.filter(pk=dm.pk).update(topic="changed", state="closed")
    RoomMember.objects.filter(room=dm).update(power_level=50)
    RoomMember.objects.create(tenant=tenant, room=dm, participant=carla, membership="invite")
    RoomMember.objects.filter(room=room).first().delete()  # type: ignore[union-attr]
    RoleGrant.objects.filter(tenant=tenant).first().delete()  # type: ignore[union-attr]
    role = Role.objects.create(tenant=tenant, slug="new", name="New", created_at=NOW)
    RoleGrant.objects.create(
        tenant=tenant, role=role, participant=carla, granted_by="root", created_at=NOW
    )
    # A slug that another workspace had.
    Workspace.objects.filter(tenant=tenant, slug="main").update(slug="first")
    second = row_factories.make_workspace(tenant, "main")
    new = row_factories.make_room(second, carla, "New room")
    row_factories.make_event(new, last + 30)
    WorkspaceMember.objects.filter(tenant=tenant).first().delete()  # type: ignore[union-attr]
    Participant.objects.filter(tenant=tenant, local_id__startswith="anna").update(
        display_name="", email="", purged_at=NOW
    )


def test_success_base_then_frozen(tmp_path: Path) -> None:
    source, out = make_moving_tenant(), tmp_path / "out"
    gone = _seeded(source)[1]
    assert export(source, out).warnings
    leave(source)
    first = bring(out)
    assert (first.figures["bundles"], first.figures["opened"]) == (3, False)
    again = bring(out)
    assert (again.changed, again.sentence) == (
        False,
        "This export was already imported as tenant moved; nothing changed.",
    )
    here = Tenant.objects.get(slug="moved")
    assert verify(out, "moved").error is None
    with on_old_server(source, here):
        _live(source)
        Event.objects.filter(room=gone).delete()
        RoomMedia.objects.filter(room=gone).delete()
        RoomMember.objects.filter(room=gone).delete()
        gone.delete()
        made = export(source, out, incremental=True, freeze=True, reason="move")
    assert (made.figures["frozen"], made.warnings) == (True, [])
    source.refresh_from_db()
    assert source.inactive_reason == "suspended manually"
    assert sorted(path.name for path in (out / "rows").iterdir()) == ["0001"]
    second = bring(out)
    assert [second.figures[key] for key in ("bundles", "opened", "rooms")] == [3, True, 3]
    assert verify(out, "moved").error is None
    exported = [room["id"] for room in read_index(out)["rooms"] if not room["reason"]]
    for model in (RoleGrant, Role, Workspace, WorkspaceMember):
        there = model._base_manager.filter(tenant=source)
        assert model._base_manager.filter(tenant=here).count() == there.count(), model
    for content in (Event, RoomMember):
        moved = content._base_manager.filter(room__in=exported)
        assert content._base_manager.filter(tenant=here).count() == moved.count(), content
    anna = Participant.objects.get(tenant=here, local_id__startswith="anna")
    assert (anna.display_name, anna.purged_at) == ("", None)
    assert default_storage.exists(Media.objects.get(tenant=here, size=len("new file")).storage_name)
    with on_old_server(source, here):
        export(source, out, incremental=True)
    with pytest.raises(TenantImportRefused, match="is open already"):
        bring(out)


def test_success_follows_a_new_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many increments a chain begins again; the room is then replaced."""
    monkeypatch.setattr(module, "FULL_EVERY", 1)
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    dm = Room.objects.get(tenant=source, room_type="dm")
    for number in range(3):
        with on_old_server(source, here):
            row_factories.make_event(dm, 1000 + number)
            export(source, out, incremental=True)
        done = bring(out)
        assert verify(out, "moved").error is None
        assert done.figures["bundles"] == 1
    with pytest.raises(TenantImportRefused, match="later export"):
        _restore_index(out, tmp_path)


def _restore_index(out: Path, tmp_path: Path) -> None:
    """Import an export that is older than the one that was imported."""
    source = Tenant.objects.get(slug="acme")
    here = Tenant.objects.get(slug="moved")
    with on_old_server(source, here):
        export(source, tmp_path / "other")
    bring(tmp_path / "other")
    bring(out)


def test_success_infected_here_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An increment, and a base, whose server finds the file clean bring neither it nor its mark."""
    monkeypatch.setattr(module, "FULL_EVERY", 1)
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here, room = Tenant.objects.get(slug="moved"), _seeded(source)[0]
    sha256 = RoomMedia.objects.filter(room=room)[0].media.sha256
    infected = Media.objects.filter(tenant=here, sha256=sha256)
    infected.update(scan_status=ScanStatus.INFECTED)
    default_storage.delete(get_storage_name(here.pk, sha256))
    for number in range(3):
        with on_old_server(source, here):
            row_factories.make_event(room, 1000 + number)
            export(source, out, incremental=True)
        assert bring(out).figures["bundles"] == 1
        assert {media.scan_status for media in infected.all()} == {ScanStatus.INFECTED}
        assert not default_storage.exists(get_storage_name(here.pk, sha256))


def test_success_suspended_during_the_import(tmp_path: Path) -> None:
    """What an operator suspends while the import has suspended it does not open at its end."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)

    def suspend(*, dry_run: bool = False) -> Change:
        return suspend_tenant(
            operator=HOST_OPERATOR, name="moved", reason="x", confirm=lambda effect: None,
            now=tick(), dry_run=dry_run,
        )  # fmt: skip

    assert suspend(dry_run=True).sentence == "Would suspend tenant moved."
    assert suspend().sentence == "Tenant moved suspended."
    assert suspend().sentence == "Tenant moved is already suspended (manually)."
    opened = bring(out, opens=True)
    assert opened.figures["opened"] is False
    assert opened.sentence == (
        "Imported tenant moved with 3 rooms. It was suspended manually, and still is."
    )
    here = Tenant.objects.get(slug="moved")
    assert here.inactive_reason == "suspended manually"
    resume_tenant(operator=HOST_OPERATOR, name="moved", reason="", now=tick())
    here.refresh_from_db()
    assert here.is_active


def test_success_continues_after_an_interrupted_export(tmp_path: Path) -> None:
    """Increments that no index lists belong to the next export, which deletes rows that a kill
    left."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    shutil.rmtree(out / "rows")
    (out / "index.json").unlink()
    for name in ("0000", f".0000.{'0' * 16}.draft"):
        (out / "rows" / name).mkdir(parents=True)
    export(source, out)
    assert [path.name for path in (out / "rows").iterdir()] == ["0000"]
    leave(source)
    bring(out)
    assert verify(out, "moved").error is None


def test_success_brings_back_deleted_rooms(tmp_path: Path) -> None:
    """Also one of which a purge that was interrupted has deleted some events."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    deleted = Room.objects.filter(tenant=here, media__isnull=False).first()
    assert deleted is not None
    Room.objects.filter(pk=deleted.pk).update(
        deleted_at=NOW, purge_at=NOW, deletion={"reason": "x", "counts": {}}
    )
    Event.objects.filter(room=deleted)[0].delete()
    with on_old_server(source, here):
        for number, room in enumerate(Room.objects.filter(tenant=source, name=deleted.name)):
            row_factories.make_event(room, 1000 + number)
        export(source, out, incremental=True, freeze=True)
    again = bring_alike(out)
    assert again.warnings == [
        f"1 room deleted here and imported again, first {deleted.pk}. To leave a room out, delete "
        "it on the old server."
    ]
    assert verify(out, "moved").error is None


def test_success_erased_messages_do_not_come_back(tmp_path: Path) -> None:
    """Also not with their files, if a room is imported again."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    media = row_factories.make_media(source, "secret")
    default_storage.save(media.storage_name, ContentFile(b"secret"))
    room = Room.objects.get(tenant=source, room_type="dm")
    RoomMedia.objects.create(tenant=source, room=room, media=media, name="s", created_at=NOW)
    said = Event.objects.filter(room=room, sender__local_id__startswith="bert")
    said.update(content={"body": "secret", "media_id": str(media.pk)})
    export(source, out)
    leave(source)
    bring(out)
    here = Room.objects.get(tenant__slug="moved", room_type="dm")
    bert = Participant.objects.get(tenant=here.tenant, local_id__startswith="bert")
    run_command("purge_participant", str(bert.pk), "--with-messages", "--yes")
    Room.objects.filter(pk=here.pk).update(
        deleted_at=NOW, purge_at=NOW, deletion={"reason": "x", "counts": {}}
    )
    # The purge was interrupted after the messages.
    Participant.objects.filter(pk=bert.pk).update(purged_at=None)
    assert bring(out).figures["bundles"] == 1
    event = Event.objects.get(room=here, sender=bert)
    assert (event.content["body"], event.redacted_at is None) == ("", False)
    # What was emptied here stays so if its bundles come again, after a return too.
    Participant.objects.filter(pk=bert.pk).update(purged_at=NOW)
    with on_old_server(source, here.tenant):
        late = row_factories.make_event(
            room, 5000, sender=Participant.objects.get(tenant=source, local_id=bert.local_id),
            content={"body": "secret"}, created_at=tick(),
        )  # fmt: skip
        export(source, out, incremental=True)
    assert bring(out).figures["bundles"] == 1
    Participant.objects.filter(pk=bert.pk).update(purged_at=None, absent_since=None)
    RoomImport.objects.filter(room=here).update(manifest_sha256="0" * 64)
    assert bring(out).figures["bundles"] == 2
    assert not Event.objects.filter(room=here, content__body="secret").exists()
    assert Event.objects.filter(room=here, stream_position=late.stream_position).exists()
    Participant.objects.filter(pk=bert.pk).update(absent_since=NOW)
    # The old server's own row of the same address, purged without messages, hides no erasure.
    old_server = TenantImport.objects.get().source_server_name
    fields = {"server_name": old_server, "purged_at": NOW}
    twin = row_factories.make_participant(here.tenant, "twin", **fields)
    Participant.objects.filter(pk=twin.pk).update(local_id=bert.local_id)
    assert find_erasures(here.tenant_id)[f"@{bert.local_id}:{old_server}"].until
    twin.delete()
    anna = here.tenant.participants.filter(local_id__startswith="anna")
    suspended = Participant.objects.filter(pk__in=[anna[0].pk, bert.pk])
    later = TenantImport.objects.get().started_at + timedelta(seconds=1)
    # Erased, then found by a sync; then suspended as well.
    Participant.objects.filter(pk=bert.pk).update(purged_at=None, messages_erased_at=later)
    for count in ("1 person", "2 people"):
        for dry_run in (True, False):
            with pytest.raises(TenantImportRefused) as caught:
                abort_tenant_import(
                    operator=HOST_OPERATOR, slug="moved", now=tick(), dry_run=dry_run
                )
            first = min(anna[0].pk, bert.pk) if count == "2 people" else bert.pk
            assert str(caught.value) == (
                f"This server has suspended or purged {count} of the import of tenant moved, or "
                f"erased their messages, first {first}. Another import would undo that."
            )
            assert caught.value.fix == OPEN_IT
        suspended.update(suspended_by_hand_at=later)
    assert Event.objects.filter(room=here, sender=bert).exists()
    assert not RoomMedia.objects.filter(room=here).exists()
    assert not default_storage.exists(get_storage_name(here.tenant_id, media.sha256))


@pytest.mark.parametrize("redacted_at", [None, NOW - timedelta(days=9)])
def test_success_emptied_events_stay_so_after_they_left(
    tmp_path: Path, redacted_at: datetime | None
) -> None:
    """Also under another sender, once an export had left them or their room out.

    The time is of the old server, which left the text. Earlier releases kept it.
    """
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    room = Room.objects.get(tenant=source, room_type="dm")
    said = Event.objects.get(room=room, sender__local_id__startswith="bert")
    said.content, said.redacted_at = {"body": "secret"}, redacted_at
    said.save()
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    bert = Participant.objects.get(tenant=here, local_id__startswith="bert")
    run_command("purge_participant", str(bert.pk), "--with-messages", "--yes")
    if redacted_at:
        Event.objects.filter(sender=bert).update(redacted_at=redacted_at)
    said.sender = room.creator
    for is_room in (False, True, False):
        with on_old_server(source, here):
            if is_room:
                Room.objects.filter(pk=room.pk).update(deleted_at=NOW)
            else:
                Event.objects.filter(pk=said.pk).delete()
            export(source, out, incremental=True)
        bring(out)
        there = Room.objects.filter(tenant=here, room_type="dm")
        assert there.exists() is not is_room
        with on_old_server(source, here):
            Room.all_objects.filter(pk=room.pk).update(deleted_at=None)
            said.save(force_insert=not is_room)
            export(source, out, incremental=True)
        bring(out)
        bodies = Event.objects.filter(room=there.get()).values_list("content__body", flat=True)
        assert sorted(bodies) == ["", "hi"]


def test_success_abort(tmp_path: Path) -> None:
    """With the files of a bundle that was interrupted, and texts in the search index."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    files = [media.storage_name for media in Media.objects.filter(tenant=here)]
    files.append(get_storage_name(here.pk, "0" * 64))
    default_storage.save(files[-1], ContentFile(b"interrupted"))
    ImportIntent.objects.create(tenant=here, hashes=["0" * 64], operator="root", started_at=NOW)
    options = {"operator": HOST_OPERATOR, "slug": "moved", "now": tick()}
    assert abort_tenant_import(**options, dry_run=True).figures["events"]  # type: ignore[arg-type]
    abort_tenant_import(**options)  # type: ignore[arg-type]
    assert not Tenant.objects.filter(slug="moved").exists()
    assert not any(default_storage.exists(name) for name in files)
    with pytest.raises(TenantImportRefused):
        abort_tenant_import(**options)  # type: ignore[arg-type]
    assert bring(out, opens=True).figures["opened"]
    with pytest.raises(TenantImportRefused):
        abort_tenant_import(**options)  # type: ignore[arg-type]


def test_success_interrupted_between_its_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that follows completes the tenant again, but for what was emptied here."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    options: dict[str, Any] = {"operator": HOST_OPERATOR, "slug": "moved", "now": tick()}
    events, begin, left = Event.objects.filter(tenant__slug="moved"), Deletion.transaction, 0
    emptied = events.filter(event_type="swp.room.message").first()
    assert emptied
    assert emptied.content["body"]
    # A person may have written anything under the key of an original sender.
    bare = {"body": "", "_imported_sender": "bert"}
    events.filter(pk=emptied.pk).update(content=bare, redacted_at=tick())

    def begin_or_end(deletion: Deletion) -> AbstractContextManager[None]:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return begin(deletion)

    for transactions, is_gone in ((16, True), (3, False)):
        left = transactions
        with monkeypatch.context() as patched:
            for name in ("FIRST_ROWS", "MIN_ROWS", "MAX_ROWS"):
                patched.setattr(lifecycle, name, 5)
            patched.setattr(Deletion, "transaction", begin_or_end)
            with pytest.raises(KeyboardInterrupt):
                abort_tenant_import(**options)
        assert events.filter(pk=emptied.pk).exists() is not is_gone
        bring(out)
        assert "Tenant moved has 1 difference" in str(verify(out, "moved").error)
        emptied.refresh_from_db()
        assert not emptied.content["body"]
    abort_tenant_import(**options)
    assert not Tenant.objects.filter(slug="moved").exists()


def test_fail_abort_of_what_was_made_here(tmp_path: Path) -> None:
    source = make_moving_tenant(events=20)
    export(source, tmp_path / "out")
    leave(source)
    bring(tmp_path / "out")
    here = Tenant.objects.get(slug="moved")
    brought, anna = Workspace.objects.get(tenant=here), here.participants.all()[0]

    def abort(*, dry_run: bool = False) -> None:
        abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick(), dry_run=dry_run)

    for kind, make in (
        ("workspace", lambda: row_factories.make_workspace(here, "own")),
        ("room", lambda: row_factories.make_room(brought, anna)),
        ("attachment", lambda: row_factories.make_media(here, "made here")),
        ("event", lambda: row_factories.make_event(Room.objects.filter(tenant=here)[0], 10**6)),
    ):
        row = make()
        for dry_run in (True, False):
            with pytest.raises(TenantImportRefused) as caught:
                abort(dry_run=dry_run)
            assert str(caught.value) == (
                f"Tenant moved has 1 {kind} that the import did not bring, first {row.pk}."
            )
            assert caught.value.fix == OPEN_IT
        row.delete()
    assert Room.objects.filter(tenant=here).count() == 3
    abort()
    assert not Tenant.objects.filter(slug="moved").exists()


def test_fail_aborted_under_a_hold(tmp_path: Path) -> None:
    """A lifted hold and a deleted room are deleted with the tenant."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    export(source, out)
    leave(source)
    bring(out)
    here = Tenant.objects.get(slug="moved")
    deleted = Room.objects.filter(tenant=here)[0]
    Room.objects.filter(pk=deleted.pk).update(deleted_at=NOW, purge_at=NOW)
    add_hold(operator=HOST_OPERATOR, tenant="moved", room=str(deleted.pk), reason="x", now=NOW)
    events = Event.objects.filter(tenant=here).count()
    for dry_run in (True, False):
        with pytest.raises(OnHold):
            abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick(), dry_run=dry_run)
    assert Event.objects.filter(tenant=here).count() == events
    Hold.objects.update(lifted_at=NOW)
    abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick())
    assert not Tenant.objects.filter(slug="moved").exists()


@pytest.mark.parametrize("what", ["an event", "a room", "a resumed tenant"])
def test_fail_written_after_the_freeze(tmp_path: Path, what: str) -> None:
    source = make_moving_tenant(events=20)
    dm = Room.objects.get(tenant=source, room_type="dm")
    calls: list[int] = []

    def clock() -> object:
        """Let someone write while the rooms are exported."""
        calls.append(1)
        if len(calls) == 5 and what == "an event":
            row_factories.make_event(dm, 10**6)
        elif len(calls) == 5 and what == "a resumed tenant":
            Tenant.objects.update(suspended_by_hand_at=None)
        elif len(calls) == 5:
            row_factories.make_room(dm.workspace, dm.creator)
        return tick()

    with pytest.raises(TenantExportBusy):
        export(source, tmp_path / "out", freeze=True, clock=clock)
    assert not (tmp_path / "out/index.json").exists()
    assert export(source, tmp_path / "out", freeze=True).figures["frozen"]


def test_fail_members_of_other_tenants(tmp_path: Path) -> None:
    source, stranger = make_moving_tenant(events=20), make_person(make_tenant("other"), "eve")
    rooms = Room.objects.filter(tenant=source)
    for room in (rooms.get(name="federated"), rooms.get(room_type="dm")):
        assert export(source, tmp_path / "out", dry_run=True).figures["rooms"] == 3
        RoomMember.objects.create(tenant=source, room=room, participant=stranger)
    for dry_run in (True, False):
        with pytest.raises(TenantReferenced, match="has a member of another tenant: Eve"):
            export(source, tmp_path / "out", dry_run=dry_run)
    assert not (tmp_path / "out").exists()


def test_fail_frozen_during_an_import(tmp_path: Path) -> None:
    """Its events are not visible before its end, which may be after the end of the export."""
    source, out = make_moving_tenant(events=20), tmp_path / "out"
    intent = ImportIntent.objects.create(tenant=source, operator="root", started_at=NOW)
    with hold_lock_elsewhere(f"import-{intent.pk}"):
        with pytest.raises(TenantExportBusy, match="import into tenant acme"):
            export(source, out, freeze=True)
        assert not out.exists()
        assert export(source, out).warnings
    assert export(source, out, freeze=True, incremental=True).figures["frozen"]


def test_fail_directory(tmp_path: Path) -> None:
    source, other = make_moving_tenant(events=20), make_moving_tenant("other", events=20)
    export(source, tmp_path / "out")
    with pytest.raises(FileExists):
        export(source, tmp_path / "out")
    with pytest.raises(UsageError, match="another tenant"):
        export(other, tmp_path / "out", incremental=True)
    with pytest.raises(UsageError, match="can't be created"):
        export(other, tmp_path / "none" / "out")
    dry = export(other, tmp_path / "dry", dry_run=True)
    assert (dry.figures["rooms"], len(dry.lists["not_exported"])) == (3, 4)
    assert not (tmp_path / "dry").exists()
