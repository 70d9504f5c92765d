from __future__ import annotations

from typing import IO

from django.conf import settings
from django.utils import timezone

from identity_sync.registration.export_env import export_env, format_exports
from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.text import is_terminal


class Command(OperatorCommand):
    words = "sync export-env"
    alias = "export-env"
    summary = "Print ScaiKey settings with secrets for a shell"
    area, place = "sync", 120
    permission = "MANAGE_PLATFORM"
    examples = ('eval "$(scaiwave sync export-env)"',)
    help = "Print the ScaiKey settings as shell commands, with secrets; audited."

    def run(self, given: Arguments) -> None:
        values = export_env(operator=self.operator, config=settings.CONFIG, now=timezone.now())
        if is_terminal(self.output.stdout):
            self.output.warn("Secrets were printed to the terminal.")
        if self.output.as_json:
            self.output.print_json({"environment": values})
        else:
            write_verbatim(self.output.stdout, format_exports(values))


def write_verbatim(stream: IO[str], text: str) -> None:
    """Write UTF-8 in every locale and replace no character, unlike `Output.print_line`."""
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(text)
        return
    stream.flush()
    # Values of the environment that are not UTF-8 are written as their original bytes.
    raw.write(text.encode(errors="surrogateescape"))
    raw.flush()
