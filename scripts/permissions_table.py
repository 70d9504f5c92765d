"""Write the table of docs/reference/permissions.md, or only check it: see `scripts/generate`.

It is generated from the exit codes that `tests/test_authorisation.py` demands of each command.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import defaultdict

from scripts.command_reference import TOP, set_up_django
from scripts.command_table import write_files

PAGE = "docs/reference/permissions.md"
ALLOWED = (0, 2)
"""Exit codes of commands that ran; 2 where this host has no Redis and no peer."""
OTHERWISE: dict[tuple[str, ...], str] = {("admin", "link-tenant"): "yes yes yes no no"}
"""Commands whose row has arguments that need a further permission, which the page describes."""


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as home:
        set_up_django(home, profile="full")
        page = (TOP / PAGE).read_text(encoding="utf-8")
        rows = re.compile(r"(^\|---.*\n)(?:^\| `.* (?:yes|no) \|\n)*", re.MULTILINE)
        table = "".join(f"{row}\n" for row in build_table())
        new = rows.sub(lambda match: f"{match[1]}{table}", page, count=1)
    return write_files({PAGE: new}, only_check=arguments == ["--check"])


def build_table() -> list[str]:
    """Return the rows of the table, the commands with the same permissions in one."""
    from scaiwave.cli.verbs import canonical_path
    from tests.authorisation_outcomes import OWN_PARTNER, OWN_TENANT, READ, SUPER, WRITE
    from tests.authorisation_rows import ROWS

    columns = (SUPER, WRITE, OWN_PARTNER, OWN_TENANT, READ)
    commands: dict[str, list[str]] = defaultdict(list)
    for words, row in ROWS.items():
        if not canonical_path(words):
            cells = " ".join("yes" if row.codes[who] in ALLOWED else "no" for who in columns)
            commands[OTHERWISE.get(words, cells)].append(f"`{' '.join(words)}`")
    return [
        f"| {', '.join(names)} | {cells.replace(' ', ' | ')} |"
        for cells, names in sorted(commands.items(), key=lambda item: item[0], reverse=True)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
