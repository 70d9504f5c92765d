"""The table of people: who of another system is who here, reviewed by an operator."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rooms.bundle.format import normalize_id
from scaiwave.core.errors import UsageError

_FORMULA_CHARS = tuple("=+-@\t\r")
COLUMNS = ("source_id", "name", "email", "participant_id", "participant", "proposal")


class KnownPerson(NamedTuple):
    """The name to show, and the participant to mention, of a person of the source."""

    name: str
    participant_id: str


def read_people_map(path: Path) -> dict[str, KnownPerson]:
    """Return the people by their ID in the source. Raises `UsageError`."""
    fix = "Write one with the columns source_id and participant_id, as `room match-people` does."
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} can't be read as CSV in UTF-8.", fix=fix) from None
    rows = csv.DictReader(StringIO(text, newline=""))
    people: dict[str, KnownPerson] = {}
    try:
        if not {"source_id", "participant_id"} <= set(rows.fieldnames or ()):
            raise UsageError(f"{path} has no columns source_id and participant_id.", fix=fix)
        listed = list(rows)
    except csv.Error as error:
        raise UsageError(f"{path} can't be read as CSV: {error}.", fix=fix) from None
    for number, row in enumerate(listed, 2):
        text = _unquote(row["participant_id"]).strip()
        participant_id = normalize_id(text)
        if text and participant_id is None:
            raise UsageError(
                f"Line {number} of {path} has a participant_id that is not an ID: {text:.60}.",
                fix="Write an ID that `scaiwave admin list-participants` shows, or nothing.",
            )
        if source_id := _unquote(row["source_id"]):
            person = KnownPerson(_unquote(row.get("name")), participant_id or "")
            if people.setdefault(source_id, person).participant_id != person.participant_id:
                raise UsageError(
                    f"{path} has {source_id:.300} with two participants.", fix="Leave out one."
                )
    return people


def _unquote(cell: str | None) -> str:
    """Remove the apostrophe that keeps a spreadsheet from taking the text for a formula."""
    text = cell or ""
    return text[1:] if text.startswith("'") and text[1:2] in _FORMULA_CHARS else text
