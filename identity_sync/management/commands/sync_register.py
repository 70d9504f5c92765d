from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.utils import timezone

from identity_sync.registration.answers import (
    SCOPES,
    Console,
    RegistrationContext,
    RegistrationFlags,
)
from identity_sync.registration.cancel import cancel_registration
from identity_sync.registration.register import RegistrationResult, register
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.core.errors import UsageError

FLAGS = ("url", "name", "scope", "partner_slug", "tenant_slug", "contact_email", "allow_http")
TITLES = {
    "outcome": "Outcome",
    "state": "State",
    "url": "ScaiKey",
    "request_id": "Request",
    "name": "Name",
    "scope": "Scope",
    "scope_slug": "Slug",
    "contact_email": "Contact",
    "redirect_uri": "Redirect URI",
    "requested_at": "Requested",
    "client_id": "Client ID",
    "client_secret": "Client secret",
    "application_id": "Application ID",
    "replaced_client_id": "Replaced client ID",
    "token_scope": "Token scope",
    "env_file": "Configuration file",
    "receipt_file": "Receipt",
}
TIMES = {"requested_at": ColumnType.TIME}
WAIT_SECONDS = 3600.0


class Command(OperatorCommand):
    words = "sync register"
    alias = "register"
    summary = "Register this server with ScaiKey"
    area, place = "sync", 20
    is_everyday = True
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave sync register",
        "scaiwave sync register --url https://scaikey.example.com --scope GLOBAL --name chat "
        "--contact-email ops@example.com --wait",
    )
    help = "Register this server with ScaiKey, or continue a pending registration."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--url", help="URL of ScaiKey (default: SCAIWAVE_SCAIKEY_URL)")
        add("--name", help="name of this server in ScaiKey")
        add("--scope", type=str.upper, choices=SCOPES, help="what this server may read in ScaiKey")
        add("--partner-slug", help="partner to register for (with --scope PARTNER)")
        add("--tenant-slug", help="tenant to register for (with --scope TENANT)")
        add("--contact-email", help="e-mail address for questions from ScaiKey's administrators")
        add("--allow-http", action="store_true", help="registration without encryption")
        add("--wait", action="store_true", help="wait until the request is approved or rejected")
        add(
            "--timeout",
            type=parse_seconds,
            help="maximum number of seconds to --wait (default 3600)",
        )
        add(
            "--replace",
            action="store_true",
            help="new registration; the configured credentials stay in use until it works",
        )
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "--restart",
            action="store_true",
            help="new request, after the pending one is cancelled",
        )
        group.add_argument(
            "--cancel", action="store_true", help="cancellation of the pending request"
        )

    def handle(self, **options: Any) -> None:
        check_combinations(options)
        if options["cancel"]:
            self._cancel(dry_run=options["dry_run"])
            return
        context = RegistrationContext(
            operator=self.operator,
            config=settings.CONFIG,
            console=Console(prompt=self.ask, log=self.output.log, interactive=self.can_ask()),
            clock=timezone.now,
            wait_seconds=get_wait_seconds(options),
        )
        result = register(
            context,
            flags=RegistrationFlags(**{name: options[name] for name in FLAGS}),
            replace_credentials=options["replace"],
            restart=options["restart"],
            dry_run=options["dry_run"],
        )
        self._print_result(result)

    def _cancel(self, *, dry_run: bool) -> None:
        receipt = cancel_registration(
            operator=self.operator, config=settings.CONFIG, now=timezone.now(), dry_run=dry_run
        )
        outcome = "planned" if dry_run else "cancelled"
        row: dict[str, str | None] = {
            "outcome": outcome,
            "request_id": receipt.request_id,
            "url": receipt.url,
        }
        if self.output.as_json:
            del row["outcome"]
            self.print_result({"registration": row, "outcome": outcome, "changed": True})
            return
        self.output.print_record([Column(key, TITLES[key]) for key in row], row)

    def _print_result(self, result: RegistrationResult) -> None:
        self.print_result(result.document())
        for name in result.overridden:
            self.output.warn(
                f"The environment sets {name} to a different value, which overrides the file. "
                "Unset it."
            )
        if not self.output.as_json:
            row = {"outcome": result.outcome, **result.facts()}
            columns = [
                Column(key, title, TIMES.get(key, ColumnType.TEXT))
                for key, title in TITLES.items()
                if row[key]
            ]
            self.output.print_record(columns, row)
        self.output.log(f"Next: {result.next_step}")


def check_combinations(options: dict[str, Any]) -> None:
    """Raise UsageError for options that have no effect together."""
    if options["timeout"] is not None and not options["wait"]:
        raise UsageError("--timeout needs --wait.", fix="Add --wait, or leave --timeout out.")
    if options["cancel"] and options["replace"]:
        raise UsageError("Can't combine --cancel and --replace.", fix="Choose one of them.")


def get_wait_seconds(options: dict[str, Any]) -> float | None:
    """Return how long to wait for a decision; None to ask once."""
    if not options["wait"]:
        return None
    return WAIT_SECONDS if options["timeout"] is None else float(options["timeout"])


def parse_seconds(text: str) -> float:
    """Parse a finite number of seconds, zero or more. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
