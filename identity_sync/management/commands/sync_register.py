from __future__ import annotations

import math
from argparse import ArgumentTypeError

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
from scaiwave.cli.arguments import Arguments, Excludes, Needs, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType

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


def parse_seconds(text: str) -> float:
    """Parse a finite number of seconds, zero or more. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


class SyncRegisterArguments(Arguments):
    url: str | None = option("URL of ScaiKey (default: SCAIWAVE_SCAIKEY_URL)")
    name: str | None = option("name of this server in ScaiKey")
    scope: str | None = option(
        "what this server may read in ScaiKey", type=str.upper, choices=SCOPES
    )
    partner_slug: str | None = option("partner to register for (with --scope PARTNER)")
    tenant_slug: str | None = option("tenant to register for (with --scope TENANT)")
    contact_email: str | None = option("e-mail address for questions from ScaiKey's administrators")
    allow_http: bool = option("registration without encryption")
    wait: bool = option("wait until the request is approved or rejected")
    timeout: float | None = option(
        "maximum number of seconds to --wait (default 3600)", type=parse_seconds
    )
    replace: bool = option(
        "new registration; the configured credentials stay in use until it works"
    )
    restart: bool = option("new request, after the pending one is cancelled", group="request")
    cancel: bool = option("cancellation of the pending request", group="request")


class Command(OperatorCommand[SyncRegisterArguments]):
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
    option_rules = (
        Needs("--timeout", "--wait", "Add --wait, or leave --timeout out."),
        Excludes(
            "--cancel",
            "--replace",
            "Choose one of them.",
            "Can't combine --cancel and --replace.",
        ),
    )

    def run(self, given: SyncRegisterArguments) -> None:
        if given.cancel:
            self._cancel(dry_run=self.dry_run)
            return
        wait_seconds = WAIT_SECONDS if given.timeout is None else given.timeout
        context = RegistrationContext(
            operator=self.operator,
            config=settings.CONFIG,
            console=Console(prompt=self.ask, log=self.output.log, interactive=self.can_ask()),
            clock=timezone.now,
            wait_seconds=wait_seconds if given.wait else None,
        )
        result = register(
            context,
            flags=RegistrationFlags(**{name: getattr(given, name) for name in FLAGS}),
            replace_credentials=given.replace,
            restart=given.restart,
            dry_run=self.dry_run,
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
