#!/usr/bin/env python3
"""Fills the index that `scaiwave room search` looks in, and makes it right after changes.

Without --execute it shows what there is to do and changes nothing.
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
from scaiwave.errors import TerminationSignal, UsageError

if TYPE_CHECKING:
    from rooms.services.search.runs import BackfillOptions
    from scaiwave.auth.operators import Operator
    from scaiwave.console.output import Output


def main(words: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(words)
    return run_guarded(lambda: _run(options), as_json=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--execute", action="store_true", help="do it, by the workers of the queue")
    parser.add_argument("--inline", action="store_true", help="with --execute: do it here")
    parser.add_argument("--tenant", help="only this one (slug, id, or ScaiKey id)")
    parser.add_argument("--room", help="only this one of the tenant (id or alias)")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only what was sent or changed since 2026-11-01, 2026-11-24T09:30, or 12h, 7d ago",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin anew where a run was left unfinished, and write what is there already",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.epilog = "exit codes: 0 done; 1 the index is not right; 2 usage or servers; 3 forbidden"
    return parser


def _run(options: argparse.Namespace) -> int:
    if not options.execute and (options.inline or options.restart):
        raise UsageError(
            "--inline and --restart say how to do it.", fix="Pass --execute too, or neither."
        )
    os.environ["SCAIWAVE_PROFILE"] = "cli"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    signal.signal(signal.SIGTERM, _terminate)
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    from rooms.services.search.runs import BackfillOptions
    from scaiwave.auth.operators import identify_operator
    from scaiwave.console.output import standard_output
    from scaiwave.error_mapping import translate_errors

    since = _moment(options.since) if options.since else None
    wish = BackfillOptions(options.tenant, options.room, since, options.restart)
    act = _plan if not options.execute else _inline if options.inline else _enqueue
    try:
        with translate_errors():
            act(identify_operator(settings.CONFIG), wish, standard_output(as_json=options.json))
    finally:
        connections.close_all()
    return 0


def _moment(text: str) -> datetime:
    from tenants.management.commands._times import since

    try:
        return since(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--since {error}.", fix="Give a time as --help shows it.") from None


def _plan(operator: Operator, wish: BackfillOptions, output: Output) -> None:
    from rooms.management.search_output import PLAN, format_unfinished_run
    from rooms.queries.search_plan import search_plan

    plan = search_plan(operator=operator, wish=wish)
    if output.as_json:
        output.print_json(plan.document())
        return
    output.print_table("tenants", PLAN, plan.tenants)
    if plan.unfinished:
        output.log(format_unfinished_run(plan.unfinished))
    output.log("Nothing was changed; --execute does it, with --inline here.")


def _inline(operator: Operator, wish: BackfillOptions, output: Output) -> None:
    from rooms.management.search_output import DONE
    from rooms.services.search.backfill import backfill_search

    with output.progress("Events read") as progress:
        done = backfill_search(
            operator=operator, wish=wish, now=lambda: datetime.now(UTC), progress=progress
        )
    if output.as_json:
        output.print_json(done.document())
    else:
        output.print_table("tenants", DONE, done.tenants)
        output.log("Took up a run that was not finished." if done.resumed else "Done.")
    done.require_right()


def _enqueue(operator: Operator, wish: BackfillOptions, output: Output) -> None:
    from rooms.services.search.backfill import enqueue_backfill

    queued = enqueue_backfill(operator=operator, wish=wish, now=datetime.now(UTC))
    if output.as_json:
        output.print_json(queued.document())
        return
    output.print_line(
        f"{queued.ranges:,} ranges are to be done, by {queued.jobs} jobs in the queue."
    )
    output.log("The same command without --execute shows how far it is.")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminationSignal


if __name__ == "__main__":
    sys.exit(main())
