"""All rooms of a tenant: what is made, kept, refused and failed, and that it can be run again."""

from __future__ import annotations

import json
import random
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.bundle.time_window import Window
from rooms.errors import ExportRunning
from rooms.services.exported_rooms import BulkExportResult
from rooms.services.exports.export_rooms import export_rooms
from scaiwave.errors import InsufficientPermission, UsageError
from tenants.errors import TenantNotFound
from tenants.models import AuditEntry, Tenant
from tests.rooms.export.bundles import make_room, show
from tests.scaiwave import rows
from tests.tenants.factories import HOST_OPERATOR, NOW, READ_ONLY_OPERATOR, make_tenant_admin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant() -> Tenant:
    return rows.tenant("acme", scaikey_tenant_id="tnt_acme")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundles"
    folder.mkdir()
    return folder


def export_all(folder: Path, **changes: Any) -> BulkExportResult:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": "acme",
        "folder": folder,
        "window": Window(),
        "with_media": True,
        "clock": lambda: NOW,
        **changes,
    }
    return export_rooms(**arguments)


def outcomes(exported: BulkExportResult) -> list[str]:
    return [row["outcome"] for row in exported.rooms]


def test_success_each_into_its_file(tenant: Tenant, folder: Path) -> None:
    first, second = make_room(tenant, name="First"), make_room(tenant, name="")
    make_room(rows.tenant("other"))
    rows.event(first, 1)
    show(first, b"bytes")
    exported = export_all(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{first.pk}.zip",
        f"{second.pk}.zip",
    ]
    assert exported.sentence == "2 rooms: 2 exported."
    with zipfile.ZipFile(folder / f"{first.pk}.zip") as archive:
        assert archive.testzip() is None
        assert len(json.loads(archive.read("manifest.json"))["events"]) == 1
    assert exported.rooms[0] == {
        "id": first.pk,
        "name": "First",
        "outcome": "exported",
        "events": 1,
        "media": 1,
        "missing_media": 0,
        "bytes": (folder / f"{first.pk}.zip").stat().st_size,
        "file": str(folder / f"{first.pk}.zip"),
        "reason": None,
    }
    assert AuditEntry.objects.filter(action="export-room").count() == 2


def test_success_again_keeps_what_is_there(tenant: Tenant, folder: Path) -> None:
    kept, missing, cut, other = (make_room(tenant) for _ in range(4))
    show(kept, b"bytes", "a.png", "b.png")
    export_all(folder)
    before = (folder / f"{kept.pk}.zip").stat().st_ino
    (folder / f"{missing.pk}.zip").unlink()
    path = folder / f"{cut.pk}.zip"
    path.write_bytes(path.read_bytes()[:-30])
    (folder / f"{other.pk}.zip").write_bytes((folder / f"{kept.pk}.zip").read_bytes())
    exported = export_all(folder)
    assert outcomes(exported) == ["kept", "exported", "exported", "exported"]
    assert exported.sentence == "4 rooms: 3 exported, 1 kept."
    assert (folder / f"{kept.pk}.zip").stat().st_ino == before
    assert outcomes(export_all(folder)) == ["kept"] * 4
    assert AuditEntry.objects.count() == 7


def test_success_damaged_ones_are_made_again(tenant: Tenant, folder: Path) -> None:
    """By one bit, in the events, in an attachment, or in what is said of both."""
    room = make_room(tenant)
    rows.event(room, 1, content={"body": "".join(map(str, range(3_000)))})
    show(room, random.Random(1).randbytes(9_000))
    export_all(folder)
    path = folder / f"{room.pk}.zip"
    with zipfile.ZipFile(path) as archive:
        events, photo, signed = (entry.header_offset for entry in archive.infolist())
    for place in (events + 500, photo + 5_000, signed + 200):
        raw = bytearray(path.read_bytes())
        raw[place] ^= 1
        path.write_bytes(raw)
        assert outcomes(export_all(folder)) == ["exported"], place
        assert outcomes(export_all(folder)) == ["kept"]


