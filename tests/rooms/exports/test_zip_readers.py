"""Bundles as programs read them that others wrote: from a file, and from a pipe as they arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stream_unzip

from rooms.bundle.archive.writer import DeflateCompressor, StoredCompressor, ZipStreamWriter
from tests.rooms.bundle.golden import GOLDEN
from tests.tools import NIGHTLY, require_tool

pytestmark = [pytest.mark.once, pytest.mark.ci]
NOW = datetime(2026, 11, 24, 19, 5, 43, tzinfo=UTC)
MANY = 70_000
"""More entries than the 16 bits of a ZIP without ZIP64 can count."""
LARGE = 5 * 2**30
"""More bytes than the 32 bits of a ZIP without ZIP64 can count."""
CHUNK = 2**20

# Each of them extracts into the working directory. The archive is in `{}`, or comes from stdin.
FROM_FILE = {
    "unzip": ["unzip", "-q", "{}"],
    "7z": ["7z", "x", "-y", "{}"],
    "bsdtar": ["bsdtar", "-xf", "{}"],
    "jar": ["jar", "xf", "{}"],
}
FROM_PIPE = {"bsdtar": ["bsdtar", "-xf", "-"], "jar": ["jar", "x"]}
EXPECTED = ("JAVA_TOOL_OPTIONS", "more than one entry--rest ignored")
"""What Java says of an environment variable, and `funzip` of every archive with several entries."""

# Each of them verifies the checksums of all entries, or lists them.
VERIFIERS = {
    "unzip": ["unzip", "-tq", "{}"],
    "zipinfo": ["zipinfo", "-t", "{}"],
    "7z": ["7z", "t", "{}"],
    "bsdtar": ["bsdtar", "-tf", "{}"],
    "jar": ["jar", "tf", "{}"],
}


def write_archive(path: Path, entries: Iterator[tuple[str, Iterator[bytes], bool]]) -> Path:
    """Write entries of a name, chunks, and whether they are stored rather than deflated."""
    archive = ZipStreamWriter(NOW)
    with path.open("wb") as file:
        for name, chunks, is_stored in entries:
            compressor = StoredCompressor() if is_stored else DeflateCompressor()
            file.writelines(archive.encode_entry(name, chunks, compressor))
        file.writelines(archive.encode_end())
    return path


def list_entries() -> Iterator[tuple[str, Iterator[bytes], bool]]:
    yield "manifest.json", iter([b'{"body": "text"}\n' * 10_000]), False
    for number in range(20):
        content = os.urandom(number * 7_001)
        yield f"media/{number:064x}/Grüße aus 東京 {number}.png", iter([content]), bool(number % 2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive") / "bundle.zip", list_entries())


@pytest.fixture(params=["written", "golden"])
def bundle(request: pytest.FixtureRequest) -> Path:
    """Return an archive with all kinds of entries, or the bundle that every version must read."""
    path = request.getfixturevalue("written") if request.param == "written" else GOLDEN
    assert isinstance(path, Path)
    return path


def read_expected(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def read_directory(top: Path) -> dict[str, bytes]:
    files = filter(Path.is_file, top.rglob("*"))
    return {str(file.relative_to(top)): file.read_bytes() for file in files}


def run(command: list[str], path: Path, directory: Path, *, piped: bool = False) -> str:
    """Run a reader on the archive and return what it prints. It may complain of nothing."""
    program = require_tool(command[0])
    words = [word.format(path) for word in command[1:]]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "JAVA_TOOL_OPTIONS": "-Dfile.encoding=UTF-8"}
    with path.open("rb") as file:
        # A pipe and not the file itself, in which a reader could seek.
        source = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) if piped else None
        ended = subprocess.run(
            [program, *words],
            stdin=source.stdout if source else subprocess.DEVNULL,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if source and source.stdout:
            source.stdout.close()
            assert source.wait() in (0, -signal.SIGPIPE)  # a reader need not read to the end
    lines = ended.stderr.splitlines()
    complaints = [line for line in lines if not any(text in line for text in EXPECTED)]
    assert (ended.returncode, complaints) == (0, []), ended.stdout
    assert "warning" not in ended.stdout.lower()
    return ended.stdout


@pytest.mark.parametrize(
    ("reader", "piped"),
    [*((each, False) for each in FROM_FILE), *((each, True) for each in FROM_PIPE)],
)
def test_success_extracted(reader: str, piped: bool, bundle: Path, tmp_path: Path) -> None:
    run((FROM_PIPE if piped else FROM_FILE)[reader], bundle, tmp_path, piped=piped)
    assert read_directory(tmp_path) == read_expected(bundle)


@pytest.mark.parametrize("command", [["funzip"], ["unzip", "-p", "{}", "manifest.json"]])
def test_success_one_entry(command: list[str], bundle: Path, tmp_path: Path) -> None:
    """`unzip` needs a file; its companion `funzip` reads the first entry of a pipe."""
    printed = run(command, bundle, tmp_path, piped=command == ["funzip"])
    assert printed.encode() == read_expected(bundle)["manifest.json"]


def test_success_streamed_without_the_directory(bundle: Path) -> None:
    with bundle.open("rb") as file:
        chunks = iter(lambda: file.read(65_536), b"")
        read = {
            name.decode(): b"".join(data) for name, _, data in stream_unzip.stream_unzip(chunks)
        }
    assert read == read_expected(bundle)


def list_many_entries() -> Iterator[tuple[str, Iterator[bytes], bool]]:
    for number in range(MANY):
        yield f"media/{number:064x}/{number}", iter([b"x" * (number % 5)]), bool(number % 2)


def list_large_entries() -> Iterator[tuple[str, Iterator[bytes], bool]]:
    """One entry beyond 4 GiB, and one that begins behind it."""
    chunk = os.urandom(CHUNK)
    yield "manifest.json", iter([b"{}\n"]), False
    yield "media/0/large", (chunk for _ in range(LARGE // CHUNK)), True
    yield "media/1/behind", iter([b"behind"]), False


@pytest.fixture(
    scope="module", params=[list_many_entries, list_large_entries], ids=["many", "large"]
)
def huge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    if not NIGHTLY:
        pytest.skip("SCAIWAVE_TEST_NIGHTLY is not set.")
    list_them: Callable[[], Iterator[tuple[str, Iterator[bytes], bool]]] = request.param
    path = write_archive(tmp_path_factory.mktemp("huge") / "bundle.zip", list_them())
    yield path
    path.unlink()


@pytest.mark.parametrize("reader", VERIFIERS)
def test_success_huge_archives(reader: str, huge: Path, tmp_path: Path) -> None:
    printed = run(VERIFIERS[reader], huge, tmp_path)
    with zipfile.ZipFile(huge) as archive:
        names = archive.namelist()
    proof = {
        "unzip": "No errors detected",
        "zipinfo": f"{len(names)} files",
        "7z": "Everything is Ok",
        "bsdtar": names[-1],
        "jar": names[-1],
    }
    assert proof[reader] in printed


def test_success_huge_archives_as_a_stream(huge: Path, tmp_path: Path) -> None:
    listed = run(["bsdtar", "-tf", "-"], huge, tmp_path, piped=True).splitlines()
    with zipfile.ZipFile(huge) as archive:
        assert listed == archive.namelist()
