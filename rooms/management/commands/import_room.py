from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from rooms.imports.append_link import append_link, import_chain
from rooms.imports.apply_link import AppendResult, LocalChanges
from rooms.imports.import_room import ImportResult, import_room
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import (
    build_import_document,
    check_import_usage,
    open_input,
    print_import_result,
    print_report,
)
from rooms.management.tenant_moves import add_signer_arguments
from scaiwave.cli.command import OperatorCommand

PASSED_OPTIONS = (
    *("tenant", "participant", "cut_references", "dry_run", "key", "require_signature", "public"),
    *("accept_unsigned", "descriptor"),
)


class Command(OperatorCommand):
    words = "room import"
    area, place = "rooms", 80
    is_everyday = True
    permission = "IMPORT_ROOMS"
    examples = (
        "scaiwave room import sales --tenant acme --as anna@acme.example < bundle.zip",
        "scaiwave room import sales --tenant acme --as @anna --input bundle.zip --dry-run",
        "ssh old.example.com scaiwave room export launch --tenant acme | scaiwave room import "
        "sales --tenant acme --as @anna --once",
        "scaiwave room import sales --tenant acme --as @anna --append < changes.zip",
        "scaiwave room import sales --tenant acme --as @anna --chain /srv/bundles/<room-id>",
    )
    help = (
        "Import a bundle from stdin as a new room. The whole bundle is validated before anything "
        "is written. Importing it again creates another room, unless --once is given."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("workspace", help="workspace of the new room (slug or ID)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add(
            "--as",
            dest="participant",
            metavar="PARTICIPANT",
            required=True,
            help="creator of the new room: an owner or editor of the workspace (e-mail "
            "address, @name:server, local ID, ID or ScaiKey ID)",
        )
        add("--input", metavar="FILE", help="bundle file to read instead of stdin")
        add(
            "--once",
            action="store_true",
            help="don't import a bundle twice into the workspace; return the existing room",
        )
        add(
            "--cut-references",
            action="store_true",
            help="remove references to events that are not in the bundle",
        )
        add_signer_arguments(parser)
        add(
            "--require-signature",
            action="store_true",
            help="fail unless the bundle has a valid signature from a known key",
        )
        add(
            "--accept-unsigned",
            action="store_true",
            help="import an increment without a signature from a known key after signed bundles",
        )
        add(
            "--append",
            action="store_true",
            help="import an increment into the room that its base was imported as",
        )
        add(
            "--chain",
            type=Path,
            metavar="DIR",
            help="import the base and all increments of a directory; continues where it ended",
        )
        add(
            "--to-sequence",
            type=int,
            metavar="N",
            help="with --chain: number of the last increment to import (default: all)",
        )
        add(
            "--keep-local",
            action="store_true",
            help="keep events that were edited here",
        )
        add(
            "--take-theirs",
            action="store_true",
            help="replace events that were edited here",
        )
        add(
            "--public",
            action="store_true",
            help="keep a public room public even if no known key has signed the bundle",
        )

    def handle(self, workspace: str, input: str | None, **options: Any) -> None:  # noqa: A002
        check_import_usage(input, options)
        arguments: dict[str, Any] = {
            "operator": self.operator,
            "workspace": workspace,
            "max_bytes": get_max_bytes(),
            "now": timezone.now(),
            "progress_factory": self.output.progress,
            **{name: options[name] for name in PASSED_OPTIONS},
        }
        local_changes = LocalChanges.from_flags(
            keep_local=options["keep_local"], take_theirs=options["take_theirs"]
        )
        if options["chain"]:
            documents: list[dict[str, Any]] = []

            def print_link(result: ImportResult | AppendResult) -> None:
                documents.append(
                    build_import_document(result)
                    if isinstance(result, ImportResult)
                    else result.document()
                )
                for warning in result.warnings:
                    self.output.warn(warning)
                self.output.print_line(result.sentence)

            import_chain(
                **arguments,
                chain=options["chain"],
                to_sequence=options["to_sequence"],
                local_changes=local_changes,
                on_result=print_link,
            )
            changed = any(document["changed"] for document in documents)
            print_report(self.output, {"changed": changed, "links": documents})
            return
        with open_input(
            input,
            terminal_fix="Append `< bundle.zip` to the command, or pass --input bundle.zip.",
            unreadable_fix="Pass a readable bundle with --input.",
        ) as file:
            if options["append"]:
                appended = append_link(**arguments, file=file, local_changes=local_changes)
                lines, warnings = appended.sentences(), appended.warnings
                print_report(self.output, appended.document(), lines=lines, warnings=warnings)
                return
            imported = import_room(**arguments, file=file, once=options["once"])
        print_import_result(self.output, imported)
