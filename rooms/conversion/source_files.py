"""The files of an export: in a ZIP file, in a directory, or a single file.

Nothing is extracted. Other programs write the ZIP files, so this accepts what
`rooms.bundle.archive` refuses because our own bundles don't have it: comments, extra fields, names
without the UTF-8 flag, bytes before the archive. Names that lead out of it are never opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from rooms.bundle.archive.reader import SharedFile, ZipEntry, iter_content
from rooms.bundle.archive.records import CENTRAL, END, END_64, FULL_16, FULL_32, LOCAL, LOCATOR_64
from rooms.bundle.format import MAX_COMPRESSION_RATIO, MIN_RATIO_CHECKED_BYTES
from rooms.conversion.accounts import OTHER, Accounts
from rooms.conversion.model import Place
from rooms.errors import BundleDamaged, DecompressionBomb, SourceRefused, SourceUnreadable

MAX_ENTRIES = 1_000_000
_CHUNK_BYTES = 256 * 1024
_MAX_COMMENT_BYTES = 0xFFFF
_MAX_DIRECTORY_BYTES = 512 * 1024 * 1024
_ENCRYPTED, _UTF8, _DEFLATED = 0x2041, 0x0800, 8
_IGNORED = re.compile(r"(?:.*/)?(?:__MACOSX/.*|\.DS_Store|Thumbs\.db|\._[^/]*)", re.DOTALL)
_ID_IN_NAME = re.compile(r"[A-Za-z0-9]{5,64}(?=[-_.])")
_DAY = re.compile(r".*/\d{4}-\d\d-\d\d\.json", re.DOTALL)

EXTRA = "--files/"
"""What the names of files in the directory of `--files` begin with."""


class FileDamaged(Exception):
    """The rest of a file can't be read."""


class _Tree(Protocol):
    sizes: dict[str, int]
    problems: list[tuple[str, str]]

    def iter_chunks(self, name: str) -> Iterator[bytes]: ...


