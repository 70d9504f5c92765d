from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from scaiwave.management.processes import ServiceCommand
from scaiwave.operations.jobs.run_processes import run_worker
from scaiwave.queue.definitions import GRACE_SECONDS


class Command(ServiceCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="*", metavar="queue", help="queue (default all)")
        parser.add_argument(
            "--grace",
            metavar="SECONDS",
            type=seconds,
            default=GRACE_SECONDS,
            help=f"seconds that a job may run on after a signal (default {GRACE_SECONDS})",
        )
        parser.add_argument("--burst", action="store_true", help="end once the queues are empty")

    def handle(self, queues: list[str], grace: int, burst: bool, **options: object) -> None:
        counts = run_worker(operator=self.operator, queues=queues, burst=burst, grace_seconds=grace)
        if self.output.as_json:
            self.output.print_json(counts)


def seconds(text: str) -> int:
    """Parse a whole number of seconds, 0 or more."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)
