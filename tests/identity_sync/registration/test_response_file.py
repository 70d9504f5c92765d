"""ScaiKey's response on disk as it arrives: complete or recognisably not."""

from __future__ import annotations

import gzip
import json
import mmap
import os
from pathlib import Path
from typing import Any

import pytest

from identity_sync.registration.response_file import (
    MAX_RESPONSE_BYTES,
    ResponseFile,
    parse_response,
    split_header,
)
from scaiwave.clients.scaikey.registration import Credentials
from scaiwave.core.errors import DiskFull, FileUnwritable
from tests.identity_sync.registration.helpers import file_size_limit, get_mode

CREDENTIALS = Credentials("app-1", "s3cret", "application", "https://issuer")
BODY = json.dumps(
    {
        "status": "APPROVED",
        "credentials": {
            "client_id": "app-1",
            "client_secret": "s3cret",
            "application_id": "application",
            "issuer": "https://issuer",
        },
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
PENDING = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"status":"PENDING"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.response"


def open_file(path: Path) -> ResponseFile:
    return ResponseFile(path, b"header", copy_path=path.with_name("copy.http"))


def begin(file: ResponseFile) -> None:
    file.recorder.trace("http11.send_request_headers.started", {})


def receive(file: ResponseFile, *parts: bytes) -> None:
    """Let these bytes arrive on a new connection."""
    left = list(parts)

    class Stream:
        def read(self, max_bytes: int) -> bytes:
            return left.pop(0)

    stream = Stream()
    file.recorder.trace("connection.connect_tcp.complete", {"return_value": stream})
    begin(file)
    for part in parts:
        assert stream.read(100) == part


@pytest.fixture(params=["mapped", "unmapped"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that can share a mapping, and one that can't."""
    if request.param == "unmapped":

        def refuse(*_args: Any) -> None:
            raise OSError(19, "No such device")

        monkeypatch.setattr(mmap, "mmap", refuse)
    return str(request.param)


def test_success_response_is_written_immediately(path: Path, storage: str) -> None:
    with open_file(path) as file:
        receive(file, HEAD, BODY[:10], BODY[10:])
        header, response = split_header(path.read_bytes())
        assert (header, parse_response(response)) == (b"header", CREDENTIALS)
        file.sync()
        assert file.credentials() == CREDENTIALS
    assert parse_response(split_header(path.read_bytes())[1]) == CREDENTIALS
    assert get_mode(path) == 0o600


def test_success_deleted_without_credentials(path: Path, storage: str) -> None:
    with open_file(path) as file:
        receive(file, PENDING)
        receive(file, HEAD + BODY[:-1])
        assert file.credentials() is None
    assert not path.exists()


def test_success_a_later_response_does_not_overwrite_them(path: Path, storage: str) -> None:
    with open_file(path) as file:
        receive(file, PENDING * 20)
        receive(file, HEAD + BODY)
        receive(file, PENDING)
        receive(file, PENDING)
        assert file.credentials() == CREDENTIALS


@pytest.mark.parametrize("cut", [1, 40])
def test_success_a_response_that_is_cut_off_is_kept(path: Path, storage: str, cut: int) -> None:
    """The retry after it gets no credentials, and must not overwrite them."""
    copy = path.with_name("copy.http")
    with open_file(path) as file:
        receive(file, HEAD + BODY[:-cut])
        receive(file, PENDING)
        assert file.copy_unreadable() == copy
    with open_file(path) as file:
        receive(file, HEAD + BODY.replace(b"s3cret", b""))
        assert file.copy_unreadable() == copy
    assert copy.read_bytes() == HEAD + BODY[:-cut]
    assert get_mode(copy) == 0o600
    with open_file(path) as file:
        receive(file, HEAD + BODY)
    assert not copy.exists()


def test_success_response_that_is_too_long_is_cut(path: Path, storage: str) -> None:
    with open_file(path) as file:
        receive(file, b"x" * MAX_RESPONSE_BYTES, b"more")
        assert len(path.read_bytes()) == len(b"header\n") + MAX_RESPONSE_BYTES
        receive(file, HEAD + BODY)
        assert file.credentials() == CREDENTIALS


def test_success_replaces_the_file_of_a_killed_process(path: Path) -> None:
    path.write_bytes(b"left" * 10)
    with open_file(path):
        assert path.read_bytes().startswith(b"header\n\0")


def test_success_moved_away(path: Path) -> None:
    with open_file(path) as file:
        assert file.is_in_place()
        path.rename(path.with_name("other"))
        assert not file.is_in_place()
        path.touch()
        assert not file.is_in_place()
    assert path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_success_of_root_belongs_to_the_owner_of_the_directory(path: Path) -> None:
    """The next process may run as the user whose home directory it is."""
    os.chown(path.parent, 65534, 65534)
    with open_file(path):
        assert path.stat().st_uid == 65534


@pytest.mark.parametrize("size", [0, 1000])
def test_fail_no_space_to_reserve(path: Path, size: int) -> None:
    with pytest.raises(DiskFull), file_size_limit(size):
        open_file(path)
    assert not path.exists()


def test_fail_no_directory(path: Path) -> None:
    with pytest.raises(FileUnwritable):
        open_file(path.parent / "missing" / "file")


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + BODY + b"\0" * 9,
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + BODY,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY + b"\0" * 9,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n\0\0"
        % (len(BODY), BODY),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s\0\0"
        % (len(gzip.compress(BODY)), gzip.compress(BODY)),
    ],
)
def test_success_parsed(raw: bytes) -> None:
    assert parse_response(raw) == CREDENTIALS


@pytest.mark.parametrize("cut", range(1, len(HEAD + BODY), 7))
def test_success_incomplete_at_any_length(cut: int) -> None:
    assert parse_response((HEAD + BODY)[:-cut] + b"\0" * 99) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 99,
        PENDING,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/nonsense\r\n\r\n",
    ],
)
def test_success_without_credentials(raw: bytes) -> None:
    assert parse_response(raw) is None
