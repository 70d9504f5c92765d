"""The arguments that name pending removals, of `sync approve` and `sync keep`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from identity_sync.removals.decide import Selection
from scaiwave.core.errors import UsageError
from tenants.management.names import add_file, read_names


def add_removals(parser: ArgumentParser) -> None:
    parser.add_argument(
        "removals", metavar="ID", nargs="*", help="IDs that `scaiwave sync removals` lists"
    )
    add_file(parser, "--from")
    parser.add_argument(
        "--override", action="store_true", help="override decisions of other operators"
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
    return Selection(ids, tenant, options["expect"], options["from_file"] is not None)


def read_ids(removals: Sequence[str], from_file: str | None) -> list[str]:
    """Return the IDs of the arguments and the file. Raises `UsageError`."""
    return read_names(removals, from_file) if removals or from_file is not None else []
