from __future__ import annotations

from scaiwave.management.processes import ServiceCommand
from scaiwave.operations.jobs.run_processes import run_scheduler


class Command(ServiceCommand):
    service = staticmethod(run_scheduler)
    words = "scheduler"
    summary = "Enqueue scheduled jobs until stopped"
    area, place = "server", 150
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave scheduler",)
    help = (
        "Put scheduled jobs into Redis when they are due, until SIGTERM or SIGINT. Of several "
        "schedulers one is active, and another takes over if it ends."
    )
    logger_name = "scaiwave.scheduler"
