"""The files of a deleted room, in buckets with versioning and without."""

from __future__ import annotations

import pytest

from scaiwave.config import load
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.rooms import check_media_store
from scaiwave.storage.media import MediaVersioned
from scaiwave.storage.s3 import S3MediaStorage
from tests.rooms.bucket.environment import BucketEnvironment, make_client, run_doctor, run_ok
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)
from tests.services.s3 import ADMIN_KEYS
from tests.tenants.factories import NOW

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
DELETE = ("--tenant", "lab", "--reason", "over", "--archive", "--now", "--yes")


def list_versions(site: BucketEnvironment) -> list[str]:
    client = make_client(site.bucket.url, ADMIN_KEYS)
    answer = client.list_object_versions(Bucket=site.bucket.name)
    return [row["Key"] for part in ("Versions", "DeleteMarkers") for row in answer.get(part, ())]


def turn_on_versioning(site: BucketEnvironment) -> None:
    make_client(site.bucket.url, ADMIN_KEYS).put_bucket_versioning(
        Bucket=site.bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )


@pytest.mark.parametrize("bucket", ["seaweedfs", "rclone"], indirect=True)
def test_success_without_versions(site: BucketEnvironment) -> None:
    room, other = (
        site.seed("--events", "20", "--media", "3", "--media-bytes", "50", "--seed", seed)
        for seed in ("1", "2")
    )
    all_there = ("pass", "", "No file is missing of 6 sampled attachments.")
    assert run_doctor()["media_files"] == all_there
    kept = set(site.files())
    run_ok("room", "delete", room, *DELETE)
    assert len(kept - set(site.files())) == 3
    client, bucket, (first, *_) = site.bucket.client, site.bucket.name, site.files()
    client.put_object(Bucket=bucket, Key=first, Body=b"?" * site.files()[first])
    damaged = run_scaiwave("doctor", "--media", "hashes", "--json")
    assert "Files missing or damaged: 1 of 3 attachments: lab (1 damaged: " in damaged.out
    client.delete_object(Bucket=bucket, Key=first)
    assert run_doctor()["media_files"][1] == "SW_MEDIA_FILES_MISSING"
    run_ok("room", "delete", other, *DELETE)
    assert site.files() == {}


def test_success_with_versions(site: BucketEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    turn_on_versioning(site)
    room = site.seed("--events", "20", "--media", "3", "--media-bytes", "50")
    assert len(list_versions(site)) == 3
    monkeypatch.setenv("SCAIWAVE_S3_ACCESS_KEY", ADMIN_KEYS[0])
    monkeypatch.setenv("SCAIWAVE_S3_SECRET_KEY", ADMIN_KEYS[1])
    run_ok("room", "delete", room, *DELETE)
    assert list_versions(site) == []
    assert run_doctor()["media"][0] == "pass"
    assert list_versions(site) == []


def test_fail_versions_that_this_server_may_not_see() -> None:
    with RawServer(lambda request: make_response(DENIED, status=403)) as server:
        store = S3MediaStorage(
            endpoint_url=server.origin, bucket_name="chat", access_key="a", secret_key="b"
        )
        for act in (store.require_erasable, lambda: store.erase("tenant/1/abc")):
            with pytest.raises(MediaVersioned) as caught:
                act()
            assert (caught.value.exit_code, caught.value.code) == (1, "SW_MEDIA_VERSIONED")
            assert str(caught.value).endswith(": Access Denied.")


def test_success_doctor_warns_if_this_server_may_not_see_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def respond(request: RawRequest) -> RawResponse:
        is_refused = "versioning" in request.target
        return make_response(DENIED if is_refused else b"", status=403 if is_refused else 200)

    with RawServer(respond) as server:
        store = S3MediaStorage(
            endpoint_url=server.origin, bucket_name="chat", access_key="a", secret_key="b"
        )
        monkeypatch.setattr("scaiwave.operations.doctor.rooms.default_storage", store)
        (finding,) = check_media_store(load({}), NOW)
    assert finding.state is State.WARN
    assert finding.message.startswith("Rooms and files can't be deleted for good. The bucket may")
