from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_django import Settings

from rooms.models import ImportIntent, Media, RoomMedia, ScanStatus, Workspace
from scaiwave.config import load
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback
from scaiwave.operations.doctor.findings import Finding, State
from scaiwave.operations.doctor.media import MediaDepth, check_media_files
from scaiwave.operations.doctor.rooms import check_imports, check_media_store, clean_up_imports
from tenants.models import Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW, TIMESTAMPS
from tests.tenants.factories import make_person


def summarize(findings: Iterator[Finding]) -> list[tuple[State, str]]:
    return [(finding.state, finding.message) for finding in findings]


def test_success_the_store_works_and_the_probe_is_deleted(media_root: Path) -> None:
    media_root.mkdir()
    findings = summarize(check_media_store(load({}), NOW))
    assert findings == [(State.PASS, "The media store is readable and writable.")]
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


def test_success_a_directory_that_does_not_exist_is_not_made(media_root: Path) -> None:
    message = f"The media store is empty; the first import creates {media_root}."
    assert summarize(check_media_store(load({}), NOW)) == [(State.PASS, message)]
    assert not media_root.exists()


def test_fail_a_directory_below_a_file(media_root: Path, settings: Settings) -> None:
    media_root.write_text("in the way")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": media_root / "media"}},
    }
    (finding,) = check_media_store(load({}), NOW)
    assert (finding.state, finding.code) == (State.FAIL, "SW_MEDIA_STORE_UNUSABLE")
    assert finding.message == f"{media_root / 'media'} can't be created in {media_root}."


def test_fail_a_store_that_is_a_file(media_root: Path) -> None:
    media_root.write_text("in the way")
    (finding,) = check_media_store(load({}), NOW)
    assert (finding.state, finding.code, finding.exit_code) == (
        State.FAIL,
        "SW_MEDIA_STORE_UNUSABLE",
        2,
    )
    assert finding.message.startswith("The media store can't be written to: ")


def _attach(tenant: Tenant, text: str, **fields: Any) -> Media:
    """Attach a file to a room of the tenant, and store it."""
    media = row_factories.make_media(tenant, text, **fields)
    workspace = Workspace.objects.get_or_create(tenant=tenant, slug="x", defaults=TIMESTAMPS)[0]
    room = row_factories.make_room(workspace, make_person(tenant, f"p{text}"), text)
    RoomMedia.objects.create(tenant=tenant, room=room, media=media, name=text, created_at=NOW)
    default_storage.save(media.storage_name, ContentFile(text.encode()))
    return media


@pytest.mark.django_db
def test_fail_files_of_rows_that_are_missing_or_damaged(
    media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infected and removed files are known, and need no file."""
    acme, other = row_factories.make_tenant("acme"), row_factories.make_tenant("other")
    lost, short, intact, changed = (_attach(acme, text) for text in ("a", "b", "c", "d"))
    gone = _attach(other, "e")
    _attach(other, "f", scan_status=ScanStatus.INFECTED)
    removed = _attach(other, "g")
    RoomMedia.objects.filter(media=removed).delete()
    passing = "No file is missing of 6 sampled attachments."
    assert summarize(check_media_files(load({}), NOW)) == [(State.PASS, passing)]
    default_storage.delete(short.storage_name)
    default_storage.save(short.storage_name, ContentFile(b"longer"))
    default_storage.delete(changed.storage_name)
    default_storage.save(changed.storage_name, ContentFile(b"D"))
    for media in (lost, gone, *Media.objects.filter(scan_status="infected"), removed):
        default_storage.delete(media.storage_name)
    calls: list[tuple[int, int | None]] = []

    @contextmanager
    def progress(label: str, kind: ColumnType = ColumnType.COUNT) -> Iterator[ProgressCallback]:
        yield lambda done, total: calls.append((done, total))

    monkeypatch.setattr("scaiwave.operations.doctor.media.BATCH_FILES", 2)
    found = f"acme (1 damaged, 1 missing: {lost.pk}, {short.pk})"
    read = f"acme (2 damaged, 1 missing: {lost.pk}, {short.pk}, {changed.pk})"
    cases: list[tuple[MediaDepth, int, str]] = [("sizes", 3, found), ("hashes", 4, read)]
    for depth, count, damaged in cases:
        (finding,) = check_media_files(load({}), NOW, depth, progress)
        assert (finding.state, finding.code) == (State.FAIL, "SW_MEDIA_FILES_MISSING")
        assert finding.message == (
            f"Files missing or damaged: {count} of 6 attachments: {damaged}, "
            f"other (1 missing: {gone.pk})."
        )
    assert calls[-1] == (6, 6)
    (sampled,) = check_media_files(load({}), NOW)
    assert sampled.message.startswith("Files missing or damaged: 3 of 6 sampled attachments: acme ")
    default_storage.delete(intact.storage_name)
    monkeypatch.setattr("scaiwave.operations.doctor.media.SAMPLE_FILES", 4)
    (sampled,) = check_media_files(load({}), NOW)
    assert " of 4 sampled attachments: " in sampled.message


@pytest.mark.django_db(transaction=True)
def test_success_cleans_up_after_an_interrupted_import(media_root: Path) -> None:
    tenant = row_factories.make_tenant()
    ImportIntent.objects.create(tenant=tenant, hashes=["a" * 64], operator="root", started_at=NOW)
    leftover = media_root / "tenant" / str(tenant.pk) / ("a" * 64)
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    before = (
        "In progress, or interrupted and not cleaned up: 1. "
        "The oldest started at 2026-03-04 05:06 UTC."
    )
    assert summarize(check_imports(load({}), NOW)) == [(State.PASS, before)]
    cleaned_up = "Cleaned up after 1 interrupted import."
    assert summarize(clean_up_imports(load({}), NOW)) == [(State.PASS, cleaned_up)]
    assert not leftover.exists()
    none = "No imports in progress and no leftovers."
    assert summarize(check_imports(load({}), NOW)) == [(State.PASS, none)]
