#!/usr/bin/env python3
"""Fill the index of `scaiwave room search`, and correct it after messages changed.

Without --execute, print what there is to do and change nothing. The command
`scaiwave room search-index` does the same and needs no checkout.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scaiwave.cli.entry import run_guarded
from scaiwave.core.errors import TerminationSignal, UsageError

if TYPE_CHECKING:
    from rooms.search.queries import BackfillOptions
    from scaiwave.console.output import Output
    from scaiwave.core.operators import Operator


def main(words: Sequence[str] | None = None) -> int:
    arguments = _build_parser().parse_args(words)
    return run_guarded(lambda: _run(arguments), as_json=arguments.json)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add(
        "--execute",
        action="store_true",
        help="indexing by the workers of the job queue; without it, the plan is printed",
    )
    add(
        "--inline",
        action="store_true",
        help="with --execute: indexing in this process, without the queue",
    )
    add("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
    add("--room", help="only this room of the tenant (ID or alias)")
    add(
        "--since",
        metavar="TIME",
        help="only messages sent or changed since this time (2026-11-01, "
        "2026-11-24T09:30 or 7d ago)",
    )
    add(
        "--restart",
        action="store_true",
        help="index from the beginning, and ignore an unfinished run",
    )
    add("--json", action="store_true", help="print one JSON document")
    parser.epilog = (
        "exit codes: 0 success; 1 the index does not match the events, or unknown tenant or room; "
        "2 usage, configuration or an unreachable server; 3 not signed in or not permitted"
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.execute and (arguments.inline or arguments.restart):
        raise UsageError(
            "--inline and --restart need --execute.", fix="Add --execute, or leave them out."
        )
    os.environ["SCAIWAVE_PROFILE"] = "cli"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    signal.signal(signal.SIGTERM, _terminate)
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    from rooms.search.queries import BackfillOptions
    from scaiwave.auth.identify import identify_operator
    from scaiwave.console.output import make_standard_output
    from scaiwave.storage.error_mapping import translate_errors
    from scaiwave.storage.schema_version import known_schema_required

    since = _parse_since(arguments.since) if arguments.since else None
    options = BackfillOptions(arguments.tenant, arguments.room, since, arguments.restart)
    act = _enqueue if arguments.execute else _print_plan
    if arguments.inline:
        act = _backfill_inline
    try:
        with translate_errors(), known_schema_required():
            act(
                identify_operator(settings.CONFIG),
                options,
                make_standard_output(as_json=arguments.json),
            )
    finally:
        connections.close_all()
    return 0


def _parse_since(text: str) -> datetime:
    from tenants.management.arguments import since

    try:
        return since(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--since {error}.", fix="Give a time as --help shows it.") from None


def _print_plan(operator: Operator, options: BackfillOptions, output: Output) -> None:
    from rooms.management.search_output import print_plan
    from rooms.search.queries import get_search_plan

    plan = get_search_plan(operator=operator, options=options)
    if output.as_json:
        output.print_json(plan.document())
    notice = "No changes were made. Add --execute to fill the index, with --inline to wait."
    print_plan(plan, output, notice)


def _backfill_inline(operator: Operator, options: BackfillOptions, output: Output) -> None:
    from rooms.management.search_output import print_backfill
    from rooms.search.backfill import backfill_search

    with output.progress("Events read") as progress:
        result = backfill_search(
            operator=operator,
            options=options,
            clock=lambda: datetime.now(UTC),
            progress=progress,
        )
    if output.as_json:
        output.print_json(result.document())
    print_backfill(result, output)
    result.require_consistent()


def _enqueue(operator: Operator, options: BackfillOptions, output: Output) -> None:
    from rooms.management.search_output import print_queued
    from rooms.search.backfill import enqueue_backfill

    queued = enqueue_backfill(operator=operator, options=options, now=datetime.now(UTC))
    if output.as_json:
        output.print_json(queued.document())
    notice = "Run the same command without --execute to see the progress."
    print_queued(queued, output, notice)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminationSignal


if __name__ == "__main__":
    sys.exit(main())
