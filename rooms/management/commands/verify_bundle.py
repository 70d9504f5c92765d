from __future__ import annotations

from pathlib import Path
from typing import Any

from rooms.bundle.chain_files import find_chains, list_others
from rooms.imports.source import get_max_bytes
from rooms.imports.verify_bundle import verify_bundle, verify_chain, warn_of_others
from rooms.management.bundle_io import VERIFICATION_COLUMNS
from scaiwave.cli.arguments import DESCRIPTOR, KEY, Arguments, Excludes, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from tenants.management.files import open_input

CHAIN_COLUMNS = (
    Column("sequence", "Link", ColumnType.COUNT, part=Part.NAME),
    Column("exported_at", "Exported"),
    *columns_of("events", "media", kind=ColumnType.COUNT),
    Column("digest", "Digest"),
    Column("signature", "Signature", part=Part.STATUS),
    Column("file", "File"),
)


class VerifyBundleArguments(Arguments):
    bundle: str = argument("bundle file, or - for stdin (default -)", nargs="?", default="-")
    chain: list[Path] | None = option(
        "a bundle and its increments, or a directory with them: verify each, and the room after "
        "each",
        nargs="+",
        metavar="PATH",
    )
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")
    require_signature: bool = option(
        "fail unless the bundle has a valid signature from a known key"
    )


class Command(OperatorCommand[VerifyBundleArguments]):
    words = "room verify"
    summary = "Verify a bundle offline"
    area, place = "rooms", 110
    permission = "VIEW"
    examples = (
        "scaiwave room verify lobby.zip",
        "scaiwave room verify lobby.zip --descriptor chat.example.com.json --require-signature",
        "scaiwave room export lobby --tenant acme | scaiwave room verify - --json",
        "scaiwave room verify --chain /srv/bundles/<room-id>",
    )
    help = (
        "Verify a bundle offline: all hashes, checksums, counts, events and the signature. Lists "
        "each invalid, missing or unexpected entry. The exit code is 0 only for a valid bundle; an "
        "unsigned bundle, or one signed with an unknown key, is valid unless --require-signature "
        "is given."
    )
    option_rules = (
        Excludes(
            "--chain",
            "BUNDLE",
            "Name it after --chain if it is of the chain, or else verify it on its own.",
            "Can't combine --chain with a bundle: {bundle}.",
        ),
    )

    def run(self, given: VerifyBundleArguments) -> None:
        checks: dict[str, Any] = {
            # If keys are given, the database and the network are not needed.
            "operator": None if given.key or given.descriptor else self.operator,
            "max_bytes": get_max_bytes(),
            "key": given.key,
            "descriptor": given.descriptor,
            "require_signature": given.require_signature,
            "progress_factory": self.output.progress,
        }
        if paths := given.chain:
            chains = [verify_chain(files=files, **checks) for files in find_chains(paths)]
            others = list_others(paths)
            document = {"chains": [chain.document() for chain in chains], "not_verified": others}
            self.print_result(document)
            for warning in warn_of_others(others):
                self.output.warn(warning)
            for chain in chains:
                if not self.output.as_json:
                    self.output.print_table("links", CHAIN_COLUMNS, chain.bundles)
                self.output.print_line(chain.sentence)
            # All chains are printed before the first error ends the command.
            if error := next(filter(None, (chain.error for chain in chains)), None):
                raise error
            return
        with open_input(
            None if given.bundle == "-" else given.bundle,
            "a bundle",
            terminal_fix="Name the file: `scaiwave room verify bundle.zip`.",
            unreadable_fix="Name a readable bundle.",
        ) as file:
            verified = verify_bundle(file=file, **checks)
        if not self.output.as_json:
            self.output.print_line(verified.sentence)
            for problem in verified.problems:
                self.output.print_line(f"Problem: {problem.message}")
            self.output.print_record(VERIFICATION_COLUMNS, verified.facts())
        self.print_result(verified.document())
        if verified.error is not None:
            raise verified.error
