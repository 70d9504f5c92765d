"""Attachments in a bundle, and those that are not there."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_django import Settings

from rooms.bundle.reader import read_bundle
from rooms.errors import ExportDamaged
from rooms.exports.sinks import write_to_stream
from rooms.models import Media, Room
from tests.rooms.exports.factories import attach_media, export_bundle, make_room, prepare_export
from tests.rooms.exports.processes import is_zip
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = b"\x89PNG" + bytes(range(256)) * 5_000


def entry(content: bytes, name: str) -> str:
    return f"media/{sha256(content).hexdigest()}/{name}"


def failing(room: Room) -> tuple[ExportDamaged, bytes]:
    """What an export raises, and what it has written by then."""
    stream = BytesIO()
    with pytest.raises(ExportDamaged) as caught:
        write_to_stream(prepare_export(room), stream)
    return caught.value, stream.getvalue()


def test_success_bytes_are_exported_once_under_the_first_name() -> None:
    room = make_room()
    photo = attach_media(room, CONTENT, "photo.png", "again/../photo.png", mime_type="image/png")
    empty = attach_media(room, b"", ".hidden")
    attach_media(make_room(row_factories.make_tenant("other")), b"of another tenant's room")
    bundle = export_bundle(room)
    assert list(bundle.files) == [
        "manifest.json",
        entry(CONTENT, "photo.png"),
        entry(b"", "_hidden"),
        "signature.json",
    ]
    assert bundle.files[entry(CONTENT, "photo.png")] == CONTENT
    assert [row["name"] for row in bundle.manifest["media"]] == [
        "photo.png",
        "again/../photo.png",
        ".hidden",
    ]
    assert bundle.manifest["media"][0] == {
        "media_id": str(photo.pk),
        "sha256": photo.sha256,
        "size": len(CONTENT),
        "mime_type": "image/png",
        "scan_status": "clean",
        "name": "photo.png",
        "missing": None,
    }
    assert bundle.manifest["media"][2]["media_id"] == str(empty.pk)
    assert bundle.signature["entries"] == [
        {"name": name, "sha256": sha256(content).hexdigest(), "size": len(content)}
        for name, content in bundle.files.items()
        if name != "signature.json"
    ]
    assert bundle.signature["counts"] == {
        "events": 0,
        "senders": 0,
        "media": 3,
        "missing_media": 0,
    }
    with read_bundle(BytesIO(bundle.data), max_bytes=2**24) as checked:
        with checked.open_media(photo.sha256) as file:
            assert file.read() == CONTENT


def test_success_missing_media_is_listed_with_the_reason() -> None:
    room = make_room()
    attach_media(room, b"whole")
    attach_media(room, b"infected", stored=False, scan_status="infected")
    attach_media(room, b"infected, and still there", scan_status="infected")
    attach_media(room, b"lost", "one.png", "two.png", stored=False)
    cut = attach_media(room, b"shorter than it was")
    Path(default_storage.path(cut.storage_name)).write_bytes(b"short")
    bundle = export_bundle(room)
    assert [row["missing"] for row in bundle.manifest["media"]] == [
        None,
        "infected",
        "infected",
        "lost",
        "lost",
        "lost",
    ]
    assert [name for name in bundle.files if name.startswith("media/")] == [
        entry(b"whole", "photo.png")
    ]
    assert bundle.signature["counts"]["missing_media"] == 5
    assert list(bundle.result.sentences())[1:-1] == [
        "Without the files of 2 attachments: infected."
    ]
    assert bundle.result.warnings == [
        "The media store has lost the files of 3 attachments, or damaged them: one.png, two.png, "
        "photo.png. The bundle lists them without their files."
    ]
    assert bundle.result.document()["missing_media"] == {
        "infected": 2,
        "lost": 3,
        "left_out": 0,
    }


def test_success_without_media() -> None:
    room = make_room()
    attach_media(room, CONTENT)
    attach_media(room, b"lost", stored=False)
    attach_media(room, b"infected", scan_status="infected")
    bundle = export_bundle(room, with_media=False)
    assert list(bundle.files) == ["manifest.json", "signature.json"]
    assert [row["missing"] for row in bundle.manifest["media"]] == [
        "left out",
        "left out",
        "infected",
    ]


def test_fail_other_bytes_than_their_hash_says() -> None:
    room = make_room()
    photo = attach_media(room, CONTENT)
    Path(default_storage.path(photo.storage_name)).write_bytes(CONTENT[::-1])
    error, written = failing(room)
    assert error.message == (
        f"Attachment {photo.pk} is damaged: its bytes do not have the recorded hash and size."
    )
    assert len(written) > len(CONTENT) // 2
    assert not is_zip(written)


def test_fail_media_is_deleted_during_the_export() -> None:
    """Deleted, and so on, between the manifest and its own turn."""
    room = make_room()
    photo = attach_media(room, CONTENT)
    path = Path(default_storage.path(photo.storage_name))
    begun = prepare_export(room)()
    next(begun)
    path.unlink()
    with pytest.raises(ExportDamaged) as caught:
        list(begun)
    assert caught.value.message == (
        f"Can't read attachment {photo.pk} from the media store: No such file or directory."
    )


def test_fail_store_cannot_be_read() -> None:
    """A directory in the place of the file: it exists with the right size, but isn't a file."""
    room = make_room()
    photo = attach_media(room, b"", stored=False)
    path = Path(default_storage.path(photo.storage_name))
    path.mkdir(parents=True)
    Media.objects.update(size=path.stat().st_size)
    error, written = failing(room)
    assert error.message == (
        f"Can't read attachment {photo.pk} from the media store: {os.strerror(errno.EISDIR)}."
    )
    assert not is_zip(written)


def test_fail_store_cannot_be_queried(settings: Settings, tmp_path: Path) -> None:
    room = make_room()
    photo = attach_media(room, CONTENT, stored=False)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    options = {"location": str(loop)}
    store = {"BACKEND": "scaiwave.storage.media.AtomicFileSystemStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": store}
    error, written = failing(room)
    assert f"Can't read attachment {photo.pk}" in error.message
    assert not is_zip(written)


def test_success_media_saved_later_is_exported_the_next_time() -> None:
    room = make_room()
    photo = attach_media(room, CONTENT, stored=False)
    assert export_bundle(room).manifest["media"][0]["missing"] == "lost"
    default_storage.save(photo.storage_name, ContentFile(CONTENT))
    assert export_bundle(room).manifest["media"][0]["missing"] is None
