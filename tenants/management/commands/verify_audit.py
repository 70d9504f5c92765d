from __future__ import annotations

from argparse import ArgumentTypeError

from django.utils import timezone

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from tenants.audit.queries.checks import KeptSeal
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.queries.verify_audit_export import verify_audit_export
from tenants.management.files import open_input

COLUMNS = (
    *columns_of("seals", "entries", kind=ColumnType.COUNT),
    Column("first_day", "First day (UTC)"),
    Column("last_day", "Last day (UTC)"),
    Column("pruned_through", "Deleted by retention through"),
    Column("unsealed_entries", "Entries not sealed yet", ColumnType.COUNT),
    Column("newest_seal", "Newest seal"),
    Column("key_id", "Key of the newest seal"),
)


def _kept_seal(text: str) -> KeptSeal:
    try:
        return KeptSeal.parse(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not a seal: its number, a colon and 64 hexadecimal digits"
        ) from None


class VerifyAuditArguments(Arguments):
    file: str | None = argument(
        "export to verify, or - for stdin (default: the audit log of this server)",
        nargs="?",
        metavar="FILE",
    )
    key: list[str] = option(
        "public key to trust (ed25519:…; can be repeated; default: this server's own)"
    )
    seal: list[KeptSeal] = option(
        "seal that must be in the log, as you noted it from an earlier run (can be repeated)",
        type=_kept_seal,
        metavar="NUMBER:SHA256",
    )


class Command(OperatorCommand[VerifyAuditArguments]):
    words = "admin audit verify"
    summary = "Verify the audit log, or an export of it"
    area, place = "server", 100
    permission = "VIEW_PLATFORM"
    examples = (
        "scaiwave admin audit verify",
        "scaiwave admin audit verify november.jsonl",
        "scaiwave admin audit verify november.jsonl --key "
        "ed25519:Jfn1MzY3bkVNUwQvoZ2RDJRwEOoVCHMv8E4vtMe6vsE=",
    )
    help = (
        "Compare the audit log with its seals, and name every entry that was changed, deleted or "
        "inserted since its day was sealed. With a file, verify an export, without the entries in "
        "the database; with --key, without a database. Exits with 1 if anything is wrong."
    )

    def run(self, given: VerifyAuditArguments) -> None:
        now = timezone.now()
        if given.file is None:
            result = verify_audit(
                operator=self.operator,
                now=now,
                keys=given.key,
                kept=given.seal,
                progress_factory=self.output.progress,
            )
        else:
            with open_input(
                None if given.file == "-" else given.file,
                "an export",
                terminal_fix="Name the file: `scaiwave admin audit verify audit.jsonl`.",
                unreadable_fix="Name a readable export.",
            ) as source:
                # With a key given, no database is needed.
                operator = None if given.key else self.operator
                result = verify_audit_export(
                    operator=operator, file=source, now=now, keys=given.key, kept=given.seal
                )
        if self.output.as_json:
            self.output.print_json(result.document())
        else:
            self.output.print_record(COLUMNS, result.facts())
            for problem in result.problems.listed:
                self.output.print_line(f"Problem: {problem.message}")
            if (rest := result.problems.count - len(result.problems.listed)) > 0:
                self.output.print_line(f"Further problems: {rest:,}.")
            self.output.print_line(result.sentence)
        if result.error is not None:
            raise result.error
