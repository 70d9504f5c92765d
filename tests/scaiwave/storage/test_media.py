"""Attachments as files: written completely or not at all, and private."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.files.base import ContentFile, File
from pytest_django import Settings

from scaiwave.config import load
from scaiwave.core.errors import SettingMissing
from scaiwave.operations.doctor.rooms import check_media_store
from scaiwave.storage.media import (
    AtomicFileSystemStorage,
    S3LibrariesMissing,
    media_root,
    storage_settings,
)
from tests.scaiwave.row_factories import NOW

NAME = "tenant/1/0123"


@pytest.fixture
def files(tmp_path: Path) -> AtomicFileSystemStorage:
    return AtomicFileSystemStorage(location=tmp_path / "media")


class Breaking:
    """A file that can't be read to its end."""

    def __init__(self) -> None:
        self._parts = iter([b"half"])

    def read(self, size: int) -> bytes:
        if part := next(self._parts, b""):
            return part
        raise InterruptedError


def content(files: AtomicFileSystemStorage, name: str = NAME) -> bytes:
    with files.open(name) as file:
        return bytes(file.read())


def test_success_saved_privately(files: AtomicFileSystemStorage) -> None:
    assert files.save(NAME, ContentFile(b"bytes")) == NAME
    path = Path(files.path(NAME))
    assert (content(files), path.stat().st_mode & 0o777) == (b"bytes", 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(Path(files.path("incoming")).iterdir()) == []


def test_success_saved_again_under_the_same_name(files: AtomicFileSystemStorage) -> None:
    files.save(NAME, ContentFile(b"bytes"))
    assert files.save(NAME, ContentFile(b"bytes")) == NAME
    assert content(files) == b"bytes"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists what is open")
def test_success_lasts_through_a_power_cut(
    files: AtomicFileSystemStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, then its directory, and the parents of new directories are synced."""
    synced: list[Path] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.save(NAME, ContentFile(b"bytes"))
    media = tmp_path / "media"
    folders = [path for path in synced if path.is_dir()]
    assert folders == [tmp_path, media, media / "tenant", media, media / "tenant" / "1"]
    assert synced[-2].parent == media / "incoming"
    synced.clear()
    files.save(NAME, ContentFile(b"bytes"))
    assert [path for path in synced if path.is_dir()] == [media / "tenant" / "1"]


def test_success_larger_than_a_chunk(files: AtomicFileSystemStorage, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789" * 50_000)
    with (tmp_path / "source").open("rb") as source:
        files.save(NAME, File(source))
    assert content(files) == b"0123456789" * 50_000


@pytest.mark.parametrize("before", [None, b"whole"])
def test_fail_error_while_saving_leaves_the_old_file(
    files: AtomicFileSystemStorage, before: bytes | None
) -> None:
    if before:
        files.save(NAME, ContentFile(before))
    with pytest.raises(InterruptedError):
        files.save(NAME, File(cast(Any, Breaking())))
    assert files.exists(NAME) == (before is not None)
    assert before is None or content(files) == before
    assert list(Path(files.path("incoming")).iterdir()) == []


def test_success_drafts_of_some_files_are_removed(files: AtomicFileSystemStorage) -> None:
    drafts = Path(files.path("incoming"))
    files.remove_drafts([NAME])
    drafts.mkdir(parents=True)
    left = {"tenant-1-01234.a", "tenant-2-0123.aa"}
    for name in ("tenant-1-0123.aa", "tenant-1-0123.bb", "tenant-3-4567.aa", *left):
        (drafts / name).touch()
    files.remove_drafts([NAME, "tenant/3/4567", "tenant/4/4567"])
    assert {path.name for path in drafts.iterdir()} == left


def test_success_in_the_home_directory_or_the_configured_one(tmp_path: Path) -> None:
    def root(**given: str) -> Path:
        return media_root(load({"SCAIWAVE_HOME": str(tmp_path), **given}))

    assert root() == tmp_path / "media"
    assert root(SCAIWAVE_MEDIA_ROOT="files") == tmp_path / "files"
    assert root(SCAIWAVE_MEDIA_ROOT="/srv/files") == Path("/srv/files")


def test_success_configured_as_a_bucket(tmp_path: Path) -> None:
    given = {"BUCKET": "chat", "ACCESS_KEY": "key", "SECRET_KEY": "secret"}
    configured = storage_settings(
        load(
            {
                "SCAIWAVE_HOME": str(tmp_path),
                **{f"SCAIWAVE_S3_{part}": value for part, value in given.items()},
            }
        )
    )
    assert configured["BACKEND"] == "scaiwave.storage.s3.S3MediaStorage"
    assert configured["OPTIONS"]["bucket_name"] == "chat"
    assert configured["OPTIONS"]["endpoint_url"] is None


@pytest.mark.parametrize("lacking", ["ACCESS_KEY", "SECRET_KEY"])
def test_fail_incomplete_bucket_configuration(lacking: str, tmp_path: Path) -> None:
    given = {"BUCKET": "chat", "ACCESS_KEY": "key", "SECRET_KEY": "secret", lacking: ""}
    environment = {f"SCAIWAVE_S3_{part}": value for part, value in given.items()}
    with pytest.raises(SettingMissing) as caught:
        storage_settings(load({"SCAIWAVE_HOME": str(tmp_path), **environment}))
    assert caught.value.message == f"SCAIWAVE_S3_BUCKET is set, but SCAIWAVE_S3_{lacking} is not."
    assert caught.value.fix == (
        "Set both keys of the bucket, or unset SCAIWAVE_S3_BUCKET to keep files here."
    )


def test_fail_libraries_of_a_bucket_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """It is one failed check of `doctor`, beside all others."""
    monkeypatch.setitem(sys.modules, "storages.backends.s3", None)
    monkeypatch.delitem(sys.modules, "scaiwave.storage.s3", raising=False)
    given = {"BUCKET": "chat", "ACCESS_KEY": "key", "SECRET_KEY": "secret"}
    environment = {f"SCAIWAVE_S3_{part}": value for part, value in given.items()}
    config = load({"SCAIWAVE_HOME": str(tmp_path), **environment})
    settings.STORAGES = {**settings.STORAGES, "default": storage_settings(config)}
    with pytest.raises(S3LibrariesMissing) as caught:
        list(check_media_store(config, NOW))
    assert caught.value.message == (
        "SCAIWAVE_S3_BUCKET is set, but the Python libraries for S3 are not installed."
    )
    assert "scripts/requirements/s3.txt" in caught.value.fix
