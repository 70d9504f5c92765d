from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from rooms.management.search_output import print_backfill, print_plan, print_queued
from rooms.search.backfill import backfill_search, enqueue_backfill
from rooms.search.queries import BackfillOptions, get_search_plan
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.times import TIME_FORMATS
from tenants.management.arguments import since


class Command(OperatorCommand):
    words = "room search-index"
    summary = "Fill the index of room search"
    area, place = "rooms", 60
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave room search-index --dry-run",
        "scaiwave room search-index --inline",
        "scaiwave room search-index --tenant acme --since 7d --inline",
    )
    help = (
        "Fill the index of `scaiwave room search`, and correct it after messages changed.\n\n"
        "Workers of the job queue do it, or with --inline this process. You can stop it at any "
        "time; the\nsame command resumes it. With --dry-run it prints what there is to do."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--inline", action="store_true", help="index in this process, without the queue")
        add("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        add("--room", help="only this room of the tenant (ID or alias)")
        add(
            "--since",
            metavar="TIME",
            type=since,
            help=f"only messages sent or changed since then: {TIME_FORMATS}",
        )
        add(
            "--restart",
            action="store_true",
            help="index from the beginning, and ignore an unfinished run",
        )

    def handle(self, inline: bool, **options: Any) -> None:
        wanted = BackfillOptions(
            options["tenant"], options["room"], options["since"], options["restart"]
        )
        if self.dry_run:
            plan = get_search_plan(operator=self.operator, options=wanted)
            self.print_result(plan.document())
            print_plan(plan, self.output)
        elif inline:
            with self.output.progress("Events read") as progress:
                result = backfill_search(
                    operator=self.operator,
                    options=wanted,
                    clock=lambda: datetime.now(UTC),
                    progress=progress,
                )
            self.print_result(result.document())
            print_backfill(result, self.output)
            result.require_consistent()
        else:
            queued = enqueue_backfill(operator=self.operator, options=wanted, now=timezone.now())
            self.print_result(queued.document())
            print_queued(queued, self.output)
