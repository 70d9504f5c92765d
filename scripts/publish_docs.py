#!/usr/bin/env python3
"""Publishes the pages of docs/ to ScaiCMS: scripts/publish_docs.py [--execute]

It checks every page, compares it with the live one and says what it would create and update.
Only with --execute it writes, and only what differs. Where: SCAIWAVE_SCAICMS_URL and
SCAIWAVE_SCAICMS_API_KEY.

Exit codes: 0 done, or nothing to be done; 1 a page is wrong or was not written, the others were;
2 usage, configuration, or ScaiCMS can't be reached; 3 ScaiCMS does not accept the key.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from scaiwave.cli.entry import run_guarded, wants_json  # noqa: E402
from scaiwave.cli.parsers import ScriptParser  # noqa: E402


def parser() -> ScriptParser:
    parser = ScriptParser(
        prog="scripts/publish_docs.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--execute", action="store_true", help="write; without it only the plan is printed")
    add(
        "--prune",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="remove these pages, which have to be gone from the folder",
    )
    add("--docs", type=Path, default=TOP / "docs", metavar="DIR", help="the folder (docs/)")
    add("--json", action="store_true", help="print one JSON document")
    return parser


def run() -> int:
    options = parser().parse_args()
    # Heavy: httpx, YAML and Markdown. --help is to be fast.
    from scaiwave.clients.scaicms import scaicms_client
    from scaiwave.config import load
    from scaiwave.console.output import standard_output
    from scaiwave.publishing.publish import publish
    from scaiwave.publishing.report import COLUMNS

    output = standard_output(as_json=options.json)
    with scaicms_client(load()) as client, output.progress("Pages") as progress:
        report = publish(
            docs=options.docs,
            client=client,
            execute=options.execute,
            prune=options.prune,
            progress=progress,
        )
    if options.json:
        output.print_json(report.document())
    else:
        output.print_table("pages", COLUMNS, report.rows())
    for problem in () if options.json else report.problems:
        output.print_error(problem)
    output.log(report.sentence())
    report.raise_failures()
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(run, as_json=wants_json(sys.argv[1:])))
