"""A bucket of an S3 server that others wrote, and a suite whose media store it is."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tests.rooms.imports.bundle_factories import Bundle as RoomBundle
from tests.rooms.imports.bundle_factories import make_event
from tests.rooms.imports.import_environment import IMPORT, ImportEnvironment, wait_for
from tests.scaiwave.cli_helpers import ProcessResult, run_scaiwave
from tests.services.s3 import ADMIN_KEYS, KEYS

UNUSABLE = "[SW_MEDIA_STORE_UNUSABLE]"
FIX = (
    "  Fix: Check SCAIWAVE_MEDIA_ROOT or SCAIWAVE_S3_…, and that the store is reachable, has space "
    "and lets this server write.\n"
)


@dataclass(frozen=True)
class Bucket:
    url: str
    name: str

    @classmethod
    def create(cls, url: str) -> Bucket:
        """Create one. A server that has just started may not have read its keys yet."""
        bucket = cls(url, f"chat-{uuid.uuid4().hex[:12]}")
        client = make_client(url, ADMIN_KEYS)
        wait_for(lambda: _is_accepted(lambda: client.create_bucket(Bucket=bucket.name)))
        wait_for(lambda: _is_accepted(lambda: bucket.client.head_bucket(Bucket=bucket.name)))
        return bucket

    @cached_property
    def client(self) -> Any:
        return make_client(self.url, KEYS)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SCAIWAVE_S3_ENDPOINT": self.url,
            "SCAIWAVE_S3_BUCKET": self.name,
            "SCAIWAVE_S3_ACCESS_KEY": KEYS[0],
            "SCAIWAVE_S3_SECRET_KEY": KEYS[1],
        }

    def files(self) -> dict[str, int]:
        """Return the size of every file."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}

    def uploads(self) -> list[str]:
        """Return the names of the files of which only parts were uploaded."""
        try:
            answer = self.client.list_multipart_uploads(Bucket=self.name)
        except self.client.exceptions.NoSuchUpload:
            return []
        return [each["Key"] for each in answer.get("Uploads", ())]


def _is_accepted(request: Callable[[], object]) -> bool:
    try:
        request()
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"InvalidAccessKeyId", "403"}:
            raise
        return False
    return True


def make_client(url: str, keys: tuple[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        region_name="us-east-1",
    )


@dataclass(frozen=True)
class BucketEnvironment(ImportEnvironment):
    """An import environment whose files are in a bucket."""

    bucket: Bucket

    def files(self) -> dict[str, int]:
        return self.bucket.files()

    def assert_clean(self) -> None:
        super().assert_clean()
        assert self.bucket.uploads() == []

    def wait_for_intent(self, process: subprocess.Popen[str], *, files: int = 0) -> None:
        wait_for(
            lambda: (
                process.poll() is not None
                or (self.count("import_intents") and len(self.files()) >= files)
            )
        )

    def seed(self, *words: str, tenant: str = "lab") -> str:
        """Create a room of a tenant with sample data; return its ID."""
        seeded = run_ok("manage", "seed_rooms", "--tenant", tenant, "--json", *words)
        return str(json.loads(seeded.out)["rooms"][0]["id"])

    def import_bundle(self, bundle: Path, **changes: str) -> ProcessResult:
        return run_scaiwave(*IMPORT, "--input", str(bundle), **changes)

    def export(self, room: str, target: Path, **changes: str) -> ProcessResult:
        return run_scaiwave(
            "room", "export", room, "--tenant", "lab", "--output", str(target), **changes
        )


def run_ok(*words: str, **environment: str) -> ProcessResult:
    ended = run_scaiwave(*words, **environment)
    assert ended.code == 0, ended.err
    return ended


def assert_unusable(ended: ProcessResult) -> None:
    """Check that a command failed because of the media store, with a fix and without traceback."""
    assert (ended.code, ended.out, UNUSABLE in ended.err) == (2, "", True), ended
    assert ended.err.endswith(FIX)
    assert "Traceback" not in ended.err
    assert KEYS[1] not in ended.err


def run_doctor(**environment: str) -> dict[str, tuple[str, str, str]]:
    """Return state, code and first message of each check of `doctor`."""
    checks = json.loads(run_scaiwave("doctor", "--json", **environment).out)["checks"]
    return {each["check"]: (each["state"], each["code"], each["message"]) for each in checks[::-1]}


CLEANED_UP = ("pass", "", "Cleaned up after 1 interrupted import.")


def make_bundle(path: Path, *sizes: int) -> Path:
    """Write a bundle with files of these sizes in bytes."""
    bundle = RoomBundle([make_event(1)])
    for number, size in enumerate(sizes):
        bundle.add(f"{number}.bin", os.urandom(size))
    return bundle.save(path)
