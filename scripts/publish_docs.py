#!/usr/bin/env python3
"""Publish the pages of docs/ to ScaiCMS.

Without --execute, check every page, compare it with the live one and print what would be created
and updated. With --execute, write what differs. SCAIWAVE_SCAICMS_URL and SCAIWAVE_SCAICMS_API_KEY
select the server. As with every command, SCAIWAVE_ADMIN_TOKEN names the operator.

Exit codes: 0 done, or nothing to do; 1 a page is invalid or was refused, the others were written;
2 usage, configuration, or ScaiCMS can't be reached; 3 ScaiCMS does not accept the key, or the
operator may not publish.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from scaiwave.cli.entry import run_guarded, wants_json  # noqa: E402
from scaiwave.cli.parsers import ScriptParser  # noqa: E402


def _build_parser() -> ScriptParser:
    parser = ScriptParser(
        prog="scripts/publish_docs.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--execute",
        action="store_true",
        help="upload of what differs; without it, the plan is printed",
    )
    add(
        "--prune",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="remove these pages, whose source was removed",
    )
    add(
        "--docs",
        type=Path,
        default=TOP / "docs",
        metavar="DIR",
        help="directory of the pages (default docs/)",
    )
    add("--json", action="store_true", help="print one JSON document")
    return parser


def main() -> int:
    options = _build_parser().parse_args()
    # Django, httpx, YAML and Markdown take long to import, and --help must be fast.
    import django

    os.environ["SCAIWAVE_PROFILE"] = "cli"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
    django.setup()
    from django.conf import settings

    from scaiwave.auth.identify import identify_operator
    from scaiwave.clients.scaicms import scaicms_client
    from scaiwave.console.output import make_standard_output
    from scaiwave.publishing.publish import COLUMNS, publish

    output = make_standard_output(as_json=options.json)
    operator = identify_operator(settings.CONFIG)
    with scaicms_client(settings.CONFIG) as client, output.progress("Pages") as progress:
        report = publish(
            operator=operator,
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
    output.log(report.format_summary())
    report.raise_failures()
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main, as_json=wants_json(sys.argv[1:])))
