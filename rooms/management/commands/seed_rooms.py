"""`scaiwave manage seed_rooms`: made-up rooms of any size."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from rooms.management.commands._seed_arguments import add_arguments
from rooms.services.seeding.seed_rooms import SEEDED_COLUMNS, Wanted, seed_rooms
from scaiwave.auth.operators import identify_operator
from scaiwave.console.output import Output


class Command(BaseCommand):
    help = "Fill a workspace with made-up rooms. Run again, it adds as many again."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, tenant: str, workspace: str, **options: Any) -> None:
        output = Output(sys.stdout, sys.stderr, as_json=options["json"], zone=settings.LOCAL_ZONE)
        with output.progress("Events") as progress:
            seeded = seed_rooms(
                operator=identify_operator(settings.CONFIG),
                tenant=tenant,
                workspace=workspace,
                wanted=Wanted(**{field.name: options[field.name] for field in fields(Wanted)}),
                now=timezone.now(),
                progress=progress,
            )
        if options["json"]:
            output.print_json(seeded.document())
            return
        output.print_table("rooms", SEEDED_COLUMNS, seeded.rooms)
        output.log(f"In workspace {seeded.workspace} of {seeded.tenant}, owned by {seeded.owner}.")
