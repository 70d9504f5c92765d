"""The table of docs/reference/permissions.md, compared with what each operator may do."""

from __future__ import annotations

import re
from collections import defaultdict

from scaiwave.cli.verbs import VerbPath, canonical_path
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.test_authorisation import OWN_PARTNER, OWN_TENANT, READ, ROWS, SUPER, WRITE

COLUMNS = (SUPER, WRITE, OWN_PARTNER, OWN_TENANT, READ)
ALLOWED = (0, 2)
"""Exit codes of commands that ran; 2 where this host has no Redis and no peer."""
OTHERWISE: dict[VerbPath, str] = {("admin", "link-tenant"): "yes yes yes no no"}
"""Commands whose row has arguments that need a further permission, which the page describes."""


def build_table() -> list[str]:
    """Return the rows of the table, the commands with the same permissions in one."""
    commands: dict[str, list[str]] = defaultdict(list)
    for words, row in ROWS.items():
        if not canonical_path(words):
            cells = " ".join("yes" if row.codes[who] in ALLOWED else "no" for who in COLUMNS)
            commands[OTHERWISE.get(words, cells)].append(f"`{' '.join(words)}`")
    return [
        f"| {', '.join(names)} | {cells.replace(' ', ' | ')} |"
        for cells, names in sorted(commands.items(), key=lambda item: item[0], reverse=True)
    ]


def test_success_the_page_has_the_permissions_of_every_command() -> None:
    page = (CHECKOUT / "docs/reference/permissions.md").read_text(encoding="utf-8")
    table = build_table()
    assert re.findall(r"^\| `.* (?:yes|no) \|$", page, re.MULTILINE) == table, (
        "docs/reference/permissions.md needs these rows:\n" + "\n".join(table)
    )
