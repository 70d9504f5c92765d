from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.jobs.manage import CLEARABLE, clear_jobs


class ClearJobsArguments(Arguments):
    state: str = option(
        "state of the jobs to delete (default failed)", choices=CLEARABLE, default=CLEARABLE[0]
    )


class Command(OperatorCommand[ClearJobsArguments]):
    service = staticmethod(clear_jobs)
    words = "jobs clear"
    summary = "Delete failed or waiting jobs"
    area, place = "server", 200
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave jobs clear", "scaiwave jobs clear --state waiting --dry-run")
    help = (
        "Delete the failed or the waiting jobs in Redis. The scheduler enqueues its jobs again "
        "when they are due."
    )
    changes = True
