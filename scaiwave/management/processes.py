"""What the commands have in common that run until they are stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property

from django.conf import settings

from scaiwave.auth.identify import identify_service_operator
from scaiwave.cli.arguments import A
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.operators import Operator


class ServiceCommand(OperatorCommand[A]):
    """A command that a service manager starts. It logs its steps, unless -q or -v say otherwise.

    `logger_name` is the logger of the process.
    """

    logger_name: str

    @cached_property
    def operator(self) -> Operator:
        return identify_service_operator(settings.CONFIG)

    def execute(self, *args: object, **options: object) -> str | None:
        set_service_log_level(self.logger_name, options)
        return super().execute(*args, **options)

    def run(self, given: A) -> None:
        counts = self.call_service(given)
        if self.output.as_json:
            self.output.print_json(counts)


def set_service_log_level(logger_name: str, options: Mapping[str, object]) -> None:
    """Other commands log warnings by default, and their results go to stdout."""
    is_default = settings.CONFIG.is_default("SCAIWAVE_LOG_LEVEL")
    if is_default and options["verbosity"] == 1 and not options["quiet"]:
        logging.getLogger(logger_name).setLevel(logging.INFO)
