"""Rooms with attachments go into a bucket, out of it and back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.rooms.bucket.environment import BucketEnvironment, run_doctor, run_ok

# Two parts, so that it is uploaded in parts.
LARGE_BYTES = 9_000_000

both_servers = pytest.mark.parametrize("bucket", ["seaweedfs", "rclone"], indirect=True)


@both_servers
def test_success_seed_export_and_import(site: BucketEnvironment, tmp_path: Path) -> None:
    room = site.seed("--events", "50", "--media", "3", "--media-bytes", str(LARGE_BYTES))
    assert list(site.files().values()) == [LARGE_BYTES] * 3
    site.assert_clean()
    first = tmp_path / "room.zip"
    ended = site.export(room, first)
    assert (ended.code, "3 attachments" in ended.out) == (0, True), ended
    verified = json.loads(run_ok("room", "verify", str(first), "--json").out)
    assert (verified["media"], verified["missing_media"]) == (3, 0)
    assert site.run_import(first).code == 0
    assert list(site.files().values()) == [LARGE_BYTES] * 6
    site.assert_clean()
    second = tmp_path / "again.zip"
    imported = site.rows("SELECT room_id FROM sw_room_imports")[0][0]
    run_ok("room", "export", str(imported), "--tenant", "acme", "--output", str(second))
    assert _get_sums(first) == _get_sums(second)
    assert len(_get_sums(first)) == 3


def _get_sums(bundle: Path) -> set[int]:
    with zipfile.ZipFile(bundle) as archive:
        return {each.CRC for each in archive.infolist() if each.file_size == LARGE_BYTES}


@both_servers
def test_success_export_of_all_rooms(site: BucketEnvironment, tmp_path: Path) -> None:
    """It keeps complete bundles, and takes up a file that the bucket has again."""
    site.seed("--rooms", "2", "--events", "20", "--media", "2", "--media-bytes", "50")
    words = ("room", "export", "--all", "--tenant", "lab", "--output-dir", str(tmp_path), "--json")
    lost = next(iter(site.files()))
    content = site.bucket.client.get_object(Bucket=site.bucket.name, Key=lost)["Body"].read()
    site.bucket.client.delete_object(Bucket=site.bucket.name, Key=lost)
    first = json.loads(run_ok(*words).out)
    assert (first["exported"], sum(room["missing_media"] for room in first["rooms"])) == (2, 1)
    site.bucket.client.put_object(Bucket=site.bucket.name, Key=lost, Body=content)
    second = json.loads(run_ok(*words).out)
    assert (second["exported"], second["kept"]) == (1, 1)
    assert json.loads(run_ok(*words).out)["kept"] == 2


@both_servers
def test_success_doctor(site: BucketEnvironment) -> None:
    """It writes, reads and deletes a file."""
    assert run_doctor()["media"] == ("pass", "", "The media store is readable and writable.")
    assert site.files() == {}
