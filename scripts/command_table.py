"""Write scaiwave/cli/commands.tsv, the table of commands, or only check it: see `scripts/generate`.

It is generated from the classes of the commands, and read without them by `scaiwave --help` and by
the command reference.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

NAME = "scaiwave/cli/commands.tsv"
TOP = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    only_check = arguments == ["--check"]
    if not can_be_read() and not only_check:
        (TOP / NAME).write_text("", encoding="utf-8")  # Without one no command can be imported.
    with tempfile.TemporaryDirectory() as home:
        text = build_table(home) if can_be_read() else ""
    return write_files({NAME: text}, only_check=only_check)


def write_files(files: dict[str, str], *, only_check: bool) -> int:
    """Write the stale ones of these texts by name, or return 1 if there are some to check."""
    stale = [
        name
        for name, text in files.items()
        if not (TOP / name).exists() or (TOP / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        if not only_check:
            (TOP / name).write_text(files[name], encoding="utf-8")
        print(f"{name} is stale; run scripts/generate." if only_check else name)
    return 1 if only_check and stale else 0


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
