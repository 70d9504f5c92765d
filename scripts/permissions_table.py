"""Build the table of docs/reference/permissions.md, which `scripts/generate` writes.

It is made from the permission that each command declares, and who is refused in spite of it.
"""

from __future__ import annotations

import re
from collections import defaultdict

from scaiwave.cli.verbs import VERBS, canonical_path
from scaiwave.core.operators import ROLE_PERMISSIONS, OperatorRole, Permission
from scripts.command_reference import TOP, load_command

PAGE = "docs/reference/permissions.md"
COLUMNS = {
    "super_admin": OperatorRole.SUPER_ADMIN,
    "admin:write": OperatorRole.SUPER_ADMIN,
    "partner_admin": OperatorRole.PARTNER_ADMIN,
    "tenant_admin": OperatorRole.TENANT_ADMIN,
    "platform_read": OperatorRole.PLATFORM_READ,
}


def build_page() -> str:
    page = (TOP / PAGE).read_text(encoding="utf-8")
    rows = re.compile(r"(^\|---.*\n)(?:^\| `.* (?:yes|no) \|\n)*", re.MULTILINE)
    table = "".join(f"{row}\n" for row in build_table())
    return rows.sub(lambda match: f"{match[1]}{table}", page, count=1)


def build_table() -> list[str]:
    """Return the rows of the table, the commands with the same permissions in one."""
    commands: dict[str, list[str]] = defaultdict(list)
    for words, verb in VERBS.items():
        if not canonical_path(words):
            refused = load_command(verb).refuses
            cells = ("no" if name in refused else _may(verb.permission, name) for name in COLUMNS)
            commands[" | ".join(cells)].append(f"`{' '.join(words)}`")
    return [
        f"| {', '.join(names)} | {cells} |"
        for cells, names in sorted(commands.items(), key=lambda item: item[0], reverse=True)
    ]


def _may(permission: str, column: str) -> str:
    is_granted = not permission or Permission[permission] in ROLE_PERMISSIONS[COLUMNS[column]]
    return "yes" if is_granted else "no"
