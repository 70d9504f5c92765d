"""The media store in an S3 bucket. Needs the extra `s3`, so it is imported only for a bucket.

What django-storages does differently is replaced: it takes a bucket that does not exist for one
without the file, since the answer to both has the same status, and it downloads a file to the
temporary directory before it can be read.
"""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from typing import Any

from django.core.files.base import File

from scaiwave.storage.media import MediaVersioned, S3LibrariesMissing

try:
    from boto3.s3.transfer import TransferConfig
    from botocore.awsrequest import AWSConnection
    from botocore.config import Config
    from botocore.exceptions import (
        ClientError,
        IncompleteReadError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from storages.backends.s3 import S3Storage
except ImportError as error:
    raise S3LibrariesMissing(
        "SCAIWAVE_S3_BUCKET is set, but the Python libraries for S3 are not installed."
    ) from error

_NO_FILE = {"404", "NoSuchKey"}
_REFUSED = {"AccessDenied", "403", "InvalidRequest", "ObjectLocked"}
_BROKEN_CONNECTION = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
MAX_RESUMES = 3
"""How often the reading of a file is resumed after a broken connection."""
BUFFER_BYTES = 256 * 1024


def _consume_headers(connection: AWSConnection, stream: RawIOBase) -> None:
    """Read up to the empty line after a `100 Continue`, or to the end of the connection.

    botocore's own function never returns if the connection ends before that line.
    """
    while stream.readline() not in (b"\r\n", b""):
        pass


AWSConnection._consume_headers = _consume_headers

# It logs a traceback and the address for a response that was cut, whose error follows.
logging.getLogger("urllib3.connection").addFilter(lambda record: record.levelno >= logging.ERROR)


class S3MediaStorage(S3Storage):  # type: ignore[misc]  # it ships no types
    """Files in a bucket: complete or not there, since S3 shows an object after its last byte.

    Large files are uploaded in parts. The parts of a killed process remain in the bucket, in no
    list of its files, until `remove_drafts` discards them.
    """

    def __init__(self, **options: Any) -> None:
        # By default ten parts of a file are in memory at the same time.
        transfer = TransferConfig(max_concurrency=4)
        transfer.max_in_memory_upload_chunks = 4
        client = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard"})
        # Without a file, botocore uses AWS_CA_BUNDLE or its own list.
        is_named = "AWS_CA_BUNDLE" in os.environ
        super().__init__(
            transfer_config=transfer,
            client_config=client,
            file_overwrite=True,
            default_acl=None,
            verify=None if is_named else ssl.get_default_verify_paths().cafile,
            **options,
        )

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        """Open a file to read it once from its beginning to its end, as it arrives."""
        if mode != "rb":
            raise ValueError(f"A file in a bucket is only read as bytes, not as {mode!r}.")
        stored = self.bucket.Object(self._normalize_name(name))
        try:
            answer = stored.get()
        except ClientError as error:
            if error.response["Error"]["Code"] in _NO_FILE:
                raise FileNotFoundError(f"File does not exist: {name}") from error
            raise
        return File(BufferedReader(ObjectReader(stored, answer), BUFFER_BYTES), name)

    def size(self, name: str) -> int:
        try:
            size = super().size(name)
        except FileNotFoundError:
            client = self.connection.meta.client
            try:
                client.head_bucket(Bucket=self.bucket_name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
                    raise
                answer = {"Code": "NoSuchBucket", "Message": "The specified bucket does not exist"}
                raise ClientError({"Error": answer}, "HeadBucket") from error
            raise
        if size is None:
            raise OSError(errno.EIO, "the response about a file was cut")
        return int(size)

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete a file, which need not exist."""
        try:
            self.bucket.Object(self._normalize_name(name)).delete()
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_FILE:
                raise

    def require_erasable(self) -> None:
        self._has_versions()

    def erase(self, name: str) -> None:
        if not self._has_versions():
            self.delete(name)
            return
        key = self._normalize_name(name)
        with _translate_refusals():
            for version in self.bucket.object_versions.filter(Prefix=key):
                if version.object_key == key:
                    version.delete()

    def count_below(self, prefix: str) -> int:
        return sum(1 for _ in self._iter_below(prefix)) + len(self._list_uploads(prefix))

    def erase_below(self, prefix: str) -> None:
        with _translate_refusals():
            for each in self._iter_below(prefix):
                each.delete()
        self._abort(self._list_uploads(prefix))

    def _iter_below(self, prefix: str) -> Iterator[Any]:
        rows = self.bucket.object_versions if self._has_versions() else self.bucket.objects
        yield from rows.filter(Prefix=prefix)

    def _has_versions(self) -> bool:
        """Ask each time: versioning may be turned on while this process runs."""
        client = self.connection.meta.client
        with _translate_refusals():
            return "Status" in client.get_bucket_versioning(Bucket=self.bucket_name)

    def remove_drafts(self, names: Collection[str]) -> None:
        """Discard the uploaded parts of these files, which no process may be uploading."""
        keys = set(map(self._normalize_name, names))
        uploads = self._list_uploads(posixpath.commonpath(keys))
        self._abort([upload for upload in uploads if upload["Key"] in keys])

    def _list_uploads(self, prefix: str) -> list[Any]:
        client = self.connection.meta.client
        pages = client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket_name, Prefix=prefix
        )
        try:
            return [upload for page in pages for upload in page.get("Uploads", ())]
        except client.exceptions.NoSuchUpload:
            return []  # rclone answers this if there are none

    def _abort(self, uploads: list[Any]) -> None:
        for upload in uploads:
            self.connection.meta.client.abort_multipart_upload(
                Bucket=self.bucket_name, Key=upload["Key"], UploadId=upload["UploadId"]
            )


@contextmanager
def _translate_refusals() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _REFUSED:
            raise
        raise MediaVersioned(
            "The bucket may keep versions of deleted files, and this server can't delete them: "
            f"{str(error.response['Error'].get('Message') or error).rstrip('.')}."
        ) from error


class ObjectReader(RawIOBase):
    """Reads an object as it arrives; where its connection broke, it asks for the rest."""

    def __init__(self, stored: Any, answer: Any) -> None:
        self._stored = stored
        self._body = answer["Body"]
        self._etag: str = answer["ETag"]
        self._position = self._resumes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                chunk: bytes = self._body.read(len(buffer))
            except _BROKEN_CONNECTION as error:
                if self._resumes == MAX_RESUMES:
                    raise
                self._resumes += 1
                self._body.close()
                answer = self._stored.get(Range=f"bytes={self._position}-")
                self._body = answer["Body"]
                # Not left to If-Match, which rclone does not know.
                if answer["ETag"] != self._etag:
                    raise OSError(
                        errno.ESTALE, "the file was replaced while it was read"
                    ) from error
            else:
                buffer[: len(chunk)] = chunk
                self._position += len(chunk)
                return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
