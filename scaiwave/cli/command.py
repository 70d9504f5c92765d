"""The base of every verb: options, operator, output, and questions."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter

from scaiwave.auth import operators
from scaiwave.cli.entry import BEGAN
from scaiwave.cli.parsers import UsageErrorMixin
from scaiwave.cli.verbs import EXIT_CODES, VERBS, Verb, VerbPath, subcommands
from scaiwave.console.output import Output, is_terminal
from scaiwave.errors import ConfirmationNeeded, RefusedError

LOG_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}


class ConfirmationDeclined(RefusedError):
    code = "SW_DECLINED"
    fix = "Nothing was changed. Answer yes, or pass --no-input to agree beforehand."


class VerbFormatter(DjangoHelpFormatter):
    """The verb's own options first; a text that has lines of its own keeps them."""

    # What Django moves to the end; --json and its like belong there too.
    show_last = DjangoHelpFormatter.show_last | {"--json", "--quiet", "--no-input"}

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class VerbParser(UsageErrorMixin, CommandParser):
    """For the options of a verb."""


class OperatorCommand(BaseCommand):
    """A verb: reads its arguments, makes one call, prints the answer.

    `changes` adds --dry-run; `began` is when the console script was started, None if something
    else runs the verb. Errors are raised; the console script turns them into exit codes.
    """

    requires_system_checks = []
    changes = False
    began: datetime | None = None
    output: Output
    no_input: bool

    @cached_property
    def operator(self) -> operators.Operator:
        return operators.identify_operator(settings.CONFIG)

    @classmethod
    def verb(cls) -> tuple[VerbPath, Verb]:
        """The words an operator types for this command, and what the table says of them."""
        name = cls.__module__.rpartition(".")[2]
        return next((words, verb) for words, verb in VERBS.items() if verb.command == name)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's own parser would also take --settings, --pythonpath and others."""
        words, verb = self.verb()
        parser = VerbParser(
            prog=" ".join(("scaiwave", *words)),
            description=self.help or verb.help,
            epilog=epilog(words, verb),
            formatter_class=VerbFormatter,
            allow_abbrev=False,
            **kwargs,
        )
        # Django asks for these of every command.
        parser.set_defaults(
            settings=None, pythonpath=None, traceback=False, no_color=True, force_color=False
        )
        self.add_arguments(parser)
        self._add_common_options(parser)
        return parser

    def _add_common_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("options of every verb")
        if self.changes:
            parser.add_argument(
                "--dry-run", action="store_true", help="say what would change, and change nothing"
            )
        group.add_argument("--json", action="store_true", help="print one JSON document")
        group.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
        group.add_argument(
            "--no-input", action="store_true", help="never ask; agree to what would be asked"
        )
        group.add_argument(
            "-v",
            "--verbosity",
            metavar="LEVEL",
            type=int,
            choices=sorted(LOG_LEVELS),
            default=1,
            help="how much to say on stderr: 0 errors, 1 what matters, 2 progress, 3 everything",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Parse and run. Raises whatever goes wrong."""
        options = vars(self.create_parser(argv[0], argv[1]).parse_args(argv[2:]))
        set_log_level(options)
        self.began = datetime.fromtimestamp(BEGAN, UTC)
        self.execute(**options)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.output = Output(
            cast(IO[str], options.get("stdout") or sys.stdout),
            cast(IO[str], options.get("stderr") or sys.stderr),
            as_json=options["json"],
            quiet=options["quiet"] or options["verbosity"] == 0,
            chatty=options["verbosity"] >= 2,
            zone=settings.LOCAL_ZONE,
        )
        self.no_input = options["no_input"]
        return super().execute(*args, **options)

    def can_ask(self) -> bool:
        return (
            not (self.no_input or self.output.as_json)
            and is_terminal(sys.stdin)
            and is_terminal(self.output.stderr)
        )

    def ask(self, question: str, *, flag: str, default: str = "") -> str:
        """Ask at a terminal, until there is an answer; a script gets the default.

        Raises `ConfirmationNeeded`, naming the flag, where nobody can be asked and there is no
        default, and `ConfirmationDeclined` when the terminal is closed instead.
        """
        if not self.can_ask():
            if default:
                return default
            raise ConfirmationNeeded(f"{question.rstrip('?: ')} is not given.", fix=f"Pass {flag}.")
        while True:
            self.output.prompt(f"{question} [{default}]: " if default else f"{question}: ")
            line = sys.stdin.readline()
            if not line:
                raise ConfirmationDeclined(
                    "There was no answer.", fix=f"Nothing was changed. Pass {flag}."
                )
            if answer := line.strip() or default:
                return answer

    def confirm(self, question: str) -> None:
        """Go on only when the operator agrees. Raises `ConfirmationDeclined` or
        `ConfirmationNeeded`.
        """
        if self.no_input:
            return
        if not self.can_ask():
            raise ConfirmationNeeded(
                f"This needs a yes: {question}", fix="Pass --no-input to agree beforehand."
            )
        answer = self.ask(f"{question} (yes/no)", flag="--no-input")
        if answer.lower() not in {"y", "yes"}:
            raise ConfirmationDeclined("It was not agreed to.")


def epilog(words: VerbPath, verb: Verb) -> str:
    """Examples, exit codes, and the verbs that begin with the same words."""
    typed = " ".join(("scaiwave", *words))
    sections = [
        ["Examples:", *(verb.examples or (typed,))],
        ["Exit codes:", *(f"{code}  {meaning}" for code, meaning in EXIT_CODES)],
    ]
    if others := subcommands(words):
        sections.append(["See also:", *(" ".join(("scaiwave", *other)) for other in others)])
    return "\n\n".join("\n  ".join(section) for section in sections)


def set_log_level(options: dict[str, Any]) -> None:
    """Logs go to stderr: as talkative as -v says, and not at all where a program reads JSON.

    A level that somebody has configured counts for more than the absence of -v.
    """
    if options["json"]:
        logging.disable()
    elif options["quiet"]:
        logging.root.setLevel(logging.ERROR)
    elif options["verbosity"] != 1 or settings.CONFIG.is_default("SCAIWAVE_LOG_LEVEL"):
        logging.root.setLevel(LOG_LEVELS[options["verbosity"]])
