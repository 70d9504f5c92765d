from __future__ import annotations

from django.conf import settings

from identity_sync.registration.show_config import show_config
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column

COLUMNS = (Column("name", "Name"), Column("value", "Value"), Column("source", "Source"))


class Command(OperatorCommand):
    words = "sync show-config"
    alias = "show-config"
    summary = "Show all settings and where they come from"
    area, place = "sync", 110
    permission = "VIEW_PLATFORM"
    help = "List every setting with its value and source; secrets are masked."

    def run(self, given: Arguments) -> None:
        report = show_config(operator=self.operator, config=settings.CONFIG)
        document = report.document()
        if self.output.as_json:
            self.output.print_json(document)
            return
        self.output.print_table("settings", COLUMNS, document["settings"])
        for warning in report.warnings:
            self.output.warn(warning)
        self.output.print_line()
        self.output.print_line(f"Home directory:      {report.home}")
        self.output.print_line(f"Configuration file:  {report.env_file}")
