from __future__ import annotations

from typing import Any

from django.conf import settings

from identity_sync.queries.config import show_config
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.output import Column

COLUMNS = (Column("name", "Name"), Column("value", "Value"), Column("source", "Source"))


class Command(OperatorCommand):
    help = "Show every setting, secrets masked, and where its value comes from."

    def handle(self, **options: Any) -> None:
        report = show_config(operator=self.operator, config=settings.CONFIG)
        document = report.document()
        if self.output.as_json:
            self.output.print_json(document)
            return
        self.output.print_table("settings", COLUMNS, document["settings"])
        for name, meant in report.unknown.items():
            self.output.warn(f"{name} is set and unknown; {meant} may be meant.")
        if report.waiting_request:
            self.output.warn(
                f"ScaiKey has approved request {report.waiting_request}, and its credentials are "
                "saved but not configured: run `scaiwave sync register`."
            )
        self.output.print_line()
        self.output.print_line(f"Home:                {report.home}")
        self.output.print_line(f"Configuration file:  {report.env_file}")
