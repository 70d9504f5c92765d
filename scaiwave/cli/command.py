"""The base class of every command: common options, operator, output and prompts."""

from __future__ import annotations

import logging
import re
import sys
from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, Any, Generic, cast, get_args
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser, DjangoHelpFormatter
from django.utils import timezone

from scaiwave.auth.identify import identify_operator
from scaiwave.cli import entry
from scaiwave.cli.arguments import A, Arguments, Excludes, add_fields, build_arguments, check_rules
from scaiwave.cli.django_entry import (
    STRICT_PROGRAM,
    DjangoCommand,
    VerbParser,
    add_django_options,
)
from scaiwave.cli.overview import format_subcommands
from scaiwave.cli.parsers import format_usage, positive_int
from scaiwave.config.configuration import find_unknown_names
from scaiwave.console.columns import TENANT, Column, Row
from scaiwave.console.output import Output
from scaiwave.console.text import is_terminal, wrap_words
from scaiwave.core.calls import call_with
from scaiwave.core.change import ChangeResult
from scaiwave.core.errors import ConfirmationNeeded, RefusedError, UsageError
from scaiwave.core.operators import Operator
from scaiwave.core.paging import Page, one_more

LOG_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}

MAX_ACROSS = 100
"""Rows of a list of all tenants, unless --limit says otherwise."""
MAX_ATTEMPTS = 3
"""How often a prompt asks for an answer that it can't use."""


class ConfirmationDeclined(RefusedError):
    """The confirmation was declined."""

    code = "SW_DECLINED"
    fix = "Answer y to confirm, or pass --yes to skip the prompt."