def test_success_what_the_store_had_lost_is_fetched_when_it_is_back(
    tenant: Tenant, folder: Path
) -> None:
    photo = show(make_room(tenant), b"bytes", stored=False)
    assert [row["missing_media"] for row in export_all(folder).rooms] == [1]
    assert outcomes(export_all(folder)) == ["kept"]
    default_storage.save(photo.storage_name, ContentFile(b"bytes"))
    assert [row["missing_media"] for row in export_all(folder).rooms] == [0]
    assert outcomes(export_all(folder)) == ["kept"]


def test_success_another_window_or_other_media_is_another_bundle(
    tenant: Tenant, folder: Path
) -> None:
    show(make_room(tenant), b"bytes")
    window = Window(until=NOW)
    for changes in (
        {},
        {"window": window},
        {"window": Window(until=NOW + timedelta(seconds=1))},
        {},
        {"with_media": False},
        {},
    ):
        assert outcomes(export_all(folder, **changes)) == ["exported"]
        assert outcomes(export_all(folder, **changes)) == ["kept"]


def test_success_refused_ones_are_named_and_hold_up_nobody(tenant: Tenant, folder: Path) -> None:
    bridge = make_room(tenant, name="IRC", room_type="bridge")
    make_room(tenant)
    exported = export_all(folder)
    assert outcomes(exported) == ["refused", "exported"]
    assert exported.rooms[0]["reason"] == "its type is bridge"
    assert exported.document()["refused"] == 1
    assert not (folder / f"{bridge.pk}.zip").exists()


def test_fail_one_does_not_stop_the_rest(tenant: Tenant, folder: Path) -> None:
    damaged, whole = make_room(tenant), make_room(tenant)
    photo = show(damaged, b"bytes")
    Path(default_storage.path(photo.storage_name)).write_bytes(b"other")
    exported = export_all(folder)
    assert outcomes(exported) == ["failed", "exported"]
    assert exported.rooms[0]["reason"] == (
        f"The bytes of attachment {photo.pk} are not those with its hash and size."
    )
    assert [path.name for path in folder.iterdir()] == [f"{whole.pk}.zip"]
    Path(default_storage.path(photo.storage_name)).write_bytes(b"bytes")
    assert outcomes(export_all(folder)) == ["exported", "kept"]


def test_success_drafts_of_killed_runs_are_removed(tenant: Tenant, folder: Path) -> None:
    room = make_room(tenant)
    (folder / f".{room.pk}.zip.0123456789abcdef.draft").write_bytes(b"half")
    foreign = folder / ".notes.zip.0123456789abcdef.draft"
    foreign.write_bytes(b"somebody's")
    export_all(folder)
    assert {path.name for path in folder.iterdir()} == {f"{room.pk}.zip", foreign.name}


def test_success_no_rooms(tenant: Tenant, folder: Path) -> None:
    assert export_all(folder).sentence == "There are no rooms."


@pytest.mark.only_on("sqlite")
def test_fail_two_at_once(tenant: Tenant, folder: Path) -> None:
    """A lock on a file keeps out even its own process; PostgreSQL's lets its own session in."""
    make_room(tenant)
    held: list[str] = []

    def meanwhile(done: int, total: int | None) -> None:
        with pytest.raises(ExportRunning) as caught:
            export_all(folder)
        held.append(caught.value.message)

    export_all(folder, progress=meanwhile)
    assert held == [f"Another export into {folder} is running."]
    assert outcomes(export_all(folder)) == ["kept"]


def test_success_the_folder_is_made_for_its_owner_alone(tenant: Tenant, tmp_path: Path) -> None:
    export_all(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["no/such", "file", "file/below"])
def test_fail_no_folder(name: str, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        export_all(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name} is no folder, and can't be made one."


def test_fail_who_may_not(tenant: Tenant, folder: Path) -> None:
    other = rows.tenant("other", scaikey_tenant_id="tnt_other")
    with pytest.raises(TenantNotFound):
        export_all(folder, operator=make_tenant_admin(other))
    with pytest.raises(InsufficientPermission):
        export_all(folder, operator=READ_ONLY_OPERATOR)
    make_room(tenant)
    assert outcomes(export_all(folder, operator=make_tenant_admin(tenant))) == ["exported"]
