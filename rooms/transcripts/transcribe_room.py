"""Make a transcript of a room, or of a bundle: a directory of files that is complete or absent.

A room is exported first, into a file without a name, with the same permission and audit entry as
any export. So a transcript is always of a bundle, and of one moment.
"""

from __future__ import annotations

import base64
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import IO, BinaryIO, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from django.conf import settings

from federation.keys.signing import VerifyingKey
from rooms.bundle.archive.reader import Archive
from rooms.bundle.archive.writer import DeflateCompressor, ZipStreamWriter
from rooms.bundle.chain_files import ChainContent, find_chain, open_bundle_file, open_chain_files
from rooms.bundle.format import SIGNATURE_ALGORITHM
from rooms.bundle.manifest.schema import format_timestamp
from rooms.bundle.reader import BundleContent, RoomContent, read_bundle
from rooms.bundle.signature import Signer
from rooms.errors import BundleError, ReasonMissing
from rooms.exports.existing import read_header
from rooms.exports.export_room import FileExport, RoomExport, export_room, load_signer
from rooms.imports.verify_bundle import load_keys, verify_signatures
from rooms.transcripts.document import NUMBERS, Document, Format, OutputFile, TranscriptOptions
from rooms.transcripts.timeline import Timeline
from rooms.transcripts.wording import TranscriptMedia, encode_json
from scaiwave.console.output import format_bytes
from scaiwave.console.progress import (
    ProgressCallback,
    ProgressFactory,
    null_progress,
    null_progress_factory,
)
from scaiwave.console.text import pluralize
from scaiwave.core.completed_work import record_completed
from scaiwave.core.draft_journal import announce_drafts
from scaiwave.core.errors import DiskFull, FileExists, FileUnwritable, UsageError
from scaiwave.core.files import (
    DISK_FULL_ERRNOS,
    atomic_directory,
    remove_drafts_in,
)
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.lookup.serializers import Row

RECORD = "transcript.json"
RECORD_FORMAT = "scaiwave-room-transcript"
FORMATS = {"html": "html", "text": "plain_text", "csv": "spreadsheet", "rsmf": "rsmf"}
"""Formats, and their modules, which are imported when they are used."""
_UNLIMITED = 2**63


@dataclass(frozen=True)
class TranscriptSource:
    """A bundle to read, and facts about it. `signer` signs the record, unless it is None."""

    content: RoomContent
    facts: Row
    sentence: str
    signer: Signer | None = None


