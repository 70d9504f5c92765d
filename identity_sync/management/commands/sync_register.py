from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from identity_sync.management.register_flags import ANSWERS, COLUMNS, add_flags
from identity_sync.services.registration.answers import Console, RegistrationFlags
from identity_sync.services.registration.cancel import cancel_registration
from identity_sync.services.registration.register import (
    RegistrationContext,
    RegistrationResult,
    register,
)
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column


class Command(OperatorCommand):
    help = "Register this server with ScaiKey, or go on with a registration that is pending."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_flags(parser)

    def handle(self, **options: Any) -> None:
        if options["cancel"]:
            self._cancel(dry_run=options["dry_run"])
            return
        run = RegistrationContext(
            operator=self.operator,
            config=settings.CONFIG,
            talk=Console(ask=self.ask, say=self.output.log, interactive=self.can_ask()),
            clock=timezone.now,
            wait=options["timeout"] if options["wait"] else None,
        )
        self._show(
            register(
                run,
                given=RegistrationFlags(**{name: options[name] for name in ANSWERS}),
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
        self.output.print_record(
            [Column(key, key.replace("_", " ").capitalize()) for key in row], row
        )

    def _show(self, found: RegistrationResult) -> None:
        row = found.document()
        for name in found.overridden:
            self.output.warn(
                f"The environment sets {name} to something else, which beats the file: unset it."
            )
        self.output.print_record([column for column in COLUMNS if row[column.key]], row)
        self.output.log(f"Next: {found.next_step}")
