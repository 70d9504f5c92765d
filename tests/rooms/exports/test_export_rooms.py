"""All rooms of a tenant: what is made, kept, refused and failed, and that it can be run again."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.errors import ExportRunning
from rooms.exports.export_rooms import ChainOptions, export_rooms
from rooms.models import Media
from scaiwave.core.errors import UsageError
from scaiwave.core.report import Report
from tenants.models import AuditEntry, Tenant
from tests.rooms.exports.factories import attach_media, make_room, make_window
from tests.rooms.round_trip import read_bundle
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, NOW, run_command

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant() -> Tenant:
    return row_factories.make_tenant("acme", scaikey_tenant_id="tnt_acme")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "bundles"
    directory.mkdir()
    return directory


def export_all(directory: Path, **changes: Any) -> Report:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": "acme",
        "directory": directory,
        "window": WHOLE_ROOM,
        "with_media": True,
        "clock": lambda: NOW,
        **changes,
    }
    return export_rooms(**arguments)


def outcomes(exported: Report) -> list[str]:
    return [row["outcome"] for row in exported.figures["rooms"]]


def test_success_each_into_its_file(tenant: Tenant, directory: Path) -> None:
    first, second = make_room(tenant, name="First"), make_room(tenant, name="")
    make_room(row_factories.make_tenant("other"))
    row_factories.make_event(first, 1)
    attach_media(first, b"bytes")
    exported = export_all(directory)
    assert sorted(path.name for path in directory.iterdir()) == [
        f"{first.pk}.zip",
        f"{second.pk}.zip",
    ]
    assert exported.sentence == "2 rooms: 2 exported."
    with zipfile.ZipFile(directory / f"{first.pk}.zip") as archive:
        assert archive.testzip() is None
        assert len(json.loads(archive.read("manifest.json"))["events"]) == 1
    assert exported.figures["rooms"][0] == {
        "id": first.pk,
        "name": "First",
        "outcome": "exported",
        "events": 1,
        "media": 1,
        "missing_media": 0,
        "size_bytes": (directory / f"{first.pk}.zip").stat().st_size,
        "file": str(directory / f"{first.pk}.zip"),
        "reason": None,
    }
    assert AuditEntry.objects.filter(action="export-room").count() == 2


def test_success_repeated_keeps_existing_files(tenant: Tenant, directory: Path) -> None:
    existing, missing, cut, other = (make_room(tenant) for _ in range(4))
    attach_media(existing, b"bytes", "a.png", "b.png")
    export_all(directory)
    before = (directory / f"{existing.pk}.zip").stat().st_ino
    (directory / f"{missing.pk}.zip").unlink()
    path = directory / f"{cut.pk}.zip"
    path.write_bytes(path.read_bytes()[:-30])
    (directory / f"{other.pk}.zip").write_bytes((directory / f"{existing.pk}.zip").read_bytes())
    exported = export_all(directory)
    assert outcomes(exported) == ["kept", "exported", "exported", "exported"]
    assert exported.sentence == "4 rooms: 3 exported, 1 kept."
    assert (directory / f"{existing.pk}.zip").stat().st_ino == before
    assert outcomes(export_all(directory)) == ["kept"] * 4
    assert AuditEntry.objects.count() == 7


def test_success_damaged_bundles_are_exported_again(tenant: Tenant, directory: Path) -> None:
    """One bit is changed: in the events, in an attachment, or in their metadata."""
    room = make_room(tenant)
    row_factories.make_event(room, 1, content={"body": "".join(map(str, range(3_000)))})
    attach_media(room, random.Random(1).randbytes(9_000))
    export_all(directory)
    path = directory / f"{room.pk}.zip"
    with zipfile.ZipFile(path) as archive:
        events, photo, signed = (entry.header_offset for entry in archive.infolist())
    for place in (events + 500, photo + 5_000, signed + 200):
        raw = bytearray(path.read_bytes())
        raw[place] ^= 1
        path.write_bytes(raw)
        assert outcomes(export_all(directory)) == ["exported"], place
        assert outcomes(export_all(directory)) == ["kept"]


def test_success_missing_media_is_exported_once_it_is_back(tenant: Tenant, directory: Path) -> None:
    photo = attach_media(make_room(tenant), b"bytes", stored=False)
    assert [row["missing_media"] for row in export_all(directory).figures["rooms"]] == [1]
    assert outcomes(export_all(directory)) == ["kept"]
    default_storage.save(photo.storage_name, ContentFile(b"bytes"))
    assert [row["missing_media"] for row in export_all(directory).figures["rooms"]] == [0]
    assert outcomes(export_all(directory)) == ["kept"]


def test_success_another_window_or_other_media_is_another_bundle(
    tenant: Tenant, directory: Path
) -> None:
    attach_media(make_room(tenant), b"bytes")
    window = make_window(until=NOW)
    for changes in (
        {},
        {"window": window},
        {"window": make_window(until=NOW + timedelta(seconds=1))},
        {},
        {"with_media": False},
        {},
    ):
        assert outcomes(export_all(directory, **changes)) == ["exported"]
        assert outcomes(export_all(directory, **changes)) == ["kept"]


def test_success_refused_rooms_are_named_and_do_not_stop_others(
    tenant: Tenant, directory: Path
) -> None:
    bridge = make_room(tenant, name="IRC", room_type="bridge")
    make_room(tenant)
    exported = export_all(directory)
    assert outcomes(exported) == ["refused", "exported"]
    assert exported.figures["rooms"][0]["reason"] == "its type is bridge"
    assert exported.document()["refused"] == 1
    assert not (directory / f"{bridge.pk}.zip").exists()


def test_fail_a_failed_room_does_not_stop_the_rest(tenant: Tenant, directory: Path) -> None:
    unreadable, whole = make_room(tenant), make_room(tenant)
    photo = attach_media(unreadable, b"", stored=False)
    path = Path(default_storage.path(photo.storage_name))
    path.mkdir(parents=True)
    Media.objects.update(size=path.stat().st_size)
    exported = export_all(directory)
    assert outcomes(exported) == ["failed", "exported"]
    assert exported.figures["rooms"][0]["reason"] == (
        f"Can't read attachment {photo.pk} from the media store: Is a directory."
    )
    assert [path.name for path in directory.iterdir()] == [f"{whole.pk}.zip"]


@pytest.mark.parametrize("chained", [False, True])
def test_success_a_damaged_file_is_listed_as_lost(
    tenant: Tenant, directory: Path, chained: bool
) -> None:
    """Until it is back; then the next export has it."""
    room = make_room(tenant)
    photo, other = attach_media(room, b"bytes", "a.png"), attach_media(room, b"other", "b.png")
    path = Path(default_storage.path(photo.storage_name))
    path.write_bytes(b"wrong")
    hours = count()
    changes: dict[str, Any] = {"clock": lambda: NOW + timedelta(hours=next(hours))}
    if chained:
        changes["chains"] = ChainOptions(30, False, 2**26)

    def read(number: int) -> Mapping[str, Any]:
        name = f"{room.pk}/{number:04}.zip" if chained else f"{room.pk}.zip"
        return read_bundle((directory / name).read_bytes()).files

    exported = export_all(directory, **changes)
    assert (outcomes(exported), exported.figures["rooms"][0]["missing_media"]) == (["exported"], 1)
    kept = read(0)
    assert [name for name in kept if name.endswith(".png")] == [f"media/{other.sha256}/b.png"]
    assert outcomes(export_all(directory, **changes)) == ["kept"]
    path.write_bytes(b"bytes")
    assert outcomes(export_all(directory, **changes)) == ["exported"]
    assert read(int(chained))[f"media/{photo.sha256}/a.png"] == b"bytes"
    if chained:  # An increment restarts too.
        third = attach_media(room, b"third", "c.png")
        Path(default_storage.path(third.storage_name)).write_bytes(b"wrong")
        assert export_all(directory, **changes).figures["rooms"][0]["missing_media"] == 1
        run_command("verify_bundle", "--chain", str(directory / str(room.pk)))


def test_success_drafts_of_killed_processes_are_removed(tenant: Tenant, directory: Path) -> None:
    room = make_room(tenant)
    (directory / f".{room.pk}.zip.0123456789abcdef.draft").write_bytes(b"half")
    foreign = directory / ".notes.zip.draft"
    foreign.write_bytes(b"another file")
    export_all(directory)
    assert {path.name for path in directory.iterdir()} == {f"{room.pk}.zip", foreign.name}


def test_success_rooms_are_read_in_batches(
    tenant: Tenant, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.exports.export_rooms._BATCH_ROOMS", 2)
    keys = [make_room(tenant).pk for _ in range(4)]
    assert [row["id"] for row in export_all(directory).figures["rooms"]] == keys


def test_success_no_rooms(tenant: Tenant, directory: Path) -> None:
    assert export_all(directory).sentence == "The tenant has no rooms."


@pytest.mark.only_on("sqlite")
def test_fail_two_at_once(tenant: Tenant, directory: Path) -> None:
    """A lock on a file keeps out even its own process; PostgreSQL's lets its own session in."""
    make_room(tenant)
    messages: list[str] = []

    def start_another(done: int, total: int | None) -> None:
        with pytest.raises(ExportRunning) as caught:
            export_all(directory)
        messages.append(caught.value.message)

    export_all(directory, progress=start_another)
    assert messages == [f"Another export into {directory} is in progress."]
    assert outcomes(export_all(directory)) == ["kept"]


def test_success_the_directory_is_created_private(tenant: Tenant, tmp_path: Path) -> None:
    export_all(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["no/such", "file", "file/below"])
def test_fail_no_directory(name: str, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        export_all(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name} is not a directory and can't be created."
