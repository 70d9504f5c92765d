from __future__ import annotations

from typing import Any

from django.utils import timezone

from federation.management.output import KEYS
from federation.queries.list_keys import list_keys
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "List this server's keys, newest first. The days left are those until the signing key's "
        "yearly rotation is due, or until an older key stops verifying."
    )

    def handle(self, **options: Any) -> None:
        listed = list_keys(operator=self.operator, now=timezone.now())
        self.output.print_table("keys", KEYS, listed.keys)
        for warning in listed.warnings:
            self.output.warn(warning)
