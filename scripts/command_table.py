"""Write scaiwave/cli/commands.tsv, the table of commands, or only check it: see `scripts/generate`.

It is generated from the classes of the commands, and read without them by `scaiwave --help` and by
the command reference.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

NAME = "scaiwave/cli/commands.tsv"
TABLE = Path(__file__).resolve().parent.parent / NAME


def main(arguments: list[str]) -> int:
    only_check = arguments == ["--check"]
    old = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    if not can_be_read() and not only_check:
        TABLE.write_text("", encoding="utf-8")  # Without a table no command can be imported.
    if can_be_read():
        with tempfile.TemporaryDirectory() as home:
            new = build_table(home)
        if new == old:
            return 0
        if not only_check:
            TABLE.write_text(new, encoding="utf-8")
    print(f"{NAME} is stale; run scripts/generate." if only_check else NAME)
    return 1 if only_check else 0


def can_be_read() -> bool:
    """Return whether there is a table, without conflict markers."""
    try:
        import scaiwave.cli.verbs  # noqa: F401
    except (OSError, TypeError, ValueError):
        return False
    return True


def build_table(home: str) -> str:
    """Return a line for each command, in the order of the help."""
    from scaiwave.cli.verbs import AREAS
    from scripts.command_reference import set_up_django

    set_up_django(home)
    from django.core.management import get_commands, load_command_class

    from scaiwave.cli.command import OperatorCommand

    commands = [load_command_class(app, name) for name, app in get_commands().items()]
    ours = [command for command in commands if isinstance(command, OperatorCommand)]
    ours.sort(key=lambda command: (list(AREAS).index(command.area), command.place))
    return "".join("\t".join(command.get_entry()) + "\n" for command in ours)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
