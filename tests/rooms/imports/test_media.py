"""Which files of a bundle are stored, and which rows they get."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from pytest_django import Settings

from rooms.bundle.manifest.schema import MediaEntry
from rooms.errors import BundleDamaged
from rooms.imports.media import MediaPlan, plan_media, store_files, write_media
from rooms.models import Media, Room, RoomMedia
from scaiwave.storage.media import AtomicFileSystemStorage, MediaStoreUnusable
from tests.rooms.imports.bundle_factories import make_attachment
from tests.rooms.imports.factories import NOW, ImportTargetRows, make_home
from tests.scaiwave import row_factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]
DATA = b"bytes of a cat"


def media_row(name: str, data: bytes, **changes: Any) -> MediaEntry:
    return make_attachment(name, data, **changes)


CAT = media_row("cat.png", DATA)


@pytest.fixture
def home() -> ImportTargetRows:
    return make_home()


@pytest.fixture
def room(home: ImportTargetRows) -> Room:
    return row_factories.make_room(home.workspace, home.anna)


def plan(home: ImportTargetRows, *media: MediaEntry) -> MediaPlan:
    return plan_media(home.tenant.pk, media, trusted=True)


def store(home: ImportTargetRows, planned: MediaPlan, data: bytes = DATA) -> None:
    store_files(
        planned,
        tenant_id=home.tenant.pk,
        open_media=cast(Callable[[str], BinaryIO], lambda sha256: BytesIO(data)),
        progress=lambda done, total: None,
    )


def here(home: ImportTargetRows, *, data: bytes | None = DATA, **fields: Any) -> Media:
    """The tenant's own cat; without bytes where `data` is None."""
    media = row_factories.make_media(home.tenant, sha256=CAT.sha256, size=len(DATA), **fields)
    if data is not None:
        default_storage.save(media.storage_name, ContentFile(data))
    return media


def read_stored(home: ImportTargetRows) -> bytes | None:
    name = Media(tenant=home.tenant, sha256=CAT.sha256).storage_name
    if not default_storage.exists(name):
        return None
    with default_storage.open(name) as file:
        return bytes(file.read())


def test_success_new_file(home: ImportTargetRows, room: Room) -> None:
    planned = plan(home, CAT)
    assert (planned.to_store, planned.new, planned.added_bytes) == ([CAT], [CAT], len(DATA))
    store(home, planned)
    assert read_stored(home) == DATA
    ids = write_media(planned, room=room, now=NOW)
    media = Media.objects.get()
    assert ids == {CAT.media_id: str(media.pk)}
    assert (media.sha256, media.size, media.mime_type) == (CAT.sha256, len(DATA), "image/png")
    assert (media.scan_status, media.created_at) == ("clean", NOW)
    link = RoomMedia.objects.get()
    assert (link.media, link.room, link.name) == (media, room, "cat.png")


def test_success_file_under_several_names_and_ids(home: ImportTargetRows, room: Room) -> None:
    again = media_row("katze.png", DATA, media_id="019ab222-0000-7000-8000-000000000001")
    planned = plan(home, CAT, again)
    assert (len(planned.to_store), planned.added_bytes) == (1, len(DATA))
    ids = write_media(planned, room=room, now=NOW)
    key = str(Media.objects.get().pk)
    assert ids == {row.media_id: key for row in (CAT, again)}
    assert sorted(RoomMedia.objects.values_list("name", flat=True)) == ["cat.png", "katze.png"]


def test_success_stored_file_is_not_written_again(home: ImportTargetRows, room: Room) -> None:
    media = here(home, scan_status="pending")
    planned = plan(home, CAT)
    assert (planned.to_store, planned.new, planned.added_bytes) == ([], [], 0)
    assert planned.already_there == 1
    assert write_media(planned, room=room, now=NOW) == {CAT.media_id: str(media.pk)}
    media.refresh_from_db()
    assert media.scan_status == "pending"


@pytest.mark.parametrize("data", [None, b"half"])
def test_success_lost_file_is_restored(
    data: bytes | None, home: ImportTargetRows, room: Room
) -> None:
    media = here(home, data=data)
    planned = plan(home, CAT)
    assert (planned.to_store, planned.new, planned.added_bytes) == ([CAT], [], 0)
    store(home, planned)
    assert read_stored(home) == DATA
    assert write_media(planned, room=room, now=NOW) == {CAT.media_id: str(media.pk)}


def test_success_file_of_another_tenant_is_stored_again(home: ImportTargetRows) -> None:
    here(make_home("other"))
    assert plan(home, CAT).to_store == [CAT]


