"""--once: the same bundle makes one room of a workspace."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rooms.errors import ImportRunning
from rooms.models import Event, Room, RoomImport
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.factories import NOW, ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import import_bundle
from tests.scaiwave import row_factories
from tests.scaiwave.lock_helpers import hold_lock_elsewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
BUNDLE = Bundle([make_event(1)])


@pytest.fixture
def home() -> ImportTargetRows:
    return make_home()


def test_success_second_time_names_the_first_room(home: ImportTargetRows) -> None:
    first, again = import_bundle(home, BUNDLE, once=True), import_bundle(home, BUNDLE, once=True)
    assert (first.imported, again.imported) == (True, False)
    assert again.room_id == first.room_id
    assert again.sentence == (
        "The bundle was already imported into workspace main as room 'Launch'; nothing changed."
    )
    assert again.document()["imported"] is False
    assert (Room.objects.count(), Event.objects.count()) == (1, 1)


def test_success_current_name_and_workspace_are_reported(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE)
    Room.objects.update(name="Renamed", state="closed")
    assert import_bundle(home, BUNDLE, once=True).name == "Renamed"


def test_success_newest_of_several_rooms_is_named(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE)
    newest = import_bundle(home, BUNDLE, now=NOW + timedelta(minutes=1))
    assert import_bundle(home, BUNDLE, once=True).room_id == newest.room_id


def test_success_deleted_room_is_imported_again(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE, once=True)
    Room.objects.all().delete()
    assert import_bundle(home, BUNDLE, once=True).imported


def test_success_another_bundle_or_another_workspace(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE, once=True)
    assert import_bundle(home, Bundle([make_event(2)]), once=True).imported
    other = make_home("other")
    assert import_bundle(other, BUNDLE, once=True).imported
    Room.objects.filter(tenant=home.tenant).update(
        workspace=row_factories.make_workspace(home.tenant, "side")
    )
    assert import_bundle(home, BUNDLE, once=True).imported


def test_success_dry_run_names_the_first_room(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE)
    assert not import_bundle(home, BUNDLE, once=True, dry_run=True).imported
    assert Room.objects.count() == 1


def test_fail_two_at_once(home: ImportTargetRows) -> None:
    import_bundle(home, BUNDLE)
    key = RoomImport.objects.get().manifest_sha256
    with (
        hold_lock_elsewhere(f"import-{home.workspace.pk}-{key}"),
        pytest.raises(ImportRunning) as caught,
    ):
        import_bundle(home, BUNDLE, once=True)
    assert caught.value.message == (
        "Another import of this bundle into this workspace is in progress."
    )
    assert caught.value.fix == "Wait until the other import has ended, then run this again."
