from __future__ import annotations

from argparse import ArgumentTypeError

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.management.processes import ServiceCommand
from scaiwave.operations.jobs.run_processes import run_worker
from scaiwave.queue.definitions import GRACE_SECONDS


def seconds(text: str) -> int:
    """Parse a whole number of seconds, 0 or more."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


class WorkerArguments(Arguments):
    queues: list[str] = argument("queue (default all)", nargs="*", metavar="queue")
    grace_seconds: int = option(
        f"seconds that a job may run on after a signal (default {GRACE_SECONDS})",
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=GRACE_SECONDS,
    )
    burst: bool = option("end once the queues are empty")


class Command(ServiceCommand[WorkerArguments]):
    service = staticmethod(run_worker)
    words = "worker"
    summary = "Run the jobs in Redis until stopped"
    area, place = "server", 140
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave worker", "scaiwave worker --grace 120", "scaiwave worker --burst")
    help = (
        "Run the jobs that the scheduler, webhooks and search backfills put into Redis, until "
        "SIGTERM or SIGINT. A job in progress may then run on for the grace period; if it does not "
        "end, it is put back into the queue."
    )
    logger_name = "scaiwave.worker"
