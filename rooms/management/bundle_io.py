"""Open the bundle that a command reads, check the options of an export, and print results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rooms.bundle.chain import MAX_LINKS
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from scaiwave.core.errors import ScaiWaveError, UsageError

if TYPE_CHECKING:
    from rooms.imports.import_room import ImportResult
    from tenants.lookup.serializers import Row

MAX_CONTEXT_EVENTS = 1000
"""Around each event that a transcript's search finds."""

IMPORT_COLUMNS = (
    Column("name", "Name"),
    Column("room_id", "ID"),
    Column("workspace", "Workspace"),
    Column("signature", "Signature"),
    Column("events", "Events", ColumnType.COUNT),
    Column("stripped", "Stripped"),
    Column("references_cut", "References cut", ColumnType.COUNT),
    Column("media_stored", "Media stored", ColumnType.COUNT),
    Column("media_already_there", "Media already there", ColumnType.COUNT),
    Column("media_missing", "Media missing", ColumnType.COUNT),
    Column("media_infected", "Media infected", ColumnType.COUNT),
)
EXISTING_ROOM_COLUMNS = IMPORT_COLUMNS[:3]

VERIFICATION_COLUMNS = (
    Column("room", "Room"),
    Column("room_type", "Type"),
    Column("server_name", "Server"),
    Column("exported_at", "Exported"),
    Column("whole_room", "Whole room", ColumnType.FLAG),
    Column("events", "Events", ColumnType.COUNT),
    Column("senders", "Senders", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("missing_media", "Media missing", ColumnType.COUNT),
    Column("entries", "Entries", ColumnType.COUNT),
    Column("manifest_sha256", "Manifest SHA-256"),
    Column("signature", "Signature"),
)


@contextmanager
def open_input(path: str | None, *, terminal_fix: str, unreadable_fix: str) -> Iterator[BinaryIO]:
    """Open the file, or stdin for None. Raises `UsageError` with one of the fixes."""
    if path is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("Can't read a bundle from a terminal.", fix=terminal_fix)
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"Can't read {path}: {error.strerror}.", fix=unreadable_fix) from None
    with file:
        yield file


def print_report(
    output: Output,
    document: Mapping[str, Any],
    *tables: tuple[str, Sequence[Column], Sequence[Row]],
    lines: Iterable[str] = (),
    warnings: Iterable[str] = (),
    error: ScaiWaveError | None = None,
) -> None:
    """Print the document as JSON, or the tables; then the lines; then raise the error."""
    for warning in warnings:
        output.warn(warning)
    if output.as_json:
        output.print_json(document)
    else:
        for plural, columns, rows in tables:
            output.print_table(plural, columns, rows)
        for line in lines:
            output.print_line(line)
    if error is not None:
        raise error


def print_import_result(output: Output, imported: ImportResult) -> None:
    document = build_import_document(imported)
    print_report(output, document, lines=[imported.sentence], warnings=imported.warnings)
    if not output.as_json:
        is_new = imported.imported or imported.dry_run
        output.print_record(IMPORT_COLUMNS if is_new else EXISTING_ROOM_COLUMNS, imported.row())


def check_import_usage(file: str | None, options: Mapping[str, Any]) -> None:
    """Raises `UsageError` for options that don't belong together."""
    is_chain = bool(options["chain"])
    if is_chain and (options["append"] or options["once"] or file):
        raise UsageError(
            "Can't combine --chain with --append, --once or --input.",
            fix="Leave them out: --chain imports the missing links.",
        )
    if options["append"] and options["once"]:
        raise UsageError(
            "Can't combine --append with --once.",
            fix="Leave out --once: no link is imported twice.",
        )
    if options["to_sequence"] is not None and not is_chain:
        raise UsageError("--to-sequence needs --chain.", fix="Pass --chain DIR.")
    is_local = options["keep_local"] or options["take_theirs"]
    if is_local and not (is_chain or options["append"]):
        raise UsageError(
            "--keep-local and --take-theirs need --append or --chain.", fix="Leave them out."
        )
    if options["accept_unsigned"] and not (is_chain or options["append"]):
        raise UsageError(
            "--accept-unsigned needs --append or --chain.",
            fix="Leave it out: an unsigned bundle is imported with a warning.",
        )
    if options["accept_unsigned"] and options["require_signature"]:
        raise UsageError(
            "Can't combine --accept-unsigned with --require-signature.",
            fix="Leave out one of the two.",
        )
    if is_chain and options["dry_run"]:
        raise UsageError(
            "Can't combine --chain with --dry-run: a link is checked against the ones before it.",
            fix="Check the files with `scaiwave room verify --chain`.",
        )