class SourceFiles:
    """All files by name, with `/` between directories. Close it, or use it in `with`."""

    def __init__(
        self,
        source: Path,
        extra: Path | None,
        accounts: Accounts,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Raises `SourceUnreadable` or `SourceRefused`."""
        self.file_name = source.resolve().name
        self._accounts = accounts
        self._stack = ExitStack()
        self._on_bytes = on_bytes
        self._numbers: dict[str, int] = {}
        self._ids: dict[str, str] | None = None
        self.digest = sha256()
        with ExitStack() as stack:
            self._tree = _open_tree(source, stack)
            self._extra = _Directory(extra) if extra else None
            self._stack = stack.pop_all()
        self.sizes = self._tree.sizes
        for name, problem in self._tree.problems:
            accounts.lose(Place(self.number(name), 0), OTHER, problem)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    def number(self, name: str) -> int:
        """Return the number of a file in the accounts."""
        if (number := self._numbers.get(name)) is None:
            number = self._numbers[name] = self._accounts.add_file(name)
        return number

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content. Raises `FileDamaged` or `SourceRefused`."""
        self.number(name)
        tree, inner = self._get_tree(name)
        try:
            for chunk in tree.iter_chunks(inner):
                self._on_bytes(len(chunk))
                yield chunk
        except (BundleDamaged, OSError):
            raise FileDamaged from None
        except DecompressionBomb as error:
            raise SourceRefused(error.message) from None

    def iter_hashed(self, name: str) -> Iterator[bytes]:
        """Yield the content, and add it to `digest`."""
        self.digest.update(f"{name}\0{self.sizes.get(name)}\0".encode(errors="replace"))
        for chunk in self.iter_chunks(name):
            self.digest.update(chunk)
            yield chunk

    def take_digest(self) -> str:
        """Return the SHA-256 of all files that were hashed since the last call."""
        digest, self.digest = self.digest.hexdigest(), sha256()
        return digest

    def find(self, *paths: str) -> str | None:
        """Return the first of these files that exists, in the source or in the other directory."""
        for path in paths:
            if path in self.sizes:
                return path
            if self._extra and path in self._extra.sizes:
                return EXTRA + path
        return None

    def find_by_id(self, file_id: str) -> str | None:
        """Return the file whose directory is named with this ID, or whose name begins with it."""
        if self._ids is None:
            self._ids = {}
            _add_ids(self._ids, self.sizes, "")
            _add_ids(self._ids, self._extra.sizes if self._extra else {}, EXTRA)
        return self._ids.get(file_id)

    def get_size(self, name: str) -> int:
        tree, inner = self._get_tree(name)
        return tree.sizes[inner]

    def report_unread(self) -> None:
        """Count files that nothing refers to."""
        for name in self.sizes:
            if name not in self._numbers:
                place = Place(self.number(name), 0)
                self._accounts.lose(place, OTHER, "file that no message refers to")

    def _get_tree(self, name: str) -> tuple[_Tree, str]:
        if name.startswith(EXTRA) and self._extra and name not in self.sizes:
            return self._extra, name.removeprefix(EXTRA)
        return self._tree, name


def _add_ids(ids: dict[str, str], paths: Iterable[str], prefix: str) -> None:
    for path in paths:
        if _DAY.fullmatch(path):
            continue
        *directories, last = path.split("/")
        if directories:
            ids.setdefault(directories[-1], prefix + path)
        if match := _ID_IN_NAME.match(last):
            ids.setdefault(match[0], prefix + path)


def _open_tree(source: Path, stack: ExitStack) -> _Tree:
    try:
        if source.is_dir():
            return _Directory(source)
        file = stack.enter_context(source.open("rb"))
        if file.read(4) in (b"PK\3\4", b"PK\5\6"):
            return _Zip(file)
        return _SingleFile(source)
    except OSError as error:
        raise SourceUnreadable(f"{source} can't be read: {error.strerror}.") from None


class _Directory:
    """The regular files below a directory. Symbolic links are not followed."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SourceUnreadable(f"{root} is not a directory.", fix="Name a directory.")
        self.sizes: dict[str, int] = {}
        self.problems: list[tuple[str, str]] = []
        self._root = root
        for directory, names, files in os.walk(root):
            names.sort()
            for file in sorted(files):
                path = Path(directory, file)
                name = path.relative_to(root).as_posix()
                status = path.lstat()
                if _IGNORED.fullmatch(name):
                    continue
                if not stat.S_ISREG(status.st_mode):
                    self.problems.append((name, "link or special file"))
                    continue
                self.sizes[name] = status.st_size
                if len(self.sizes) > MAX_ENTRIES:
                    raise SourceRefused(f"{root} has more than {MAX_ENTRIES:,} files.")

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        yield from _iter_file(os.fdopen(descriptor, "rb"))


class _SingleFile:
    def __init__(self, path: Path) -> None:
        self.sizes = {path.name: path.stat().st_size}
        self.problems: list[tuple[str, str]] = []
        self._path = path

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        yield from _iter_file(self._path.open("rb"))


def _iter_file(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


class _Zip:
    """The entries of a ZIP file."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises `SourceUnreadable` or `SourceRefused`."""
        self.sizes: dict[str, int] = {}
        self.problems: list[tuple[str, str]] = []
        self._entries: dict[str, ZipEntry] = {}
        self._file = SharedFile(file)
        start, length, shift = _find_directory(file)
        file.seek(start)
        ends: list[tuple[int, int]] = []
        for raw in _iter_records(file, length):
            self._add(raw, shift, ends)
        ends.sort()
        for (_, end), (following, _) in zip(ends, [*ends[1:], (start, 0)], strict=True):
            if end > following:
                raise SourceRefused("The archive has entries that overlap each other.")

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        entry = self._entries[name]
        header = self._file.read(entry.data_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\3\4"):
            raise BundleDamaged(name)
        *_, name_length, extra_length = LOCAL.unpack(header)
        data_offset = entry.data_offset + LOCAL.size + name_length + extra_length
        return iter_content(
            self._file,
            ZipEntry(name, entry.method, entry.crc, entry.compressed_size, entry.size, data_offset),
        )

    def _add(
        self, raw: tuple[bytes, bytes, tuple[int, ...]], shift: int, ends: list[tuple[int, int]]
    ) -> None:
        raw_name, extra, (flags, method, crc, packed, size, attributes, offset) = raw
        size, packed, offset = _apply_zip64(extra, size, packed, offset)
        name = _decode_name(raw_name, flags)
        ends.append((offset + shift, offset + shift + LOCAL.size + len(raw_name) + packed))
        if name.endswith("/") or _IGNORED.fullmatch(name):
            return
        if flags & _ENCRYPTED:
            raise SourceRefused(
                f"Entry {name!r:.200} is encrypted.",
                fix="Decrypt the archive before converting it.",
            )
        if size > max(MIN_RATIO_CHECKED_BYTES, MAX_COMPRESSION_RATIO * packed):
            raise SourceRefused(
                f"Entry {name!r:.200} decompresses from {packed:,} to {size:,} bytes, which is "
                f"more than {MAX_COMPRESSION_RATIO} to 1."
            )
        if problem := self._find_problem(name, method, attributes):
            self.problems.append((name, problem))
            return
        self.sizes[name] = size
        self._entries[name] = ZipEntry(name, method, crc, packed, size, offset + shift)

    def _find_problem(self, name: str, method: int, attributes: int) -> str | None:
        parts = name.split("/")
        if (
            name.startswith("/")
            or ".." in parts
            or "\\" in name
            or "\0" in name
            or name[1:2] == ":"
        ):
            return "entry with an unsafe name"
        if stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG):
            return "link or special file"
        if method not in (0, _DEFLATED):
            return "entry with an unsupported compression"
        return "second entry with the same name" if name in self._entries else None


def _find_directory(file: BinaryIO) -> tuple[int, int, int]:
    """Return where the central directory begins, its length, and the bytes before the archive."""
    size = file.seek(0, 2)
    tail_start = max(size - END.size - _MAX_COMMENT_BYTES - LOCATOR_64.size, 0)
    file.seek(tail_start)
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < END.size:
        raise SourceUnreadable(
            "The ZIP file is incomplete: its end is missing.", fix="Transfer the file again."
        )
    *_, count, length, offset, _ = END.unpack_from(tail, found)
    end = tail_start + found
    locator = found - LOCATOR_64.size
    is_zip64 = locator >= 0 and tail.startswith(b"PK\6\7", locator)
    if is_zip64 and (count == FULL_16 or FULL_32 in (length, offset)):
        file.seek(LOCATOR_64.unpack_from(tail, locator)[2])
        record = file.read(END_64.size)
        if len(record) == END_64.size and record.startswith(b"PK\6\6"):
            *_, count, length, offset = END_64.unpack(record)
            end = tail_start + locator - END_64.size
    if count > MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES:
        raise SourceRefused(f"The archive has {count:,} entries (maximum {MAX_ENTRIES:,}).")
    start = end - length
    if start < 0 or offset > start:
        raise SourceUnreadable("The directory of the ZIP file is damaged.", fix="Get it again.")
    return start, length, start - offset


def _iter_records(file: BinaryIO, length: int) -> Iterable[tuple[bytes, bytes, tuple[int, ...]]]:
    """Return the names, extra fields and numbers in the records of the central directory."""
    directory = memoryview(file.read(length))
    position, records = 0, 0
    while position + CENTRAL.size <= len(directory):
        fields = CENTRAL.unpack_from(directory, position)
        (signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length,
         comment_length, _, _, attributes, offset) = fields  # fmt: skip
        if signature != b"PK\1\2":
            raise SourceUnreadable("The directory of the ZIP file is damaged.", fix="Get it again.")
        position += CENTRAL.size
        name = bytes(directory[position : position + name_length])
        position += name_length
        extra = bytes(directory[position : position + extra_length])
        position += extra_length + comment_length
        records += 1
        if records > MAX_ENTRIES:
            raise SourceRefused(f"The archive has more than {MAX_ENTRIES:,} entries.")
        yield name, extra, (flags, method, crc, packed, size, attributes, offset)


def _apply_zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    values = [size, packed, offset]
    while len(extra) >= 4:
        kind, length = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind != 1:
            continue
        for index in [index for index, value in enumerate(values) if value == FULL_32]:
            if len(field) >= 8:
                values[index], field = int.from_bytes(field[:8], "little"), field[8:]
    return values[0], values[1], values[2]


def _decode_name(raw: bytes, flags: int) -> str:
    """Decode a name. Many programs write UTF-8 and don't set its flag."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return (
            raw.decode("cp437", errors="replace")
            if not flags & _UTF8
            else raw.decode(errors="replace")
        )
