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
    try:
        import scaiwave.cli.verbs  # noqa: F401
    except (OSError, TypeError, ValueError):
        # It is missing, or has conflict markers. Without a table no command can be imported.
        TABLE.write_text("", encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        new = build_table(home)
    TABLE.write_text(old if only_check else new, encoding="utf-8")
    if new != old:
        print(f"{NAME} is stale; run scripts/generate." if only_check else NAME)
    return 1 if only_check and new != old else 0


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
