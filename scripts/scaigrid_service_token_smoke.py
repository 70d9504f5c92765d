#!/usr/bin/env python3
"""Check the connection to ScaiGrid. Run it first on SW_AI_NO_TOKEN.

    python scripts/scaigrid_service_token_smoke.py [--embed] [--accounting] [--tenant SLUG] [--json]

Run it from the project root with the server's own Python. It reads the server's configuration
and changes nothing. `scaiwave scaigrid check` does the same, without a checkout.
Exit codes: 0 success; 1 a model is missing, or a budget is used up; 2 configuration, or a server
can't be reached; 3 credentials refused, or a permission is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
os.environ.setdefault("SCAIWAVE_PROFILE", "cli")

from scaiwave.cli.entry import run_guarded, wants_json
from scaiwave.cli.parsers import ScriptParser


def _build_parser() -> ScriptParser:
    about, _, rest = (__doc__ or "").partition("\n")
    parser = ScriptParser(
        description=about,
        epilog=rest.strip().partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--embed", action="store_true", help="also create a vector")
    parser.add_argument("--accounting", action="store_true", help="also read this month's usage")
    parser.add_argument(
        "--tenant",
        metavar="SLUG",
        help="additional step: check that the models of this tenant exist",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main() -> int:
    options = _build_parser().parse_args()
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    from scaiwave.auth.identify import identify_operator
    from scaiwave.console.output import make_standard_output
    from scaiwave.storage.error_mapping import translate_errors
    from scaiwave.storage.schema_version import known_schema_required
    from tenants.usage.check_scaigrid import SmokeTestOptions, SmokeTestStep, smoke_test

    output = make_standard_output(as_json=options.json)

    def print_step(step: SmokeTestStep) -> None:
        for line in step.lines():
            output.print_line(line)
        output.stdout.flush()

    try:
        with translate_errors(), known_schema_required():
            result = smoke_test(
                operator=identify_operator(settings.CONFIG),
                config=settings.CONFIG,
                options=SmokeTestOptions(options.embed, options.accounting, options.tenant),
                now=datetime.now(UTC),
                report=print_step,
            )
    finally:
        connections.close_all()
    output.print_json(result.document()) if options.json else output.print_line(result.sentence)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(run_guarded(main, as_json=wants_json(sys.argv[1:])))
