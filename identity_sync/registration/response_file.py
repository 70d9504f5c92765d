"""The file that records ScaiKey's response as it arrives, since it has the credentials only once.

A header line, then the raw HTTP response, then zeros. The space is reserved before ScaiKey is
asked, and the file is mapped into memory, so that a response is in the file as soon as this process
has it: without a system call, which a full disk or a kill could prevent.
"""

from __future__ import annotations

import gzip
import io
import mmap
import os
import zlib
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Self, cast

from scaiwave.clients.http.recording import ResponseRecorder
from scaiwave.clients.scaikey.registration import Credentials, decode_status
from scaiwave.core.errors import UpstreamInvalidResponse
from scaiwave.core.files import create_private_file, sync_directory, translate_write_errors

MAX_RESPONSE_BYTES = 64 * 1024
"""A response with credentials has about 1 KB; a longer one has none."""


class ResponseFile:
    """Records the responses to what one process asks about one request; use it in a `with`.

    At the end the file is deleted, unless it has credentials. A response that may have them, but
    can't be read, is copied to `copy_path`, where it stays until credentials are recorded.
    """

    def __init__(self, path: Path, header: bytes, *, copy_path: Path) -> None:
        """Reserve the space. Raises `DiskFull` or `FileUnwritable`."""
        self.path = path
        self._copy_path = copy_path
        self.recorder = ResponseRecorder(begin=self._begin, record=self._record)
        self._start = self._position = len(header) + 1
        self._size = self._start + MAX_RESPONSE_BYTES
        with translate_write_errors(path):
            path.unlink(missing_ok=True)
            self._descriptor = create_private_file(path, owner_of=path)
            try:
                with os.fdopen(self._descriptor, "wb", closefd=False) as file:
                    file.write(header + b"\n" + b"\0" * MAX_RESPONSE_BYTES)
                os.fsync(self._descriptor)
                sync_directory(path.parent)
            except BaseException:
                path.unlink(missing_ok=True)
                os.close(self._descriptor)
                raise
        self._map: mmap.mmap | None = None
        with suppress(OSError):  # Some file systems, as of virtual hosts, can't share a mapping.
            self._map = mmap.mmap(self._descriptor, self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.credentials() is not None:
            self.discard_copy()
        elif self.is_in_place():
            with suppress(OSError):
                self.path.unlink()
        if self._map is not None:
            self._map.close()
        os.close(self._descriptor)

    def credentials(self) -> Credentials | None:
        """Return the credentials that have been recorded, if they are complete."""
        return parse_response(os.pread(self._descriptor, self._size, self._start))

    def copy_unreadable(self) -> Path | None:
        """Return the copy of a response that may have the credentials, made now or earlier."""
        raw = os.pread(self._descriptor, self._size, self._start).rstrip(b"\0")
        text = raw.lower()  # In whatever form, it may have a client secret.
        has_secret = b"secret" in text or b"\ncontent-encoding:" in text
        if self.credentials() is None and text.startswith(b"http/") and has_secret:
            # Not over an older one: ScaiKey sends the secret only once.
            with suppress(OSError):
                descriptor = create_private_file(self._copy_path, owner_of=self._copy_path)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(raw)
                    file.flush()
                    os.fsync(descriptor)
        return self._copy_path if self._copy_path.exists() else None

    def discard_copy(self) -> None:
        with suppress(OSError):
            self._copy_path.unlink()

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this file, which a later process would open."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def sync(self) -> None:
        """Make the record survive a power failure. Raises OSError."""
        if self._map is not None:
            self._map.flush()
        os.fsync(self._descriptor)

    def _begin(self) -> None:
        """Start over with a new request, unless a response before it had the credentials."""
        if self._position > self._start and self.credentials() is not None:
            self._position = self._size
            return
        self.copy_unreadable()
        self._position = self._start
        self._write(self._start, b"\0" * MAX_RESPONSE_BYTES)

    def _record(self, data: bytes) -> None:
        part = data[: self._size - self._position]
        self._write(self._position, part)
        self._position += len(part)

    def _write(self, position: int, data: bytes) -> None:
        if self._map is not None:
            self._map[position : position + len(data)] = data
        else:
            # The response is then still in memory, from where it is saved next.
            with suppress(OSError):
                os.pwrite(self._descriptor, data, position)


def split_header(content: bytes) -> tuple[bytes, bytes]:
    """Return the header and the response of a file's content."""
    header, _, response = content.partition(b"\n")
    return header, response


def parse_response(raw: bytes) -> Credentials | None:
    """Return the credentials of an HTTP response; None if it has none or is incomplete."""
    if not raw.startswith(b"HTTP/"):
        return None
    response = HTTPResponse(cast(Any, _RecordedSocket(raw)))
    try:
        response.begin()
        body = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        # A body that ends with its connection is followed by the zeros of the file.
        return decode_status(body.rstrip(b"\0")).credentials
    except (HTTPException, OSError, EOFError, ValueError, zlib.error, UpstreamInvalidResponse):
        return None


class _RecordedSocket:
    """All that `HTTPResponse` needs of a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_args: object, **_options: object) -> io.BytesIO:
        return io.BytesIO(self._content)
