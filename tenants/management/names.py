"""The records that a command is about: by names on the command line, or in a file."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from scaiwave.cli.arguments import PARTICIPANT, REASON, ROLE, A, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import FORMULA_SIGNS
from scaiwave.core.bulk import BulkResult
from scaiwave.core.errors import UsageError

MAX_FILE_BYTES = 64 * 1024**2
COLUMNS = ("id", "fqid", "email", "e-mail", "slug", "scaikey_id", "local_id", "name")
"""Headers of the columns that may name records, the most exact first."""
FILE_OF_NAMES = "file with one name a line, or CSV with a header; - is stdin"
_HOLDERS = {
    "PARTICIPANT": f"{PARTICIPANT}; repeatable",
    "GROUP": "group (name, ID or ScaiKey ID); repeatable",
    "FILE": FILE_OF_NAMES,
}
_FIX = (
    "Name a text file with one name a line, or a CSV file whose header has a column "
    f"{', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}; `-` is stdin."
)


def read_names(names: Sequence[str] | None, from_file: str | None) -> list[str]:
    """Return the names of the arguments and of the file. Raises `UsageError`."""
    found = list(names or ())
    if from_file is not None:
        found += _read_file(from_file)
    if not found:
        raise UsageError("No names were passed.", fix="Name them, or pass a file of names.")
    return found


def _read_file(path: str) -> list[str]:
    if path == "-" and sys.stdin is None:
        raise UsageError("- can't be read: stdin is closed.", fix=_FIX)
    try:
        # Without translation, a line may end as on any system. Stdin stays open for a question.
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file in UTF-8"
        raise UsageError(f"{path} can't be read: {reason}.", fix=_FIX) from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{path} can't be read: it is too large.", fix=_FIX)
    names = _parse(path, text)
    if not names:
        raise UsageError(f"{path} has no names.", fix=_FIX)
    return names


def _parse(path: str, text: str) -> list[str]:
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        cells = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UsageError(f"{path} can't be read: {error}.", fix=_FIX) from None
    rows = [row for row in cells if any(map(str.strip, row)) and not row[0].startswith("#")]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in COLUMNS if name in header), None)
    if column is None and any(len(row) > 1 for row in rows):
        raise UsageError(f"{path} has several columns, and none is known.", fix=_FIX)
    index = column or 0
    names = []
    for row in rows[column is not None :]:
        if not (name := row[index].strip() if len(row) > index else ""):
            raise UsageError(
                f"{path} has a row without {header[index]}: {', '.join(row)[:100]}.",
                fix=f"Fill in the column {header[index]}, or remove the row.",
            )
        # --csv puts an apostrophe before a name that a spreadsheet would take for a formula.
        is_quoted = name.startswith("'") and name[1:].lstrip().startswith(FORMULA_SIGNS)
        names.append(name[1:] if is_quoted else name)
    return names


class BulkCommand(OperatorCommand[A]):
    """A command about one record, or about many with a report by row and a total."""

    is_single = False

    def read_names(self, names: Sequence[str] | None, from_file: str | None) -> list[str]:
        """Return the names of the arguments and of the file. Raises `UsageError`."""
        found = read_names(names, from_file)
        self.is_single = len(found) == 1 and from_file is None
        return found

    def confirm_many(self, effect: str) -> None:
        """Ask, unless it is about a single record."""
        if not self.is_single:
            self.confirm(effect)

    def print_rows(self, result: BulkResult, kind: str) -> None:
        """Print the document of one record, or of all. Raises `RowsFailed`, or the error of one."""
        self.print_report(result.get_only() if self.is_single else result)
        if not self.is_single and any(row.result for row in result.rows):
            total = result.summarise(kind, f"{kind}s")
            self.output.print_line(f"{'Expected' if self.dry_run else 'In total'}: {total}.")
        result.require_complete()


class HoldersArguments(Arguments):
    role: str = argument(ROLE)
    tenant: str | None = option("tenant (slug, ID or ScaiKey ID; default: of the holders)")
    people: list[str] | None
    groups: list[str] | None
    from_file: str | None
    reason: str = option(REASON, default="")


def holders(kind: str, *flags: str) -> Any:
    """Declare one of the options that name participants or groups."""
    return option(_HOLDERS[kind], *flags, metavar=kind, group="holders", required=True)


class HoldersCommand(BulkCommand[HoldersArguments]):
    """A command that grants a role to participants or groups, or revokes it from them."""

    def run(self, given: HoldersArguments) -> None:
        result = self.call_service(
            given,
            holders=self.read_names(given.groups or given.people, given.from_file),
            is_group=given.groups is not None,
        )
        self.print_rows(result, "group" if given.groups else "participant")
