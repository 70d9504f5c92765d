"""The arguments that name pending removals, of `sync approve` and `sync keep`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from identity_sync.removals.decide import Selection
from scaiwave.core.errors import UsageError

MAX_FILE_BYTES = 64 * 1024**2
_FIX = "Name a text file with one ID a line, or `-` for stdin."


def add_removals(parser: ArgumentParser) -> None:
    parser.add_argument(
        "removals", metavar="ID", nargs="*", help="IDs that `scaiwave sync removals` lists"
    )
    parser.add_argument(
        "--from",
        metavar="FILE",
        dest="from_file",
        help="file with one ID a line, or the output of `sync removals --csv`; - is stdin",
    )


def read_selection(options: Mapping[str, Any]) -> Selection:
    """Return the rows that `sync approve` names. Raises `UsageError`."""
    ids, tenant = read_ids(options["removals"], options["from_file"]), options["tenant"]
    if (tenant is None) != bool(ids):
        raise UsageError(
            "Name the removals by their IDs, by --from, or by --tenant with --expect.",
            fix="`scaiwave sync removals` lists the IDs and digests.",
        )
    if options["expect"] and tenant is None:
        raise UsageError("--expect needs --tenant.", fix="Leave out --expect.")
    return Selection(ids, tenant, options["expect"])


def read_ids(removals: Sequence[str], from_file: str | None) -> list[str]:
    """Return the IDs of the arguments and the file. Raises `UsageError`."""
    if from_file is None:
        return list(removals)
    try:
        with sys.stdin if from_file == "-" else Path(from_file).open(encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UsageError(f"{from_file} can't be read: {reason}.", fix=_FIX) from None
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{from_file} can't be read: it is too large.", fix=_FIX)
    ids = list(_parse(text.splitlines()))
    if not ids:
        raise UsageError(f"{from_file} has no IDs.", fix=_FIX)
    return [*removals, *ids]


def _parse(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        first = line.partition(",")[0].strip().strip('"')
        if first and first.lower() != "id" and not first.startswith("#"):
            yield first
