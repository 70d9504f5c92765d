from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from rooms.imports.append_increment import append_increment, import_chain
from rooms.imports.apply_increment import AppendResult, LocalChanges
from rooms.imports.import_room import ImportRequest, ImportResult, import_room
from rooms.imports.source import get_max_bytes
from rooms.management.bundle_io import IMPORT_COLUMNS, ROOM_COLUMNS, build_import_document
from scaiwave.cli.arguments import (
    DESCRIPTOR,
    KEY,
    TENANT,
    Arguments,
    Excludes,
    Needs,
    argument,
    option,
)
from scaiwave.cli.command import OperatorCommand
from tenants.lookup.serializers import Row
from tenants.management.files import open_input


class ImportRoomArguments(Arguments):
    workspace: str = argument("workspace of the new room (slug or ID)")
    tenant: str = option(TENANT, required=True)
    participant: str = option(
        "creator of the new room: an owner or editor of the workspace (e-mail address, "
        "@name:server, local ID, ID or ScaiKey ID)",
        "--as",
        metavar="PARTICIPANT",
        required=True,
    )
    input: str | None = option("bundle file to read instead of stdin", metavar="FILE")
    once: bool = option("don't import a bundle twice into the workspace; return the existing room")
    cut_references: bool = option("remove references to events that are not in the bundle")
    key: str | None = option(KEY)
    descriptor: Path | None = option(DESCRIPTOR, metavar="FILE")
    require_signature: bool = option(
        "fail unless the bundle has a valid signature from a known key"
    )
    accept_unsigned: bool = option(
        "import an increment without a signature from a known key after signed bundles"
    )
    append: bool = option("import an increment into the room that its base was imported as")
    chain: Path | None = option(
        "import the base and all increments of a directory; continues where it ended", metavar="DIR"
    )
    to_sequence: int | None = option(
        "with --chain: number of the last increment to import (default: all)", metavar="N"
    )
    keep_local: bool = option("keep events that were edited here")
    take_theirs: bool = option("replace events that were edited here")
    public: bool = option("keep a public room public even if no known key has signed the bundle")


class Command(OperatorCommand[ImportRoomArguments]):
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
    option_rules = (
        Excludes(
            "--chain",
            "--append --once --input",
            "Leave them out: --chain imports the missing bundles.",
        ),
        Excludes("--append", "--once", "Leave out --once: no bundle is imported twice."),
        Needs("--to-sequence", "--chain", "Pass --chain DIR."),
        Needs("--keep-local --take-theirs", "--append --chain", "Leave them out."),
        Needs(
            "--accept-unsigned",
            "--append --chain",
            "Leave it out: an unsigned bundle is imported with a warning.",
        ),
        Excludes("--accept-unsigned", "--require-signature", "Leave out one of the two."),
        Excludes(
            "--chain",
            "--dry-run",
            "Check the files with `scaiwave room verify --chain`.",
            "Can't combine --chain with --dry-run: an increment is checked against the ones "
            "before it.",
        ),
    )

    def run(self, given: ImportRoomArguments) -> None:
        request = ImportRequest(
            tenant=given.tenant,
            workspace=given.workspace,
            participant=given.participant,
            max_bytes=get_max_bytes(),
            now=timezone.now(),
            cut_references=given.cut_references,
            dry_run=self.dry_run,
            key=given.key,
            descriptor=given.descriptor,
            require_signature=given.require_signature,
            accept_unsigned=given.accept_unsigned,
            public=given.public,
            progress_factory=self.output.progress,
        )
        local_changes = LocalChanges.from_flags(
            keep_local=given.keep_local, take_theirs=given.take_theirs
        )
        if given.chain:
            self._import_chain(request, given.chain, given.to_sequence, local_changes)
            return
        with open_input(
            given.input,
            "a bundle",
            terminal_fix="Append `< bundle.zip` to the command, or pass --input bundle.zip.",
            unreadable_fix="Pass a readable bundle with --input.",
        ) as file:
            if given.append:
                appended = append_increment(
                    operator=self.operator, request=request, file=file, local_changes=local_changes
                )
                self.print_report(appended.report())
                return
            imported = import_room(
                operator=self.operator, request=request, file=file, once=given.once
            )
        for warning in imported.warnings:
            self.output.warn(warning)
        self.print_result(build_import_document(imported))
        self.output.print_line(imported.sentence)
        if not self.output.as_json:
            is_new = imported.imported or imported.dry_run
            self.output.print_record(IMPORT_COLUMNS if is_new else ROOM_COLUMNS, imported.row())

    def _import_chain(
        self,
        request: ImportRequest,
        chain: Path,
        to_sequence: int | None,
        local_changes: LocalChanges,
    ) -> None:
        documents: list[Row] = []

        def print_imported(result: ImportResult | AppendResult) -> None:
            documents.append(
                build_import_document(result)
                if isinstance(result, ImportResult)
                else result.document()
            )
            for warning in result.warnings:
                self.output.warn(warning)
            self.output.print_line(result.sentence)

        import_chain(
            operator=self.operator,
            request=request,
            chain=chain,
            to_sequence=to_sequence,
            local_changes=local_changes,
            on_result=print_imported,
        )
        changed = any(document["changed"] for document in documents)
        if self.output.as_json:
            self.output.print_json({"changed": changed, "links": documents})
