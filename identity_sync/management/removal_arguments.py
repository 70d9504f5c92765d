"""The arguments that name pending removals, of `sync approve` and `sync keep`."""

from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option
from tenants.management.names import FILE_OF_NAMES, read_names


class RemovalsArguments(Arguments):
    removals: list[str] = argument(
        "IDs that `scaiwave sync removals` lists", metavar="ID", nargs="*"
    )
    from_file: str | None = option(FILE_OF_NAMES, "--from", metavar="FILE")
    override: bool = option("override decisions of other operators")

    def read_ids(self) -> list[str]:
        """Return the IDs of the arguments and the file. Raises `UsageError`."""
        has_names = self.removals or self.from_file is not None
        return read_names(self.removals, self.from_file) if has_names else []
