"""Read the bundle of a multipart request to disk, within the size limit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser

from rooms.bundle.format import MIB
from rooms.errors import BundleTooLarge
from rooms.imports.source import get_max_bytes
from scaiwave.web.api import BadApiRequest, LengthRequired
from scaiwave.web.transfers import reserve_transfer
from scaiwave.web.upload_pace import PaceWatch, get_upload_pace, watch_pace

BUNDLE = "bundle"
MAX_OVERHEAD_BYTES = MIB
"""How much larger than the bundle a request may be: the other fields and the multipart headers."""

FLAGS = (
    "once", "cut_references", "require_signature", "append", "keep_local", "take_theirs", "public",
    "accept_unsigned",
)  # fmt: skip
_FLAG_VALUES = {"true": True, "1": True, "false": False, "0": False, "": False}


@contextmanager
def read_upload(
    request: HttpRequest, *, max_bytes: int
) -> Iterator[tuple[str, BinaryIO, dict[str, bool]]]:
    """Read the whole request; yield the workspace, the bundle and the flags by name.

    The file is deleted on exit. Raises the errors of `_parse`.
    """
    with _parse(request, max_bytes) as (file, fields, files):
        given = {"append": request.GET.get("append", ""), **fields.dict()}
        if BUNDLE not in files:
            raise BadApiRequest("The file `bundle` is missing.")
        if not (workspace := str(given.get("workspace_id", ""))):
            raise BadApiRequest("The field `workspace_id` is missing.")
        flags = {}
        for name in FLAGS:
            try:
                flags[name] = _FLAG_VALUES[str(given.get(name, "")).lower()]
            except KeyError:
                raise BadApiRequest(f"The field `{name}` must be true or false.") from None
        yield workspace, file, flags


@contextmanager
def receive_bundle(request: HttpRequest) -> Iterator[None]:
    """Read the form of a page with its bundle, which is deleted on exit.

    Raises `RateLimitExceeded` and the errors of `_parse`.
    """
    with (
        reserve_transfer(f"account-{request.user.pk}"),
        _parse(request, get_max_bytes()) as (_, fields, files),
    ):
        page: Any = request
        page.POST, page._files = fields, files
        yield


@contextmanager
def _parse(request: HttpRequest, max_bytes: int) -> Iterator[tuple[BinaryIO, QueryDict, Any]]:
    """Yield the file, the fields and the files of a request.

    Raises `BundleTooLarge`, before reading if Content-Length exceeds the limit, else as soon as
    the file does; `RequestTooSlow`, `BadApiRequest` and `LengthRequired`.
    """
    if request.content_type != "multipart/form-data":
        raise BadApiRequest("The Content-Type must be multipart/form-data.")
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise LengthRequired("The request has no Content-Length.")
    if int(length) > max_bytes + MAX_OVERHEAD_BYTES:
        raise _build_too_large_error(max_bytes)
    handler = _BundleHandler(request, max_bytes)
    with handler.file:
        body = _CountingReader(request)
        with watch_pace(request, lambda: body.count, get_upload_pace()) as body.watch:
            reader = cast(HttpRequest, body)
            fields, files = MultiPartParser(request.META, reader, [handler]).parse()
        if body.count < int(length):
            raise BadApiRequest("The request ended before its Content-Length.")
        yield handler.file, fields, files


class _CountingReader:
    """Count the bytes read from a request.

    Django accepts a body that was cut off between two parts. The missing fields might have
    made the import stricter, so the length is compared afterwards.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.watch: PaceWatch | None = None
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._request.read(size)
        self.count += len(data)
        if self.watch:
            self.watch.require_pace()
        return data


def _build_too_large_error(max_bytes: int) -> BundleTooLarge:
    return BundleTooLarge(f"The bundle is larger than {max_bytes // MIB:,} MiB.")


class _BundleHandler(FileUploadHandler):
    """Write one file, the bundle, to an unnamed temporary file.

    Without a name, nothing is left on disk however this process ends.
    """

    def __init__(self, request: HttpRequest, max_bytes: int) -> None:
        super().__init__(request)
        self.file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed by others
        self._max_bytes = max_bytes
        self._has_bundle = False

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        if self._has_bundle or field_name != BUNDLE:
            raise BadApiRequest("The request must contain one file only, named `bundle`.")
        self._has_bundle = True
        super().new_file(field_name, *args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > self._max_bytes:
            raise _build_too_large_error(self._max_bytes)
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.file.seek(0)
        return UploadedFile(self.file, self.file_name, self.content_type, file_size)
