from __future__ import annotations

from collections.abc import Mapping

from identity_sync.registration.show_config import show_config
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import columns_of

COLUMNS = columns_of("name", "value", "source")


class Command(OperatorCommand):
    service = staticmethod(show_config)
    tables = (("settings", COLUMNS),)
    words = "sync show-config"
    alias = "show-config"
    summary = "Show all settings and where they come from"
    area, place = "sync", 110
    permission = "VIEW_PLATFORM"
    help = "List every setting with its value and source; secrets are masked."

    def show(self, document: Mapping[str, object]) -> None:
        super().show(document)
        self.output.print_line()
        self.output.print_line(f"Home directory:      {document['home']}")
        self.output.print_line(f"Configuration file:  {document['env_file']}")
