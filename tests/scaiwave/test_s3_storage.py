"""The storage of a bucket against S3 servers that others wrote."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile

from scaiwave import s3_storage
from scaiwave.s3_storage import S3MediaStorage
from tests.rooms.bucket.environment import Bucket
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


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Forwards connections to a server; cuts the first ones after so many bytes of the answer."""

    daemon_threads = True

    def __init__(self, url: str, *, after: int, times: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = urlsplit(url)
        self.after = after
        self.remaining = times
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Forwarder(socketserver.BaseRequestHandler):
    server: CuttingProxy

    def handle(self) -> None:
        target = (str(self.server.target.hostname), int(self.server.target.port or 0))
        with socket.create_connection(target) as upstream, contextlib.suppress(OSError):
            threading.Thread(target=self._send, args=(upstream,), daemon=True).start()
            sent = 0
            while chunk := upstream.recv(65536):
                sent += len(chunk)
                if self.server.remaining and sent > self.server.after:
                    self.server.remaining -= 1
                    return
                self.request.sendall(chunk)

    def _send(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := self.request.recv(65536):
                upstream.sendall(chunk)


@contextmanager
def cut_connections(bucket: Bucket, times: int) -> Iterator[str]:
    with CuttingProxy(bucket.url, after=1_000_000, times=times) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,)).start()
        try:
            yield proxy.url
        finally:
            proxy.shutdown()


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
