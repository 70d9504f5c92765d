from __future__ import annotations

import json

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from scaiwave.management.output import JobArguments
from scaiwave.operations.jobs.queries import show_job

FACTS = (
    Column("id", "Job"),
    *columns_of("function", "arguments", "queue", "state"),
    *columns_of("enqueued_at", "started_at", "ended_at", kind=ColumnType.TIME),
    *columns_of("worker", "attempts", "error", "fix"),
    Column("problem", "Refused because"),
)


class Command(OperatorCommand[JobArguments]):
    words = "jobs show"
    summary = "Show a job with its error and how to fix it"
    area, place = "server", 170
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave jobs show full_sync-1790000000",)
    help = "Show a job that runs, waits or has failed, with its error and how to fix it."

    def run(self, given: JobArguments) -> None:
        job = show_job(operator=self.operator, job_id=given.job_id)
        if self.output.as_json:
            self.output.print_json({"job": job})
            return
        error = job["error"] or {}
        facts = {
            **job,
            "arguments": ", ".join(map(json.dumps, job["arguments"] or [])),
            "error": f"{error['message']} [{error['code']}]" if error else None,
            "fix": error.get("fix"),
        }
        shown = [column for column in FACTS if facts[column.key]]
        self.output.print_record(shown, facts)
