from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.utils import timezone

from identity_sync.services.cancel_registration import cancel_registration
from identity_sync.services.register import Registered, Registering, register
from identity_sync.services.registration_answers import SCOPES, Given, Talk
from scaiwave.command import OperatorCommand
from scaiwave.output import Column

ANSWERS = ("url", "name", "scope", "partner_slug", "tenant_slug", "contact_email", "allow_http")
COLUMNS = {
    "outcome": "Outcome",
    "state": "State",
    "url": "ScaiKey",
    "request_id": "Request",
    "name": "Name",
    "scope": "Scope",
    "scope_slug": "Slug",
    "contact_email": "Contact",
    "client_id": "Client id",
    "client_secret": "Client secret",
    "application_id": "Application id",
    "reach": "Token reaches",
    "env_file": "Configuration file",
    "receipt": "Status token kept in",
}


class Command(OperatorCommand):
    help = "Register this server with ScaiKey, or go on with a registration that is pending."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--url", help="ScaiKey's address; default is SCAIWAVE_SCAIKEY_URL")
        add("--name", help="what ScaiKey's administrators will see")
        add("--scope", metavar="SCOPE", help=" or ".join(SCOPES))
        add("--partner-slug", help="with --scope PARTNER: which")
        add("--tenant-slug", help="with --scope TENANT: which")
        add("--contact-email", help="whom ScaiKey's administrators can ask")
        add("--allow-http", action="store_true", help="register without encryption")
        add("--wait", action="store_true", help="wait until somebody has decided")
        add("--timeout", type=_seconds, default=3600, help="seconds to --wait (default 3600)")
        add("--force", action="store_true", help="begin although credentials are configured")
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--restart", action="store_true", help="cancel the pending, begin anew")
        group.add_argument("--cancel", action="store_true", help="cancel the pending request")

    def handle(self, **options: Any) -> None:
        if options["cancel"]:
            self._cancel(dry_run=options["dry_run"])
            return
        run = Registering(
            operator=self.operator,
            config=settings.CONFIG,
            talk=Talk(ask=self.ask, say=self.output.say, interactive=self.can_ask()),
            clock=timezone.now,
            wait=options["timeout"] if options["wait"] else None,
        )
        self._show(
            register(
                run,
                given=Given(**{name: options[name] for name in ANSWERS}),
                force=options["force"],
                restart=options["restart"],
                dry_run=options["dry_run"],
            )
        )

    def _cancel(self, *, dry_run: bool) -> None:
        receipt = cancel_registration(
            operator=self.operator, config=settings.CONFIG, now=timezone.now(), dry_run=dry_run
        )
        outcome = "planned" if dry_run else "cancelled"
        row = {"outcome": outcome, "request_id": receipt.request_id, "url": receipt.url}
        self.output.record([Column(key, key.replace("_", " ").capitalize()) for key in row], row)

    def _show(self, found: Registered) -> None:
        row = found.document()
        for name in found.overridden:
            self.output.warn(
                f"The environment sets {name} to something else, which beats the file: unset it."
            )
        columns = [Column(key, title) for key, title in COLUMNS.items() if row[key]]
        self.output.record(columns, row)
        self.output.say(f"Next: {found.next_step}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