def build_import_document(imported: ImportResult) -> Row:
    """Return what --json prints; the HTTP API has a document of its own, `imported.document()`.

    In a dry run, `changed` is whether something would change.
    """
    document = imported.document()
    changed, media = document.pop("imported"), document.pop("media")
    return {
        "room": document.pop("room"),
        "changed": changed or imported.dry_run,
        **document,
        "media": {
            "stored": media["stored"],
            "already_stored": media["already_there"],
            "infected": media["infected"],
            "missing": media["missing"],
        },
    }


def check_export_usage(room: str | None, output: Path | None, options: Mapping[str, Any]) -> None:
    """Raises `UsageError` for options that don't belong together."""
    if options["force"] and output is None:
        raise UsageError("--force needs --output.", fix="Add --output FILE, or leave it out.")
    if options["all"] and room is not None:
        raise UsageError(
            f"Can't combine --all with a room: {room}.", fix="Leave out one of the two."
        )
    if options["all"] and (output is not None or options["output_dir"] is None):
        raise UsageError("--all needs an output directory.", fix="Pass --output-dir DIR.")
    if options["output_dir"] and not options["all"]:
        raise UsageError(
            "--output-dir needs --all.", fix="Pass --output FILE for one room, or add --all."
        )
    if room is None and not options["all"]:
        raise UsageError(
            "No room was given.",
            fix="Name a room by its ID or alias, or pass --all and --output-dir DIR.",
        )
    _check_chain_usage(options)
    is_stdout = output is None and not options["all"]
    if is_stdout and options["json"]:
        raise UsageError(
            "Can't write both the bundle and JSON to stdout.",
            fix="Add --output room.zip to --json.",
        )
    if is_stdout and sys.stdout.isatty():
        raise UsageError(
            "Can't write a ZIP file to a terminal.",
            fix="Append `> room.zip` to the command, or pass --output room.zip.",
        )


def _check_chain_usage(options: Mapping[str, Any]) -> None:
    if options["incremental"] and not options["all"]:
        raise UsageError(
            "--incremental needs --all.", fix="For one room, pass its bundles with --since-bundle."
        )
    if options["since_bundle"] and options["all"]:
        raise UsageError(
            "Can't combine --since-bundle with --all.", fix="Pass --incremental instead."
        )
    is_chain = options["incremental"] or options["since_bundle"]
    if is_chain and (options["since"] or options["until"]):
        raise UsageError(
            "Can't combine a period with a chain, which is of a whole room.",
            fix="Leave out --since and --until.",
        )
    if options["even_if_empty"] and not is_chain:
        raise UsageError(
            "--even-if-empty needs --since-bundle or --incremental.",
            fix="Leave it out: a whole bundle is always written.",
        )
    if not 1 <= options["full_every"] < MAX_LINKS:
        raise UsageError(
            f"--full-every is not between 1 and {MAX_LINKS - 1}.", fix="Pass such a number."
        )


def check_transcript_usage(
    room: str | None, bundle: Path | None, options: Mapping[str, Any]
) -> None:
    """Raises `UsageError` for options that don't belong together."""
    if (room is None) == (bundle is None):
        raise UsageError(
            "Name a room or a bundle.", fix="Pass a room and its --tenant, or --bundle PATH."
        )
    if (room is None) == bool(options["tenant"]):
        raise UsageError("--tenant belongs to a room.", fix="Pass a room and its --tenant.")
    if bundle is None and (options["key"] or options["descriptor"]):
        raise UsageError("--key and --descriptor need --bundle.", fix="Leave them out.")
    if options["single_file"] and options["format"] != "html":
        raise UsageError("--single-file needs --format html.", fix="Leave out one of the two.")
    if options["context"] and not options["search"]:
        raise UsageError("--context needs --search.", fix="Pass --search WORDS too.")
    if not 0 <= options["context"] <= MAX_CONTEXT_EVENTS:
        raise UsageError(
            f"Invalid --context: {options['context']}.",
            fix=f"Pass a number from 0 to {MAX_CONTEXT_EVENTS:,}.",
        )
