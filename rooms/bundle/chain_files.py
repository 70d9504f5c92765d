"""Find the files of a chain of bundles in a directory, and read the room after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from rooms.bundle.chain import Chain, open_chain
from rooms.bundle.format import INCREMENT_VERSION
from rooms.bundle.manifest.events import Batch, BundleEvent, try_decode
from rooms.bundle.reader import read_version
from rooms.errors import BundleError
from scaiwave.core import strict_json
from scaiwave.core.errors import UsageError
from scaiwave.core.files import open_regular


def list_bundles(directory: Path) -> list[Path]:
    """Return the files of a directory with chains, in the order of their numbers."""
    return sorted((path for path in directory.glob("*.zip") if path.stem.isdecimal()), key=_number)


def list_others(paths: Sequence[Path]) -> list[str]:
    """Return the names in a directory that `find_chains` does not read; hidden ones are left out.

    Bundles are found by their numbers, since a directory may have thousands.
    """
    found = paths[0].iterdir() if len(paths) == 1 and paths[0].is_dir() else ()
    return sorted(
        path.name
        for path in found
        if not path.name.startswith(".") and not (path.suffix == ".zip" and path.stem.isdecimal())
    )


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def find_last_base(files: Sequence[Path]) -> int:
    """Return the place of the last whole bundle, or 0. Raises `BundleError` or `UsageError`."""
    return next((place for place in range(len(files) - 1, 0, -1) if _is_base(files[place])), 0)


def _is_base(path: Path) -> bool:
    with open_bundle_file(path) as file:
        try:
            return read_version(file) != INCREMENT_VERSION
        except BundleError as error:
            message = f"{path}: {error.message}"
            raise type(error)(message, fix=error.advice, **error.details) from None


def find_chain(path: Path) -> list[Path]:
    """Return the files of the last chain of a directory, of a bundle in one, or of a whole bundle.

    Raises `BundleError` or `UsageError`.
    """
    if path.is_dir():
        files = list_bundles(path)
        if not files:
            raise UsageError(f"{path} has no bundles.", fix="Name a directory with 0000.zip.")
        return files[find_last_base(files) :]
    if _is_base(path):
        return [path]
    files = [*(each for each in list_bundles(path.parent) if _number(each) < _number(path)), path]
    return files[find_last_base(files) :]


def find_chains(paths: Sequence[Path]) -> list[list[Path]]:
    """Return all chains of a directory, in order, or the one of these files."""
    if len(paths) > 1 or not paths[0].is_dir():
        return [list(paths)]
    chains: list[list[Path]] = []
    files = list_bundles(paths[0])
    while files:
        place = find_last_base(files)
        chains.insert(0, files[place:])
        files = files[:place]
    return chains or [find_chain(paths[0])]


def open_bundle_file(path: Path) -> BinaryIO:
    """Raises `UsageError`."""
    try:
        return open_regular(path)
    except OSError as error:
        raise UsageError(
            f"Can't read {path}: {error.strerror}.", fix="Name a bundle, a ZIP file."
        ) from None


@contextmanager
def open_chain_files(paths: Sequence[Path], **options: Any) -> Iterator[Chain]:
    """Open the chain of these files. It takes the options of `open_chain`."""
    with ExitStack() as stack:
        files = [(str(path), stack.enter_context(open_bundle_file(path))) for path in paths]
        yield stack.enter_context(open_chain(files, **options))


class ChainContent:
    """The room after a chain, to be read like a whole bundle."""

    def __init__(self, chain: Chain) -> None:
        self.header = chain.build_header(chain.bundles[-1].header.generator)
        self._chain = chain

    def iter_batches(self) -> Iterator[Batch]:
        """Yield all events in order. Can be called again, after the end."""
        for _, _, texts in self._chain.iter_batches():
            yield try_decode(b"[%b]" % b",".join(texts), BundleEvent) or Batch(
                msgspec.convert(strict_json.loads(bytes(text)), BundleEvent) for text in texts
            )

    def iter_media(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes of an attachment. Raises `KeyError` if no bundle has it."""
        if (bundle := self._chain.find_media(sha256)) is None:
            raise KeyError(sha256)
        return bundle.content.iter_media(sha256)
