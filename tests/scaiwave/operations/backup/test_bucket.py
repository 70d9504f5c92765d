"""Attachments in a bucket are listed, and nothing pretends that the list is a copy."""

from __future__ import annotations

import json

from tests.rooms.bucket.environment import Bucket
from tests.scaiwave.operations.backup.conftest import BackupSite


def test_success_objects_are_listed(site: BackupSite, rclone_url: str) -> None:
    bucket = Bucket.create(rclone_url)
    bucket.client.put_object(Bucket=bucket.name, Key="tenant/t1/abc", Body=b"12345")
    bucket.client.put_object(Bucket=bucket.name, Key="doctor/x", Body=b"1")
    ended = site.run("backup", "--output", str(site.parent), **bucket.settings)
    assert ended.code == 0, ended.err
    assert "A list is not a copy: back up the bucket itself." in ended.err
    (backup,) = site.parent.iterdir()
    (line,) = (backup / "attachments.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["name"], row["bytes"]) == ("tenant/t1/abc", 5)
    assert site.verify(backup, **bucket.settings).code == 0
    restored = site.restore(backup)
    assert restored.code == 0, restored.err
    assert "The backup contains no attachments." in restored.out
    assert "A list is not a copy" in restored.err


def test_fail_bucket_does_not_respond(site: BackupSite) -> None:
    nowhere = Bucket("http://127.0.0.1:1", "chat")
    ended = site.run("backup", "--output", str(site.parent), **nowhere.settings)
    assert (ended.code, "[SW_MEDIA_STORE_UNUSABLE]" in ended.err) == (2, True), ended.err
    assert list(site.parent.iterdir()) == []
