from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.db import ProgrammingError

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.core.errors import NotFoundError
from tests.scaiwave.example_app.waiting import wait

COLUMNS = (
    Column("slug", "Slug"),
    Column("name", "Name"),
    Column("bytes", "Storage", ColumnType.BYTES),
)
ROWS = (
    {"slug": "acme", "name": "Acme [bold]Corp[/bold]", "bytes": 2048},
    {"slug": "日本", "name": "evil \x1b[2J\u202egnp.exe\x9b31m", "bytes": None},
)


class Nothing(NotFoundError):
    code = "SW_PROBE_NOT_FOUND"
    fix = "Look elsewhere."


class Command(OperatorCommand):
    words = "admin list-tenants"
    examples = ("scaiwave admin list-tenants", "scaiwave admin list-tenants --act rows")
    help = "A command that changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--act", default="rows", choices=sorted(self.acts()))
        parser.add_argument("--question", default="Which one")

    @classmethod
    def acts(cls) -> set[str]:
        return {name.removeprefix("act_") for name in dir(cls) if name.startswith("act_")}

    def handle(self, act: str, **options: Any) -> None:
        getattr(self, f"act_{act}")(options)

    def act_rows(self, options: dict[str, Any]) -> None:
        self.output.log("talking")
        self.output.print_table("tenants", COLUMNS, ROWS)

    def act_many(self, options: dict[str, Any]) -> None:
        for number in range(100_000):
            self.output.print_line(f"line {number}")

    def act_talk(self, options: dict[str, Any]) -> None:
        for number in range(20_000):
            self.output.log(f"talk {number}")
        self.output.print_line("the answer")

    def act_missing(self, options: dict[str, Any]) -> None:
        self.output.print_line("begun")
        raise Nothing("There is no tenant \x1b[31mred.")

    def act_levels(self, options: dict[str, Any]) -> None:
        logger = logging.getLogger("probe")
        for level in ("debug", "info", "warning", "error"):
            getattr(logger, level)(f"a line at {level}")
        self.output.warn("a warning")

    def act_ask(self, options: dict[str, Any]) -> None:
        self.output.print_line(self.ask(options["question"], flag="--which"))

    def act_confirm(self, options: dict[str, Any]) -> None:
        self.confirm("This removes everything.")
        self.output.print_line("agreed")

    def act_progress(self, options: dict[str, Any]) -> None:
        with self.output.progress("Fetching [bold]people[/bold]") as advance:
            for done in range(1, 4):
                advance(done, 3)
                time.sleep(0.15)
        self.output.print_line("fetched")

    def act_styled(self, options: dict[str, Any]) -> None:
        self.output.print_styled(("deactivate  ", "red"), ("evil \x1b[2J [bold]", ""))

    def act_hide(self, options: dict[str, Any]) -> None:
        """What becomes of a signal while a commit is sent."""
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            wait(60)
        finally:
            raise ProgrammingError("can't change 'autocommit' now")

    def act_socket(self, options: dict[str, Any]) -> None:
        """A broken pipe that is not that of the answer."""
        ours, theirs = socket.socketpair()
        with ours:
            theirs.close()
            ours.sendall(b"hello?")

    def act_defect(self, options: dict[str, Any]) -> None:
        raise ZeroDivisionError("a defect")

    def act_modules(self, options: dict[str, Any]) -> None:
        self.output.print_table("tenants", COLUMNS, ROWS)
        sys.stderr.write(" ".join(sorted(sys.modules)))

    def act_wait(self, options: dict[str, Any]) -> None:
        self.output.log(f"waiting {os.getpid()}")
        wait(60)
