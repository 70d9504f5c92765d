"""The storage of a bucket against S3 servers that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile

from scaiwave.storage import s3 as s3_storage
from scaiwave.storage.s3 import S3MediaStorage
from tests.rooms.bucket.environment import Bucket
from tests.scaiwave.clients.certificates import Authority
from tests.scaiwave.clients.raw_socket_server import RawServer, make_response
from tests.services.faulty_proxy import Fault, FaultKind, FaultyProxy
from tests.services.s3 import KEYS

NAME = "tenant/1/0123"
CONTENT = bytes(range(256)) * 40_000


@pytest.fixture(params=["seaweedfs", "rclone"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return Bucket.create(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def files(bucket: Bucket) -> S3MediaStorage:
    return make_storage(bucket.url, bucket.name)


def make_storage(url: str, name: str) -> S3MediaStorage:
    return S3MediaStorage(
        endpoint_url=url, bucket_name=name, access_key=KEYS[0], secret_key=KEYS[1]
    )


@pytest.mark.parametrize("content", [b"", b"bytes", CONTENT], ids=["empty", "small", "in-parts"])
def test_success_saved_and_read(files: S3MediaStorage, content: bytes) -> None:
    assert files.save(NAME, ContentFile(content)) == NAME
    assert (files.size(NAME), files.exists(NAME)) == (len(content), True)
    with files.open(NAME) as file:
        assert file.read() == content
    files.save(NAME, ContentFile(b"other"))
    with files.open(NAME) as file:
        assert (file.read(2), file.read()) == (b"ot", b"her")
    files.delete(NAME)
    files.delete(NAME)
    assert not files.exists(NAME)


def test_success_everything_below_a_name_erased(
    files: S3MediaStorage, request: pytest.FixtureRequest
) -> None:
    """With the versions of a bucket that keeps them, and the parts of unfinished uploads."""
    client, versions = files.connection.meta.client, 1
    if "seaweedfs" in request.node.name:
        client.put_bucket_versioning(
            Bucket=files.bucket_name, VersioningConfiguration={"Status": "Enabled"}
        )
        versions = 3  # Two, and the mark of the deletion.
    for name in (NAME, NAME, "tenant/1/4567", "tenant/12/0123"):
        files.save(name, ContentFile(b"bytes"))
    files.delete(NAME)
    client.create_multipart_upload(Bucket=files.bucket_name, Key="tenant/1/89ab")
    uploads = len(files._list_uploads("tenant/1/"))
    assert files.count_below("tenant/1/") == versions + (versions == 3) + uploads
    files.erase_below("tenant/1/")
    assert files.count_below("tenant/1/") == 0
    assert files.exists("tenant/12/0123")


def test_success_authority_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with RawServer(lambda request: make_response(b""), tls=authority.server()) as server:
        assert make_storage(server.origin, "chat").exists(NAME)
        monkeypatch.setenv("AWS_CA_BUNDLE", certifi.where())
        with pytest.raises(BotoCoreError, match="CERTIFICATE_VERIFY_FAILED"):
            make_storage(server.origin, "chat").exists(NAME)


def test_fail_no_file(files: S3MediaStorage) -> None:
    for read in (files.size, files.open):
        with pytest.raises(FileNotFoundError):
            read(NAME)


def test_fail_no_bucket(bucket: Bucket) -> None:
    files = make_storage(bucket.url, "no-such-bucket")
    for use in (files.size, files.exists, files.open, files.delete):
        with pytest.raises(ClientError, match="NoSuchBucket"):
            use(NAME)


def test_fail_other_modes(files: S3MediaStorage) -> None:
    with pytest.raises(ValueError, match="'wb'"):
        files.open(NAME, "wb")


def test_success_drafts_of_some_files_are_removed(files: S3MediaStorage, bucket: Bucket) -> None:
    files.remove_drafts([NAME])
    for name in ("tenant/1/0123", "tenant/1/01234", "tenant/2/0123"):
        upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=name)
        bucket.client.upload_part(
            Bucket=bucket.name, Key=name, UploadId=upload["UploadId"], PartNumber=1, Body=b"half"
        )
    files.remove_drafts(["tenant/1/0123", "tenant/2/0123", "tenant/3/0123"])
    assert bucket.uploads() == ["tenant/1/01234"]
    assert bucket.files() == {}


@contextmanager
def cut_connections(bucket: Bucket, times: int) -> Iterator[str]:
    """Cut so many responses, each after its first megabyte."""
    with FaultyProxy.to_url(bucket.url) as proxy:
        proxy.expect(Fault(FaultKind.CUT, 1, times=times, after=1_000_000))
        yield f"http://127.0.0.1:{proxy.port}"


def read_through_cuts(bucket: Bucket, times: int) -> bytes:
    make_storage(bucket.url, bucket.name).save(NAME, ContentFile(CONTENT))
    with cut_connections(bucket, times) as url:
        with make_storage(url, bucket.name).open(NAME) as file:
            return bytes(file.read())


def test_success_reading_is_resumed(bucket: Bucket) -> None:
    assert read_through_cuts(bucket, s3_storage.MAX_RESUMES) == CONTENT


def test_fail_connection_breaks_too_often(bucket: Bucket) -> None:
    with pytest.raises(BotoCoreError):
        read_through_cuts(bucket, s3_storage.MAX_RESUMES + 1)


def test_fail_file_was_replaced(bucket: Bucket) -> None:
    """The rest of another file is not appended to the beginning of this one."""
    files = make_storage(bucket.url, bucket.name)
    files.save(NAME, ContentFile(CONTENT))
    with cut_connections(bucket, 1) as url:
        with make_storage(url, bucket.name).open(NAME) as file:
            file.read(10)
            files.save(NAME, ContentFile(CONTENT[::-1]))
            with pytest.raises(OSError, match="the file was replaced"):
                file.read()


def test_fail_connection_breaks_after_the_status_of_100_continue(bucket: Bucket) -> None:
    """botocore's own reading of the headers would never end."""
    with FaultyProxy.to_url(bucket.url) as proxy:
        files = make_storage(f"http://127.0.0.1:{proxy.port}", bucket.name)
        proxy.expect(Fault(FaultKind.CUT, 1, times=s3_storage.MAX_RESUMES))
        with pytest.raises(BotoCoreError):
            files.save(NAME, ContentFile(b"bytes"))
        assert proxy.strikes == s3_storage.MAX_RESUMES
        proxy.expect(None)
        files.save(NAME, ContentFile(b"bytes"))
        assert files.size(NAME) == 5
