"""A bucket that refuses requests: the error names it, and nothing is left of the import."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings

from rooms.errors import ExportDamaged
from rooms.models import ImportIntent, Media, Room, RoomMedia
from rooms.queries.health import check_media_store, clean_up_imports
from rooms.queries.rooms import list_room_media
from scaiwave.config import load
from scaiwave.error_mapping import translate_errors
from scaiwave.media_storage import MediaStoreUnusable
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.factories import NOW, make_home
from tests.rooms.imports.test_import_room import import_bundle
from tests.scaiwave import row_factories
from tests.scaiwave.fake_s3 import MESSAGE, S3_MESSAGE, use_refusing_bucket

pytestmark = pytest.mark.django_db(transaction=True)


def with_a_file() -> Bundle:
    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    return bundle


def test_fail_import(
    media_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Files also stay in the bucket until it accepts requests again."""
    home = make_home()
    stores = settings.STORAGES
    use_refusing_bucket(monkeypatch, settings)
    with pytest.raises(MediaStoreUnusable) as caught, translate_errors():
        import_bundle(home, with_a_file())
    assert (caught.value.message, caught.value.exit_code) == (MESSAGE, 2)
    intent = ImportIntent.objects.get()
    assert caplog.record_tuples[-1][1:] == (
        logging.WARNING,
        f"Could not clean up after import {intent.pk}; the next import will.",
    )
    assert (Room.objects.count(), Media.objects.count()) == (0, 0)
    settings.STORAGES = stores
    import_bundle(home, with_a_file())
    assert not ImportIntent.objects.exists()
    assert default_storage.exists(Media.objects.get().storage_name)


def test_fail_stored_media_cannot_be_queried(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    home = make_home()
    media = row_factories.make_media(home.tenant, "cat")
    room = row_factories.make_room(home.workspace, home.anna)
    RoomMedia.objects.create(
        tenant=home.tenant, room=room, media=media, name="cat.png", created_at=NOW
    )
    use_refusing_bucket(monkeypatch, settings)
    with pytest.raises(MediaStoreUnusable), translate_errors():
        import_bundle(home, with_a_file(), dry_run=True)
    with pytest.raises(ExportDamaged) as caught:
        list_room_media(room)
    assert "ClientError" in caught.value.message


def test_fail_doctor(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    use_refusing_bucket(monkeypatch, settings)
    (finding,) = check_media_store(load({}), NOW)
    assert finding.message == f"The media store can't be written to: {S3_MESSAGE}."
    tenant = row_factories.make_tenant()
    ImportIntent.objects.create(tenant=tenant, hashes=["a" * 64], operator="root", started_at=NOW)
    with pytest.raises(MediaStoreUnusable):
        list(clean_up_imports(load({}), NOW))