def test_success_file_marked_as_infected_stays_infected(home: ImportTargetRows, room: Room) -> None:
    media = here(home, data=None, scan_status="infected")
    planned = plan(home, CAT)
    assert (planned.to_store, planned.new, planned.infected) == ([], [], 1)
    assert write_media(planned, room=room, now=NOW) == {CAT.media_id: str(media.pk)}
    assert RoomMedia.objects.get().media == media


@pytest.mark.parametrize("missing", ["infected", None])
def test_success_infected_file_of_a_bundle_becomes_a_row_without_bytes(
    missing: str | None, home: ImportTargetRows, room: Room
) -> None:
    infected = media_row("cat.png", DATA, missing=missing, scan_status="infected")
    planned = plan(home, infected)
    assert (planned.to_store, planned.added_bytes, planned.infected) == ([], 0, 1)
    ids = write_media(planned, room=room, now=NOW)
    media = Media.objects.get()
    assert (ids, media.scan_status) == ({CAT.media_id: str(media.pk)}, "infected")


@pytest.mark.parametrize("missing", ["lost", "left out"])
def test_success_missing_file_becomes_no_row(
    missing: str, home: ImportTargetRows, room: Room
) -> None:
    planned = plan(home, media_row("cat.png", DATA, missing=missing))
    assert (planned.to_store, planned.new, planned.missing) == ([], [], 1)
    assert write_media(planned, room=room, now=NOW) == {}
    assert not Media.objects.exists()


@pytest.mark.parametrize("missing", ["lost", "left out", "infected"])
def test_success_a_hash_alone_gives_no_access_to_a_file(
    missing: str, home: ImportTargetRows, room: Room
) -> None:
    """Otherwise a forged bundle would give access to every file whose hash is known."""
    here(home)
    planned = plan(home, media_row("cat.png", DATA, missing=missing))
    assert write_media(planned, room=room, now=NOW) == {}
    assert not RoomMedia.objects.exists()
    assert Media.objects.get().scan_status == "clean"


def test_success_row_written_concurrently(home: ImportTargetRows, room: Room) -> None:
    planned = plan(home, CAT)
    media = here(home)
    assert write_media(planned, room=room, now=NOW) == {CAT.media_id: str(media.pk)}


def test_success_more_files_than_fit_in_a_statement(home: ImportTargetRows, room: Room) -> None:
    many = [media_row(f"{number}.png", str(number).encode()) for number in range(1203)]
    planned = plan(home, *many)
    assert len(write_media(planned, room=room, now=NOW)) == 1203
    assert RoomMedia.objects.filter(room=room).count() == 1203


@pytest.mark.parametrize("data", [b"bytes of a dog", b"", DATA + b"!"])
def test_fail_bytes_changed_after_the_check(
    data: bytes, home: ImportTargetRows, tmp_path: Path
) -> None:
    with pytest.raises(BundleDamaged) as caught:
        store(home, plan(home, CAT), data)
    assert caught.value.message == "The bytes of cat.png do not match their hash."
    assert read_stored(home) is None


def test_fail_store_that_is_a_file(home: ImportTargetRows, media_root: Path) -> None:
    media_root.write_text("in the way")
    with pytest.raises(MediaStoreUnusable) as caught:
        store(home, plan(home, CAT))
    assert caught.value.message == "The media store can't be written to: File exists."


class Sparing(AtomicFileSystemStorage):
    """Reads no more than the declared size of a file, as S3's client does with small files."""

    def _save(self, name: str, content: File[Any]) -> str:
        return super()._save(name, ContentFile(content.read(content.size)))


def test_fail_changed_bytes_are_read_up_to_their_size_only(
    home: ImportTargetRows, settings: Settings
) -> None:
    backend = {"BACKEND": f"{__name__}.Sparing"}
    options = {**settings.STORAGES["default"], **backend}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    with pytest.raises(BundleDamaged):
        store(home, plan(home, CAT), DATA[::-1])
    assert read_stored(home) is None


def test_success_scan_results_of_unknown_signers_are_ignored(
    home: ImportTargetRows, room: Room
) -> None:
    infected = media_row("dog.png", b"woof", missing="infected", scan_status="infected")
    planned = plan_media(home.tenant.pk, [CAT, infected], trusted=False)
    store(home, planned)
    write_media(planned, room=room, now=NOW)
    media = Media.objects.get()
    assert (media.sha256, media.scan_status) == (CAT.sha256, "pending")
    assert planned.infected == 1