class VerbFormatter(DjangoHelpFormatter):
    """Lists the command's own options first, and keeps names, line breaks and indented lines."""

    # Django moves its common options to the end; the suite's common options belong there too.
    show_last = DjangoHelpFormatter.show_last | {"--json", "--quiet", "--no-input", "--yes"}

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(
            line if len(line) <= width or line[0] == " " else fill(line, width, indent)
            for line in text.split("\n")
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap_words(" ".join(text.split()), width, indent=0).split("\n")

    def _format_action_invocation(self, action: Action) -> str:
        """Write the value once, as Python 3.13 does: the generated pages are the same for all."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


class OperatorCommand(DjangoCommand, Generic[A]):
    """A command: it parses its arguments, calls one function, and prints the result.

    `OperatorCommand[XArguments]` has the fields of that class as its arguments. `option_rules` are
    the rules between them.

    Its class declares all about it, and the table of commands is generated from that: its `words`
    after `scaiwave`; `alias`, other words; `area`, its heading of the help, and its `place` below
    it; `is_everyday`, whether the overview lists it; `service`, the function that gets the options
    by the names of its arguments; `permission`, the name of the `Permission` that the service
    requires first; `refuses`, the columns of the permissions page that have the permission and may
    not run it. Without a `summary` it is the first sentence of `help`, and without `examples` the
    words. `changes` adds --dry-run. Misspelt settings are warned of, unless the command
    `reports_settings` itself. `tables` are the keys of the JSON document that a terminal shows.

    `started_at` is when the console script was started; None if the command was run another way.
    Errors are raised; the console script turns them into exit codes.
    """

    requires_system_checks = []
    arguments: type[A] = Arguments  # type: ignore[assignment]
    option_rules: Sequence[Excludes] = ()
    words: str
    alias = ""
    summary = ""
    area: str
    place: int
    service: Callable[..., object]
    is_everyday = False
    profile = "cli"
    permission = ""
    refuses: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    changes = False
    reports_settings = False
    tables: Sequence[tuple[str, Sequence[Column]]] = ()
    started_at: datetime | None = None
    output: Output
    no_input: bool
    dry_run: bool

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__dict__.get("__orig_bases__", ()):
            for kind in get_args(base):
                if isinstance(kind, type):
                    cls.arguments = kind

    @cached_property
    def operator(self) -> Operator:
        return identify_operator(settings.CONFIG)

    @classmethod
    def get_entry(cls) -> tuple[str, ...]:
        """Return the words, the alias and the fields of a `Verb`, for the table of commands."""
        summary = cls.summary or re.split(r"\.\s|\.$", cls.help)[0]
        name = cls.__module__.rpartition(".")[2]
        everyday = "everyday" if cls.is_everyday else ""
        fields = (name, cls.area, everyday, cls.profile, cls.permission, summary)
        return (cls.words, cls.alias, *fields)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Replace Django's parser; Django's options are added for manage.py and `call_command`."""
        parser = VerbParser(
            prog=f"scaiwave {self.words}",
            description=self.help,
            epilog=format_epilog(self.words, self.examples),
            formatter_class=VerbFormatter,
            allow_abbrev=False,
            called_from_command_line=self._called_from_command_line,
            **kwargs,
        )
        self.add_arguments(parser)
        self._add_common_options(parser)
        strict = prog_name == STRICT_PROGRAM
        add_django_options(parser, self.get_version(), strict=strict)
        parser.usage = format_usage(parser)
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_fields(parser, self.arguments)

    def _add_common_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("common options")
        if self.changes:
            parser.add_argument(
                "--dry-run",
                action="store_true",
                help="show what would change",
            )
        group.add_argument("--json", action="store_true", help="print one JSON document")
        group.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            help="print no progress and no notices (results still go to stdout)",
        )
        group.add_argument(
            "--yes",
            "--no-input",
            action="store_true",
            dest="no_input",
            help="ask nothing; every confirmation counts as yes",
        )
        group.add_argument(
            "-v",
            "--verbosity",
            metavar="LEVEL",
            type=int,
            choices=sorted(LOG_LEVELS),
            default=1,
            help="verbosity on stderr: 0 errors only, 1 normal (default), 2 details, 3 debug",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Parse the arguments and run the command; errors are raised."""
        self._called_from_command_line = True
        options = vars(self.create_parser(argv[0], argv[1]).parse_args(argv[2:]))
        set_log_level(options)
        self.started_at = datetime.fromtimestamp(entry.STARTED_AT, UTC)
        self.execute(**options)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.output = Output(
            cast(IO[str], options.get("stdout") or sys.stdout),
            cast(IO[str], options.get("stderr") or sys.stderr),
            as_json=options["json"],
            quiet=options["quiet"] or options["verbosity"] == 0,
            verbose=options["verbosity"] >= 2,
            zone=settings.LOCAL_ZONE,
        )
        self.no_input = options["no_input"]
        self.dry_run = options.get("dry_run", False)
        for name, nearest in find_unknown_names(settings.CONFIG).items():
            if not (self.reports_settings or self.output.quiet):  # `doctor` reports it too.
                self.output.warn(f"{name} is not a setting. Did you mean {nearest}?")
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        given = build_arguments(self.arguments, options)
        check_rules(self.option_rules, given, {"--dry-run"} if self.dry_run else set())
        self.run(given)

    def run(self, given: A) -> None:
        self.print_report(self.call_service(given))

    def call_service(self, given: A, **values: Any) -> Any:
        """Call the service with these values, and with what it takes of the others."""
        return call_with(self.service, self.offer(given), **values)

    def offer(self, given: A) -> dict[str, object]:
        """Return what a service may take by the names of its arguments."""
        return {
            **vars(given),
            # Commands without a permission must work without a database.
            "operator": self.operator if self.permission else None,
            "now": timezone.now(),
            "confirm": self.confirm,
            "config": settings.CONFIG,
            "progress_factory": self.output.progress,
            "started_at": self.started_at,
            "dry_run": self.dry_run,
        }

    def print_result(self, document: Mapping[str, object]) -> None:
        """With --json, print the result, and of a change whether it was a dry run."""
        if self.output.as_json:
            is_change = self.changes or "changed" in document
            self.output.print_json({**document, **({"dry_run": self.dry_run} if is_change else {})})

    def print_report(self, report: ChangeResult) -> None:
        """Print the JSON document, or the tables and lines; then raise the error."""
        document = report.document()
        self.print_result(document)
        if not self.output.as_json:
            self.show(document)
        for line in report.lines:
            self.output.print_line(line)
        for warning in report.warnings:
            self.output.warn(warning)
        if report.error is not None:
            raise report.error

    def show(self, document: Mapping[str, Any]) -> None:
        """Print what a terminal shows above the lines: the records, and tables with rows."""
        for name, columns in self.tables:
            if isinstance(value := document[name], Mapping):
                self.output.print_record(columns, value)
            elif value:
                self.output.print_table(name, columns, value)

    def can_ask(self) -> bool:
        return (
            not (self.no_input or self.output.as_json)
            and is_terminal(sys.stdin)
            and is_terminal(self.output.stderr)
        )

    def ask(self, question: str, *, flag: str, default: str = "") -> str:
        """Return the answer to a question. Without a terminal it is the default.

        Raises ConfirmationNeeded, which names the option to pass, after several empty lines or
        without a terminal, if there is no default, and ConfirmationDeclined if the input ends.
        """
        if not self.can_ask() and default:
            return default
        for _ in range(MAX_ATTEMPTS if self.can_ask() else 0):
            self.output.prompt(f"{question} [{default}]:" if default else f"{question}:")
            line = sys.stdin.readline()
            if not line:
                raise ConfirmationDeclined(
                    "Cancelled: no answer was entered.",
                    fix=f"Run the command again and answer, or pass {flag}.",
                )
            if answer := line.strip() or default:
                return answer
        raise ConfirmationNeeded(f"{question.rstrip('?: ')} is required.", fix=f"Pass {flag}.")

    def confirm(self, effect: str) -> None:
        """Return if the operator agrees to the effect, which is a sentence.

        Raises ConfirmationDeclined if not, and ConfirmationNeeded without a terminal to ask at.
        """
        if self._may_skip(effect):
            return
        for _ in range(MAX_ATTEMPTS):
            self.output.prompt(f"{effect} Continue? [y/N]")
            line = sys.stdin.readline()
            if not line:
                self.output.log("")  # After Ctrl-D the cursor is still behind the question.
            answer = line.strip().lower()
            if answer in {"y", "yes"}:
                return
            if answer in {"", "n", "no"}:
                break
            self.output.warn("Answer y or n.")
        raise ConfirmationDeclined("Cancelled. No changes were made.")

    def _may_skip(self, effect: str) -> bool:
        """Whether no answer is needed. Raises ConfirmationNeeded without a terminal to ask at."""
        if not self.no_input and not self.can_ask():
            raise ConfirmationNeeded(
                f"Confirmation required: {effect} Continue?",
                fix="Run it in a terminal to confirm, or pass --yes to skip the prompt.",
            )
        return self.no_input

    def confirm_name(self, effect: str, name: str) -> None:
        """Like `confirm`, but the operator must type the name of the subject."""
        if self._may_skip(effect):
            return
        self.output.prompt(f"{effect} Type {name} to continue:")
        if sys.stdin.readline().strip() != name.strip():
            raise ConfirmationDeclined(
                "Cancelled. No changes were made.",
                fix="Type the name as it is shown, or pass --yes to skip the prompt.",
            )


@dataclass(frozen=True)
class ListOptions:
    """The options of a list, as far as it has them."""

    limit: int | None
    after: Any
    csv: bool
    jsonl: bool = False
    sort: str = ""
    reverse: bool = False


class ListCommand(OperatorCommand[A]):
    """A command that prints a list, row by row: it never keeps all rows in memory.

    `plural` is the key of the list in JSON. `keys` are the columns of --csv: every key of a row,
    with `partner.slug` for the key of a nested object. `default_limit` None means no limit.
    Without --tenant, a list that is `across` has a column of tenants and, if it is `paged`, at most
    MAX_ACROSS rows. `json_lines` adds --jsonl, and `sortable` adds --sort with these columns. If a
    list is `paged`, `load_rows` returns the page after --after. If not, it returns the rows from
    the first one on, one more than there is to print. `parse_id` is the type of --after. `options`
    are the options of all lists.
    """

    plural: str
    columns: Sequence[Column]
    keys: Sequence[str]
    default_limit: int | None = None
    across = False
    json_lines = False
    paged = False
    sortable: Iterable[str] = ()
    default_sort = ""
    parse_id: Callable[[str], object] = UUID
    options: ListOptions
    _page: Page
    _is_first = True

    def load_rows(self, given: A) -> Iterable[Row]:
        """Return the rows as JSON has them. A generator is closed if not all rows are read."""
        rows: Iterable[Row] = self.call_service(given)
        return rows

    def offer(self, given: A) -> dict[str, object]:
        return {**vars(self.options), **super().offer(given)}

    def is_of_all_tenants(self, given: A) -> bool:
        return self.across and not getattr(given, "tenant", None)

    def get_columns(self, given: A) -> Sequence[Column]:
        return (TENANT, *self.columns) if self.is_of_all_tenants(given) else self.columns

    def format_row(self, row: Row) -> Row:
        """Return the row for tables."""
        return row

    def format_csv_row(self, row: Row) -> Row:
        return row

    def load_rest(self) -> Mapping[str, object]:
        """Return further keys of the JSON document, once all rows are printed."""
        return {}

    def print_notes(self) -> None:
        """Print messages below the table."""

    def get_id(self, row: Row) -> object:
        """Return what --after takes for this row."""
        return row["id"]

    def get_keys(self) -> Sequence[str]:
        """Return the columns of --csv."""
        return self.keys

    def _add_common_options(self, parser: ArgumentParser) -> None:
        default = "all" if self.default_limit is None else self.default_limit
        if self.sortable:
            parser.add_argument(
                "--sort",
                default=self.default_sort,
                metavar="COLUMN",
                help=f"sort column: {', '.join(self.sortable)} (default {self.default_sort}); a "
                "leading minus reverses the order, as in --sort=-members",
            )
            parser.add_argument("--reverse", action="store_true", help="reverse the sort order")
        note = f", without --tenant {MAX_ACROSS}" if self.across and self.paged else ""
        note += "; with --jsonl all" if self.json_lines and (note or self.default_limit) else ""
        parser.add_argument(
            "--limit",
            metavar="N",
            type=positive_int,
            help=f"maximum number of results (default {default}{note})",
        )
        parser.add_argument(
            "--after", metavar="ID", type=self.parse_id, help="row after which the list continues"
        )
        parser.add_argument(
            "--csv", action="store_true", help="print comma-separated values, with all columns"
        )
        if self.json_lines:
            parser.add_argument(
                "--jsonl",
                action="store_true",
                help="print one JSON object per line, as rows are read",
            )
        super()._add_common_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        names = (each.name for each in fields(ListOptions))
        self.options = ListOptions(**{name: options[name] for name in names if name in options})
        formats = [f"--{name}" for name in ("json", "jsonl", "csv") if options.get(name)]
        if len(formats) > 1:
            raise UsageError(
                f"Can't combine {' and '.join(formats)}.", fix="Choose one output format."
            )
        super().handle(**options)

    def run(self, given: A) -> None:
        wanted = self.options
        rows = iter(self._load_page(given))
        with closing(rows):
            if wanted.jsonl:
                self.output.print_json_lines(rows)
            elif wanted.csv:
                self.output.print_csv(self.get_keys(), map(self.format_csv_row, rows))
            else:
                shown = rows if self.output.as_json else map(self.format_row, rows)
                self.output.print_table(
                    self.plural,
                    self.get_columns(given),
                    shown,
                    load_rest=self._load_rest,
                    sort=wanted.sort.removeprefix("-"),
                )
        if not wanted.jsonl:
            self.print_notes()
            if self._page.next_id is not None and not self.output.as_json:
                total = self._page.load_total(is_first=self._is_first)
                plural = self.plural.replace("_", " ")
                rest = "shown" if total is None else f"of {total:,} {plural}"
                notice = f"{self._page.number:,} {rest}. More: add --after {self._page.next_id}"
                self.output.log(notice)

    def _load_page(self, given: A) -> Page:
        wanted = self.options
        limit, is_first = wanted.limit, wanted.after is None
        if limit is None and not wanted.jsonl:
            is_limited = self.paged and self.is_of_all_tenants(given)
            limit = MAX_ACROSS if is_limited else self.default_limit
        is_paged = self.paged or wanted.jsonl
        asked = limit if is_paged else one_more(limit) if is_first else None
        self.options = replace(wanted, limit=asked)
        rows = self.load_rows(given)
        self._is_first = is_first
        self._page = rows if isinstance(rows, Page) else Page(rows)
        self._page.get_id = self.get_id
        if not is_paged:
            self._page.limit, self._page.skip_to = limit, wanted.after
        return self._page

    def _load_rest(self) -> Mapping[str, object]:
        total = self._page.load_total(is_first=self._is_first)
        return {**self.load_rest(), "next_id": self._page.next_id, "total": total}


def format_epilog(words: str, examples: Sequence[str]) -> str:
    """Return examples, and the commands that begin with the same words."""
    sections = [["Examples:", *(examples or (f"scaiwave {words}",))]]
    if others := format_subcommands(tuple(words.split())):
        sections.insert(0, ["Other commands:", *others])
    return "\n\n".join("\n  ".join(section) for section in sections)


def set_log_level(options: dict[str, Any]) -> None:
    """Set the level of the log on stderr as -v asks; with --json nothing is logged.

    Without -v the configured level stays.
    """
    if options["json"]:
        logging.disable()
    elif options["quiet"]:
        logging.root.setLevel(logging.ERROR)
    elif options["verbosity"] != 1 or settings.CONFIG.is_default("SCAIWAVE_LOG_LEVEL"):
        logging.root.setLevel(LOG_LEVELS[options["verbosity"]])
