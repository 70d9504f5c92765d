"""The files of an export: in a ZIP file, in a directory, or a single file.

Nothing is extracted. Other programs write the ZIP files, so this accepts what
`rooms.bundle.archive` refuses because our own bundles don't have it: comments, extra fields, names
without the UTF-8 flag. Names that lead out of the archive are never opened.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from rooms.bundle.archive.reader import SharedFile, ZipEntry, iter_content
from rooms.bundle.archive.records import END, END_64, FULL_32, LOCAL, LOCATOR_64
from rooms.bundle.format import MAX_COMPRESSION_RATIO, MIN_RATIO_CHECKED_BYTES
from rooms.conversion.accounts import Accounts, Place, RowKind
from rooms.errors import BundleDamaged, DecompressionBomb, SourceRefused, SourceUnreadable

MAX_ENTRIES = 1_000_000
_CHUNK_BYTES = 256 * 1024
_MAX_COMMENT_BYTES = 0xFFFF
_MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
"""About 600,000 entries."""
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
        self.file_name = _replace_undecoded(source.resolve().name)
        self._accounts = accounts
        self._stack = ExitStack()
        self._on_bytes = on_bytes
        self._numbers: dict[str, int] = {}
        self._ids: dict[str, str] | None = None
        self._digest, self._last_digest, self._is_hashed = sha256(), "", True
        with ExitStack() as stack:
            self._tree = _open_tree(source, stack)
            self._extra = _Directory(extra) if extra else None
            self._stack = stack.pop_all()
        self.sizes = self._tree.sizes
        for name, problem in self._tree.problems:
            accounts.lose(Place(self.number(name), 0), RowKind.OTHER, problem)

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

    def lose(self, name: str, loss: str) -> None:
        """Report a file that is in no bundle, unless it is accounted for already."""
        if name not in self._numbers:
            self._accounts.lose(Place(self.number(name), 0), RowKind.OTHER, loss)

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content, which accounts for it. Raises `FileDamaged` or `SourceRefused`."""
        self.number(name)
        yield from self.peek_chunks(name)

    def peek_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content, to find out its type. Raises `FileDamaged` or `SourceRefused`."""
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
        """Yield the content, and add it to the next digest."""
        self._is_hashed = True
        self._digest.update(f"{name}\0{self.sizes.get(name)}\0".encode(errors="replace"))
        for chunk in self.iter_chunks(name):
            self._digest.update(chunk)
            yield chunk

    def take_digest(self) -> str:
        """Return the SHA-256 of all files that were hashed since the last call, if there are any.

        Otherwise the same as then: the rooms of the source share these files.
        """
        if self._is_hashed:
            self._last_digest, self._digest = self._digest.hexdigest(), sha256()
            self._is_hashed = False
        return self._last_digest

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

    def sort_groups(self, groups: Mapping[str, Iterable[str]]) -> list[str]:
        """Return the keys of groups of files, the smallest first: it is soon done."""
        sizes = {key: sum(map(self.get_size, names)) for key, names in groups.items()}
        return sorted(groups, key=lambda key: (sizes[key], key))

    def report_unread(self) -> None:
        """Count files that nothing refers to."""
        for name in self.sizes:
            self.lose(name, "file that no message refers to")

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
                    self.problems.append((_replace_undecoded(name), "link or special file"))
                    continue
                if _replace_undecoded(name) != name:
                    problem = "file whose name is not UTF-8"
                    self.problems.append((_replace_undecoded(name), problem))
                    continue
                self.sizes[name] = status.st_size
                if len(self.sizes) > MAX_ENTRIES:
                    raise SourceRefused(f"{root} has more than {MAX_ENTRIES:,} files.")

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        yield from _iter_file(os.fdopen(descriptor, "rb"))


def _replace_undecoded(name: str) -> str:
    """Replace what stands for bytes that are not UTF-8."""
    return name.encode(errors="replace").decode()


class _SingleFile:
    def __init__(self, path: Path) -> None:
        self.sizes = {_replace_undecoded(path.name): path.stat().st_size}
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
        _check_directory_size(file)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
            raise SourceUnreadable(
                "The ZIP file is incomplete or damaged.", fix="Transfer the file again."
            ) from None
        entries.sort(key=attrgetter("header_offset"))
        following = [*(entry.header_offset for entry in entries[1:]), file.seek(0, 2)]
        for entry, end in zip(entries, following, strict=True):
            if entry.header_offset + LOCAL.size + entry.compress_size > end:
                raise SourceRefused("The archive has entries that overlap each other.")
            self._add(entry)

    def iter_chunks(self, name: str) -> Iterator[bytes]:
        entry = self._entries[name]
        header = self._file.read(entry.data_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\3\4"):
            raise BundleDamaged(name)
        *_, name_length, extra_length = LOCAL.unpack(header)
        data_offset = entry.data_offset + LOCAL.size + name_length + extra_length
        return iter_content(self._file, replace(entry, data_offset=data_offset))

    def _add(self, entry: zipfile.ZipInfo) -> None:
        name, size, packed = entry.filename, entry.file_size, entry.compress_size
        if not entry.flag_bits & _UTF8:  # Many programs write UTF-8 and don't set its flag.
            with suppress(UnicodeError):
                name = name.encode("cp437").decode()
        name = name.replace("\\", "/")  # which some programs for Windows write
        if name.endswith("/") or _IGNORED.fullmatch(name):
            return
        if entry.flag_bits & _ENCRYPTED:
            raise SourceRefused(
                f"Entry {name!r:.200} is encrypted.",
                fix="Decrypt the archive before converting it.",
            )
        if size > max(MIN_RATIO_CHECKED_BYTES, MAX_COMPRESSION_RATIO * packed):
            raise SourceRefused(
                f"Entry {name!r:.200} decompresses from {packed:,} to {size:,} bytes, which is "
                f"more than {MAX_COMPRESSION_RATIO} to 1."
            )
        if problem := self._find_problem(name, entry):
            self.problems.append((name, problem))
            return
        self.sizes[name] = size
        self._entries[name] = ZipEntry(
            name, entry.compress_type, entry.CRC, packed, size, entry.header_offset
        )

    def _find_problem(self, name: str, entry: zipfile.ZipInfo) -> str | None:
        if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
            return "entry with an unsafe name"
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            return "link or special file"
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "entry with an unsupported compression"
        return "second entry with the same name" if name in self._entries else None


def _check_directory_size(file: BinaryIO) -> None:
    """Refuse an archive whose directory would fill the memory, before it is read."""
    size = file.seek(0, 2)
    start = max(size - END.size - _MAX_COMMENT_BYTES - LOCATOR_64.size - END_64.size, 0)
    file.seek(start)
    tail = file.read()
    sizes = [END.unpack_from(tail, at)[5] for at in _find_all(tail, b"PK\5\6", END.size)]
    sizes += [END_64.unpack_from(tail, at)[8] for at in _find_all(tail, b"PK\6\6", END_64.size)]
    if any(size > _MAX_DIRECTORY_BYTES for size in sizes if size != FULL_32):
        raise SourceRefused("The archive has too many entries.")


def _find_all(data: bytes, signature: bytes, size: int) -> Iterator[int]:
    """Yield where a record of this size may begin, from the end."""
    position = len(data) - size + len(signature)
    while (position := data.rfind(signature, 0, position)) >= 0:
        yield position
