from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from federation.services.rotate_key import OVERLAP_DAYS, rotate_key
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Make a new signing key; the one it replaces goes on verifying for the overlap. Of runs at "
        "the same moment one makes the key, and the others say so."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--overlap-days",
            type=int,
            default=OVERLAP_DAYS,
            metavar="N",
            help=f"days for which the old key still verifies (default {OVERLAP_DAYS})",
        )

    def handle(self, overlap_days: int, dry_run: bool, **options: Any) -> None:
        result = rotate_key(
            operator=self.operator,
            overlap_days=overlap_days,
            now=timezone.now(),
            began=self.began,
            dry_run=dry_run,
        )
        if self.output.as_json:
            self.output.print_json(result.document())
        self.output.print_line(result.sentence)
