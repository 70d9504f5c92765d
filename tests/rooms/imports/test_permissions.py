"""Who may import where, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest

from rooms.bundle.format import MIB
from rooms.errors import (
    BundleNotZip,
    ImportRefused,
    TenantQuotaExceeded,
    WorkspaceForbidden,
    WorkspaceNotFound,
)
from rooms.imports.permissions import ensure_quota, resolve_target
from rooms.models import Event, ImportIntent, Media, Room, WorkspaceMember
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.core.errors import ScaiWaveError
from tenants.errors import ParticipantNotFound
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.factories import NOW, ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import import_bundle
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
WHO = "Run `scaiwave room workspaces --tenant <slug>` to list owners and editors."


class Unread(BytesIO):
    """A bundle that must not be read before the operator is known."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("It was read.")

    def seekable(self) -> bool:
        raise AssertionError("It was looked at.")


def import_and_fail(home: ImportTargetRows, **changes: Any) -> ScaiWaveError:
    with pytest.raises(ScaiWaveError) as caught:
        import_bundle(home, Bundle(), file=Unread(), **changes)
    return caught.value


@pytest.mark.parametrize("role", ["owner", "editor"])
def test_success_owners_and_editors(role: str) -> None:
    home = make_home(role=role)
    place = resolve_target(
        HOST_OPERATOR, tenant="acme", workspace="main", participant="anna@example.com"
    )
    assert (place.tenant, place.workspace, place.participant) == (
        home.tenant,
        home.workspace,
        home.anna,
    )


def test_fail_viewer() -> None:
    error = import_and_fail(make_home(role="viewer"))
    assert isinstance(error, WorkspaceForbidden)
    assert error.message == (
        "Anna is viewer of workspace main; only owners and editors may import there."
    )
    assert (error.fix, error.exit_code) == (WHO, 1)


def test_fail_not_a_member() -> None:
    home = make_home()
    WorkspaceMember.objects.all().delete()
    error = import_and_fail(home)
    assert error.message == "Anna is not a member of workspace main."
    assert error.fix == WHO


def test_fail_participant_is_not_active() -> None:
    home = make_home()
    home.anna.suspended_by_hand_at = NOW
    home.anna.save()
    error = import_and_fail(home)
    assert isinstance(error, WorkspaceForbidden)
    assert error.message == "Anna can't import into workspace main: suspended manually."


def test_fail_tenant_is_suspended() -> None:
    error = import_and_fail(make_home(scaikey_status="SUSPENDED"))
    assert isinstance(error, ImportRefused)
    assert error.message == "Can't import into tenant acme: it is suspended in ScaiKey."
    assert error.fix == "Nothing was imported. For details, run `scaiwave admin show-tenant acme`."


def test_fail_participant_of_another_tenant() -> None:
    home, other = make_home(), make_home("other")
    assert isinstance(import_and_fail(home, workspace=str(other.workspace.pk)), WorkspaceNotFound)
    assert isinstance(import_and_fail(home, participant=str(other.anna.pk)), ParticipantNotFound)


def test_success_rooms_that_are_closed_do_not_count() -> None:
    home = make_home(max_rooms=2)
    for state in ("closed", "closed", "archived"):
        row_factories.make_room(home.workspace, home.anna, state=state)
    assert import_bundle(home, Bundle()).imported


def test_fail_too_many_rooms() -> None:
    home = make_home(max_rooms=1)
    row_factories.make_room(home.workspace, home.anna)
    with pytest.raises(TenantQuotaExceeded):
        import_bundle(home, Bundle([make_event(1)]), dry_run=True)
    with pytest.raises(TenantQuotaExceeded) as caught:
        import_bundle(home, Bundle([make_event(1)]))
    assert caught.value.message == "Limit of tenant acme exceeded: 1 room in use, 1 allowed."
    assert caught.value.fix == (
        "Nothing was imported. Raise the limit with `scaiwave admin update-tenant acme`, or "
        "delete rooms or files."
    )
    assert not Event.objects.exists()


def test_fail_too_many_bytes() -> None:
    home = make_home(max_storage_mb=1)
    row_factories.make_media(home.tenant, size=MIB - 2)
    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    with pytest.raises(TenantQuotaExceeded) as caught:
        import_bundle(home, bundle)
    assert caught.value.message == (
        "Limit of tenant acme exceeded: 1.0 MiB of 1.0 MiB storage is in use, and the attachments "
        "need 3 B."
    )
    assert not Room.objects.exists()
    assert not ImportIntent.objects.exists()


def test_success_stored_bytes_do_not_count_again() -> None:
    home = make_home()
    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    import_bundle(home, bundle)
    Media.objects.update(size=3)
    home.tenant.max_storage_mb = 0
    home.tenant.save()
    assert import_bundle(home, bundle).imported
    bundle.add("dog.png", b"dog")
    with pytest.raises(TenantQuotaExceeded):
        import_bundle(home, bundle)


def test_success_exactly_at_the_limit() -> None:
    home = make_home(max_storage_mb=1, max_rooms=1)
    row_factories.make_media(home.tenant, size=MIB - 3)
    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    assert import_bundle(home, bundle).imported


def test_fail_limits_are_reached_during_the_import() -> None:
    """Of two imports that both would have fitted, the last to finish finds no room."""
    home = make_home(max_rooms=1, max_storage_mb=1)
    row_factories.make_room(home.workspace, home.anna)
    ensure_quota(home.tenant, added_bytes=0, written=True)
    row_factories.make_media(home.tenant, size=MIB)
    ensure_quota(home.tenant, added_bytes=3, written=True)
    row_factories.make_media(home.tenant, "other", size=1)
    with pytest.raises(TenantQuotaExceeded):
        ensure_quota(home.tenant, added_bytes=3, written=True)
    row_factories.make_room(home.workspace, home.anna, "Other")
    with pytest.raises(TenantQuotaExceeded) as caught:
        ensure_quota(home.tenant, added_bytes=0, written=True)
    assert caught.value.message == "Limit of tenant acme exceeded: 1 room in use, 1 allowed."


def test_fail_not_a_bundle() -> None:
    with pytest.raises(BundleNotZip):
        import_bundle(make_home(), Bundle(), file=BytesIO())


@pytest.mark.parametrize("change", [{"role": "viewer"}, None], ids=["viewer", "gone"])
def test_fail_editor_role_is_lost_during_the_import(change: dict[str, str] | None) -> None:
    """To check a large bundle takes minutes."""
    home, members = make_home(), WorkspaceMember.objects.all()

    @contextmanager
    def removing(what: str, kind: ColumnType = ColumnType.COUNT, /) -> Iterator[ProgressCallback]:
        members.update(**change) if change else members.delete()
        yield null_progress

    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    with pytest.raises(WorkspaceForbidden):
        import_bundle(home, bundle, progress_factory=removing)
    left = (Room.objects, Event.objects, Media.objects, ImportIntent.objects)
    assert [rows_of.count() for rows_of in left] == [0, 0, 0, 0]
