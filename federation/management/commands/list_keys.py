from __future__ import annotations

from collections.abc import Iterable, Sequence

from federation.keys.queries import list_keys
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.core.paging import Page


class Command(ListCommand):
    service = staticmethod(list_keys)
    words = "admin federation key list"
    summary = "List this server's keys and their days left"
    area, place = "federation", 30
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave admin federation key list",)
    plural = "keys"
    columns = (
        Column("key_id", "Key ID", part=Part.KEY),
        Column("state", "State", part=Part.STATUS),
        Column("created_at", "Created", ColumnType.TIME, part=Part.EXTRA),
        Column("signing_starts_at", "Signs from", ColumnType.TIME, part=Part.EXTRA),
        Column("verification_ends_at", "Verifies until", ColumnType.TIME, part=Part.EXTRA),
        Column("days_left", "Days left", ColumnType.COUNT),
    )
    keys = (
        *("key_id", "state", "public_key", "created_at", "signing_starts_at"),
        *("verification_ends_at", "revoked_at", "days_left", "rotation_due_at", "id"),
    )
    warnings: Sequence[str] = ()
    help = (
        "List this server's keys, newest first. `Days left` counts the days until the signing "
        "key's yearly rotation is due, or until an older key stops verifying."
    )

    def load_rows(self, given: Arguments) -> Iterable[Row]:
        report = self.call_service(given)
        keys, self.warnings = report.figures["keys"], report.warnings
        return Page(keys[: self.options.limit], count=lambda: len(keys))

    def print_notes(self) -> None:
        for warning in self.warnings:
            self.output.warn(warning)