def parse_time_zone(name: str) -> ZoneInfo:
    """Raises `UsageError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"Time zone not found: {name}.", fix="Pass a name such as Europe/Amsterdam."
        ) from None


def transcribe_room(
    *,
    operator: Operator,
    tenant: str,
    room: str,
    options: TranscriptOptions,
    target: Path,
    overwrite: bool,
    now: datetime,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Report:
    """Write the transcript of a room, named by its ID or alias, into a new directory.

    Raises the errors of an export, `UsageError`, `FileUnwritable` or `FileExists` for the
    directory, `DiskFull`, and `TranscriptTooLarge`.
    """
    _check_target(target, overwrite=overwrite)
    parent = target.absolute().parent
    with _translate_errors(target), tempfile.TemporaryFile(dir=parent) as spool:
        with progress_factory("Exporting events") as progress:
            export = export_room(
                operator=operator,
                tenant=tenant,
                room=room,
                window=options.selection.window,
                with_media=_has_media(options),
                now=now,
                progress=progress,
                transcript=options.format,
            )
            source = spool_export(export, spool, load_signer(now))
        return _write(
            source,
            options,
            target=target,
            overwrite=overwrite,
            now=now,
            progress_factory=progress_factory,
        )


def transcribe_bundle(
    *,
    path: Path,
    key: str | None,
    descriptor: Path | None,
    options: TranscriptOptions,
    max_bytes: int,
    target: Path,
    overwrite: bool,
    now: datetime,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Report:
    """Write the transcript of a bundle, or of the room after a chain, which are verified first.

    `path` is a whole bundle, a directory with a chain, or the last bundle to read. Needs no
    database and no network. Raises `BundleError`, `BundleNotVerified` for a wrong signature,
    `UsageError` if it can't be read, and the errors of `transcribe_room` about the directory.
    """
    _check_target(target, overwrite=overwrite)
    keys = load_keys(None, key, descriptor)
    with ExitStack() as stack:
        try:
            source = _open_bundle(stack, path, keys, max_bytes, progress_factory)
            with _translate_errors(target):
                return _write(
                    source,
                    options,
                    target=target,
                    overwrite=overwrite,
                    now=now,
                    progress_factory=progress_factory,
                )
        except BundleError as error:
            error.fix = error.advice
            raise


def download_transcript(
    *,
    operator: Operator,
    tenant: str,
    room: str,
    options: TranscriptOptions,
    reason: str,
    now: datetime,
) -> TranscriptDownload:
    """Start the transcript of a room as a ZIP file, for someone who may read its messages.

    Raises `ReasonMissing`, and the errors of an export.
    """
    operator.require(Permission.READ_MESSAGES)
    if not reason.strip():
        raise ReasonMissing("No reason was given.")
    export = export_room(
        operator=operator,
        tenant=tenant,
        room=room,
        window=options.selection.window,
        with_media=_has_media(options),
        now=now,
        reason=reason.strip(),
        transcript=options.format,
    )
    return TranscriptDownload(export, options, load_signer(now), now)


class TranscriptDownload(FileExport[int]):
    """A ZIP file. The room is exported before its first byte, into a file without a name."""

    def __init__(
        self, export: RoomExport, options: TranscriptOptions, signer: Signer | None, now: datetime
    ) -> None:
        super().__init__(_iter_zip(export, options, signer, now), lambda size: size)
        self.room = export.room


def _iter_zip(
    export: RoomExport, options: TranscriptOptions, signer: Signer | None, now: datetime
) -> Generator[bytes]:
    with tempfile.TemporaryFile() as spool:
        source = spool_export(export, spool, signer)
        writer = ZipStreamWriter(now)
        for path, chunks in iter_files(source, options, now):
            yield from writer.encode_entry(path, chunks, DeflateCompressor())
        yield from writer.encode_end()


def _has_media(options: TranscriptOptions) -> bool:
    return options.with_media and _load_format(options).has_media


def _load_format(options: TranscriptOptions) -> Format:
    return cast(Format, import_module(f"rooms.transcripts.{FORMATS[options.format]}").FORMAT)


def spool_export(export: RoomExport, spool: IO[bytes], signer: Signer | None) -> TranscriptSource:
    """Export into a file. What this process has just written needs no validation."""
    with closing(export):
        for chunk in export:
            spool.write(chunk)
    archive = Archive(cast(BinaryIO, spool), _UNLIMITED)
    header = read_header(archive)
    facts = {
        "kind": "database",
        "server_name": header.server_name,
        "exported_at": header.exported_at,
        "manifest_sha256": export.result.manifest_sha256,
    }
    sentence = f"the database of {header.server_name}"
    return TranscriptSource(BundleContent(header, archive), facts, sentence, signer)


def _open_bundle(
    stack: ExitStack,
    path: Path,
    keys: Mapping[str, VerifyingKey],
    max_bytes: int,
    progress_factory: ProgressFactory,
) -> TranscriptSource:
    """Verify a bundle, or the chain of a directory or of a bundle; `stack` closes it."""
    files = find_chain(path)
    if path.is_dir() or len(files) > 1:
        chain = stack.enter_context(
            open_chain_files(files, max_bytes=max_bytes, progress_factory=progress_factory)
        )
        bundles = {item.name: item.bundle for item in chain.bundles}
        content: RoomContent = ChainContent(chain)
    else:
        file = stack.enter_context(open_bundle_file(path))
        with progress_factory("Checking") as progress:
            bundle = stack.enter_context(
                read_bundle(file, max_bytes=max_bytes, cut_references=True, progress=progress)
            )
        bundles, content = {str(path): bundle}, bundle.content
    status = verify_signatures({name: bundle.signature for name, bundle in bundles.items()}, keys)
    last = list(bundles.values())[-1]
    facts: Row = {
        "kind": "bundle",
        "server_name": content.header.server_name,
        "exported_at": content.header.exported_at,
        "manifest_sha256": last.manifest_sha256,
        "signature": status.value,
        "key_id": last.signature.key_id if last.signature else None,
    }
    what = "a bundle"
    if isinstance(content, ChainContent):
        facts["kind"] = "chain"
        facts["links"] = [bundle.manifest_sha256 for bundle in bundles.values()]
        what = f"a chain of {pluralize(len(bundles), 'bundle')}"
    sentence = f"{what}, manifest SHA-256 {last.manifest_sha256}, signature: {status.value}"
    return TranscriptSource(content, facts, sentence)


def _write(
    source: TranscriptSource,
    options: TranscriptOptions,
    *,
    target: Path,
    overwrite: bool,
    now: datetime,
    progress_factory: ProgressFactory,
) -> Report:
    parent, size, count = target.absolute().parent, 0, 0
    record: Row = {}
    with announce_drafts(settings.HOME, parent):
        remove_drafts_in(parent)
        with (
            progress_factory("Writing events") as progress,
            atomic_directory(target, overwrite=overwrite) as draft,
        ):
            for file in iter_files(
                source, options, now, progress=progress, on_record=record.update
            ):
                path = draft / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as stream:
                    for chunk in file.chunks:
                        size += stream.write(chunk)
                count += 1
    record_completed(f"room transcript: {target}", command=f"ls {target}")
    return _build_report(target, record, size, count)


def _build_report(directory: Path, record: Row, size: int, files: int) -> Report:
    window, events = record["window"], record["events"]
    figures = {
        "room": record["room"],
        "window": window and {"starts_at": window["since"], "ends_at": window["until"]},
        "format": record["transcript"],
        "events": {key: value for key, value in events.items() if key != "by_type"},
        "media": record["media"]["listed"],
        "missing_media": sum(record["media"]["missing"].values()),
        "directory": str(directory),
        "files": files,
        "size_bytes": size,
        "manifest_sha256": record["source"]["manifest_sha256"],
        "key_id": record["key_id"],
    }
    sentence = (
        f"Transcript of {pluralize(events['read'], 'event')} written to {directory}: "
        f"{pluralize(files, 'file')}, {format_bytes(size)}."
    )
    shown = (
        f"{events['shown']:,} shown by themselves, {events['shown_with_target']:,} with the "
        f"event that they refer to, {events['left_out']:,} left out by the filter."
    )
    unsigned = "" if record["signature"] else f"{RECORD} is not signed."
    return Report(figures, sentence, notes=[shown, unsigned])


def iter_files(
    source: TranscriptSource,
    options: TranscriptOptions,
    now: datetime,
    *,
    progress: ProgressCallback = null_progress,
    on_record: Callable[[Row], None] = lambda record: None,
) -> Iterator[OutputFile]:
    """Yield the files of the transcript; read each to its end before the next.

    The last one is the record, which lists the others. Raises RuntimeError if an event of the
    bundle is not accounted for.
    """
    format_, content = _load_format(options), source.content
    timeline = Timeline(content, format_.layout, options.selection, options.clock, progress)
    with closing(timeline):
        document = Document(
            content,
            timeline,
            TranscriptMedia(content.header),
            options,
            source.sentence,
            str(source.facts["manifest_sha256"]),
        )
        written: list[_HashedFile] = []
        for path, chunks in format_.render(document):
            written.append(_HashedFile(path, chunks))
            yield OutputFile(path, written[-1])
        timeline.tally.verify()
    record = _build_record(source, document, written, now)
    on_record(record)
    yield OutputFile(RECORD, [encode_json(record, indent=1).encode() + b"\n"])


class _HashedFile:
    """The bytes of a file, which are counted and hashed while they are read."""

    def __init__(self, path: str, chunks: Iterable[bytes]) -> None:
        self.path, self.size = path, 0
        self._chunks, self._digest = chunks, sha256()

    def __iter__(self) -> Iterator[bytes]:
        chunks, self._chunks = self._chunks, ()  # a page is not kept
        for chunk in chunks:
            self._digest.update(chunk)
            self.size += len(chunk)
            yield chunk

    def describe(self) -> Row:
        return {"name": self.path, "sha256": self._digest.hexdigest(), "size": self.size}


def _build_record(
    source: TranscriptSource, document: Document, written: Sequence[_HashedFile], now: datetime
) -> Row:
    """Return the record, signed as `signature.json` of a bundle is: all but its signature."""
    import rfc8785

    header, selection, signer = document.header, document.options.selection, source.signer
    missing = Counter(entry.missing for entry in header.media if entry.missing)
    record = {
        "format": RECORD_FORMAT,
        "version": 1,
        "generator": document.generator,
        "created_at": format_timestamp(now),
        "transcript": document.options.format,
        "source": source.facts,
        "room": {"id": header.room.id, "name": header.room.name},
        "time_zone": document.zone_name,
        "window": msgspec.to_builtins(header.window or selection.window.for_manifest),
        "filter": {
            "participant": selection.participant or None,
            "words": list(selection.words),
            "context": selection.context,
        },
        "events": document.timeline.tally.document(),
        "notes": [*filter(None, [NUMBERS, _load_format(document.options).note])],
        "media": {
            "listed": len(header.media),
            "missing": {str(reason): count for reason, count in sorted(missing.items())},
        },
        "files": [file.describe() for file in written],
        "algorithm": SIGNATURE_ALGORITHM if signer else None,
        "key_id": signer.key_id if signer else None,
    }
    signature = base64.b64encode(signer.sign(rfc8785.dumps(record))).decode() if signer else None
    return {**record, "signature": signature}


def _check_target(target: Path, *, overwrite: bool) -> None:
    """Raises `UsageError` or `FileExists`. Only a transcript is ever replaced."""
    if not target.absolute().parent.is_dir():
        raise UsageError(
            f"Directory not found: {target.absolute().parent}.",
            fix="Create the directory, or pass another one.",
        )
    if not target.exists():
        return
    if not overwrite:
        raise FileExists(f"{target} already exists. It is unchanged.")
    if target.is_symlink() or not (target / RECORD).is_file():
        raise UsageError(
            f"{target} is not a transcript, so it is not replaced.", fix="Pass another directory."
        )


@contextmanager
def _translate_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:  # It was created after the work began.
        raise FileExists(f"{target} already exists. It is unchanged.") from None
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFull(f"Not enough disk space to write {target}.") from error
        raise FileUnwritable(
            f"{target} can't be written: {error.strerror}.",
            fix="Make its parent directory writable for this user, or pass another directory.",
        ) from None
