"""A bucket that refuses, is missing or is full: one error with a fix, and nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms.bucket.conftest import use_bucket
from tests.rooms.bucket.environment import (
    CLEANED_UP,
    Bucket,
    BucketEnvironment,
    assert_unusable,
    make_bundle,
    run_doctor,
    run_ok,
)
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.services.manager import manage_service
from tests.services.s3 import FULL_BYTES
from tests.tools import require_real_clock

pytestmark = pytest.mark.only_on("sqlite")

MIB = 1024 * 1024
both_servers = pytest.mark.parametrize("bucket", ["seaweedfs", "rclone"], indirect=True)
refusals = pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SCAIWAVE_S3_SECRET_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"SCAIWAVE_S3_BUCKET": "no-such-bucket"}, "NoSuchBucket"),
    ],
    ids=["wrong-secret", "no-bucket"],
)


@both_servers
@refusals
def test_fail_seed_export_and_import(
    site: BucketEnvironment, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    """A bucket that does not exist must not look like one that has lost all files."""
    room = site.seed("--events", "5", "--media", "1")
    before = site.count("rooms"), site.count("media"), site.files()
    target = tmp_path / "room.zip"
    assert_unusable(site.export(room, target, **changes))
    assert not target.exists()
    imported = site.import_bundle(make_bundle(tmp_path / "bundle.zip", 1000), **changes)
    seeded = run_scaiwave("manage", "seed_rooms", "--tenant", "acme", "--media", "1", **changes)
    for ended in (imported, seeded):
        assert_unusable(ended)
        assert reason in ended.err
    assert (site.count("rooms"), site.count("media"), site.files()) == before


@refusals
def test_fail_clean_up(
    site: BucketEnvironment, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    """What is announced stays announced until the bucket accepts requests again."""
    bundle = make_bundle(tmp_path / "bundle.zip", 1000)
    ended = site.import_bundle(bundle, **changes)
    assert_unusable(ended)
    assert "Could not clean up after import" in ended.err
    assert_unusable(site.import_bundle(bundle, **changes))
    state, code, message = run_doctor(**changes)["media"]
    assert (state, code, reason in message) == ("fail", "SW_MEDIA_STORE_UNUSABLE", True)
    assert (site.count("rooms"), site.count("media"), site.count("import_intents")) == (0, 0, 1)
    assert run_doctor()["imports"] == CLEANED_UP
    assert site.import_bundle(bundle).code == 0
    site.assert_clean()


@refusals
def test_fail_export_of_all_rooms_and_show(
    site: BucketEnvironment, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    """The next room would not succeed either, so the export ends with the first."""
    room = site.seed("--rooms", "2", "--events", "5", "--media", "1")
    everything = tmp_path / "all"
    words = ("room", "export", "--all", "--tenant", "lab", "--output-dir", str(everything))
    assert_unusable(run_scaiwave(*words, **changes))
    assert_unusable(run_scaiwave("room", "show", room, "--tenant", "lab", **changes))
    assert list(everything.iterdir()) == []


def test_fail_unreachable(site: BucketEnvironment, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle.zip", 1000)
    ended = site.import_bundle(bundle, SCAIWAVE_S3_ENDPOINT="http://127.0.0.1:1")
    assert_unusable(ended)
    assert "Could not connect to the endpoint URL" in ended.err
    assert (site.count("rooms"), site.count("media")) == (0, 0)


@pytest.mark.once
def test_fail_full(
    empty_site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SeaweedFS reports only that something went wrong inside."""
    require_real_clock("an S3 server keeps the real clock.")
    with manage_service("small-seaweedfs") as manager:
        bucket = Bucket.create(manager.wait_for_service().url)
        use_bucket(bucket, monkeypatch)
        site = BucketEnvironment(*empty_site, bucket)
        files = 3 * FULL_BYTES // MIB
        ended = site.import_bundle(make_bundle(tmp_path / "large.zip", *[MIB] * files))
        assert_unusable(ended)
        assert "InternalError" in ended.err
        assert (site.count("rooms"), site.count("media")) == (0, 0)
        site.assert_clean()
        state, code, message = run_doctor()["media"]
        assert (state, code, "InternalError" in message) == (
            "fail",
            "SW_MEDIA_STORE_UNUSABLE",
            True,
        )


def test_success_without_media(site: BucketEnvironment, tmp_path: Path) -> None:
    """A room without attachments needs no bucket."""
    room = site.seed("--events", "5")
    target = str(tmp_path / "room.zip")
    changes = {"SCAIWAVE_S3_ENDPOINT": "http://127.0.0.1:1"}
    run_ok("room", "export", room, "--tenant", "lab", "--output", target, **changes)
    assert site.import_bundle(tmp_path / "room.zip", **changes).code == 0
