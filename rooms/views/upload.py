"""The bundle of a multipart request: on disk before it is looked at, and never larger than it may
be."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser

from rooms.bundle.format import MIB
from rooms.errors import BundleTooLarge
from scaiwave.api import BadApiRequest, LengthRequired

BUNDLE = "bundle"
AROUND = MIB
"""Bytes that the request may be larger than the bundle: the other fields and what parts them."""

SWITCHES = ("once", "cut_references", "require_signature")
_SWITCH = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Upload:
    """What a request to import says."""

    workspace: str
    file: BinaryIO
    once: bool
    cut_references: bool
    require_signature: bool


@contextmanager
def read_upload(request: HttpRequest, *, most_bytes: int) -> Iterator[Upload]:
    """The whole request; its file is gone at the end. Raises `BundleTooLarge` before it reads
    anything, if the length that is announced tells, and else as soon as the limit is passed;
    `BadApiRequest` and `LengthRequired`."""
    length = _checked_length(request, most_bytes)
    handler = _BundleHandler(request, most_bytes)
    with handler.file:
        body = _Counted(request)
        fields, files = MultiPartParser(request.META, cast(HttpRequest, body), [handler]).parse()
        if body.count < length:
            raise BadApiRequest("The request ended before it was as long as it says.")
        yield _upload(handler.file, fields, files)


def _upload(file: BinaryIO, fields: Mapping[str, str], files: Mapping[str, Any]) -> Upload:
    if BUNDLE not in files:
        raise BadApiRequest("The file `bundle` is missing.")
    if not (workspace := fields.get("workspace_id", "")):
        raise BadApiRequest("The field `workspace_id` is missing.")
    return Upload(
        workspace=workspace,
        file=file,
        **{name: _switch(fields.get(name, ""), name) for name in SWITCHES},
    )


def _checked_length(request: HttpRequest, most_bytes: int) -> int:
    if request.content_type != "multipart/form-data":
        raise BadApiRequest("The request is not multipart/form-data.")
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise LengthRequired("The request does not say how long it is (Content-Length).")
    if int(length) > most_bytes + AROUND:
        raise _too_large(most_bytes)
    return int(length)


class _Counted:
    """The body of a request. Django takes one that broke off between two parts for whole, and what
    was to follow the bundle may be what would have refused it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._request.read(size)
        self.count += len(data)
        return data


def _too_large(most_bytes: int) -> BundleTooLarge:
    return BundleTooLarge(f"The bundle is larger than {most_bytes // MIB:,} MiB.")


def _switch(text: str, name: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise BadApiRequest(f"The field `{name}` is neither true nor false.") from None


class _BundleHandler(FileUploadHandler):
    """Takes one file, the bundle, to a place on disk without a name, so that nothing is left of it
    however this process ends."""

    def __init__(self, request: HttpRequest, most_bytes: int) -> None:
        super().__init__(request)
        self.file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed by others
        self._most_bytes = most_bytes
        self._seen = False

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        if self._seen or field_name != BUNDLE:
            raise BadApiRequest("The request has files other than the one `bundle`.")
        self._seen = True
        super().new_file(field_name, *args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > self._most_bytes:
            raise _too_large(self._most_bytes)
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.file.seek(0)
        return UploadedFile(self.file, self.file_name, self.content_type, file_size)
