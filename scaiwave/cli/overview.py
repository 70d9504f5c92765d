"""Help that needs no Django: the overview, groups of commands, pages of commands, exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from scaiwave.cli.verbs import AREAS, EXIT_CODES, VerbPath, canonical_path, subcommands

PAGES = os.path.join(os.path.dirname(__file__), "pages.tsv")  # noqa: PTH118, PTH120 - pathlib is slow to import
"""The help of each command, which `scripts/generate` writes: a line has the command and its text,
with the escapes of Python."""

_OVERVIEW_WIDTH = 23
"""Characters for the words of a command in the overview."""

MANAGE_COMMANDS = {
    "migrate": "Create or update the tables of the database",
    "showmigrations": "List migrations and whether they are applied",
    "check": "Check the configuration; --deploy adds security checks",
    "changepassword": "Change the password of an administrator",
    "shell": "Open a Python shell with the models",
    "dbshell": "Open the command-line client of the database",
    "process_webhooks": "Process stored webhooks without Redis",
    "runserver": "Serve the admin site and the API for development",
    "sandbox": "Serve a sandbox of the platform with sample data",
    "seed_rooms": "Create rooms with sample data",
}
"""What `scaiwave manage help` lists.

An operator may need these, and none has words of its own. `createsuperuser` is not among them:
`scaiwave admin create-administrator` does the same and writes to the audit log.
"""

# Entries of the overview that are not in the table of commands.
_MANAGE = ("manage <command>", "Run a Django command: migrate, check, shell …")
_LEARN_MORE = (
    ("show-config, export-env", "Short for `sync …`, like register and status"),
    ("worker, scheduler", "Run and enqueue jobs; `completion`: for your shell"),
    ("scaiwave admin --help", "All of admin; also jobs, role, room, scaigrid, sync"),
    ("scaiwave help <command>", "Options and examples; `help exit-codes`: exit codes"),
)


def format_overview() -> str:
    """Return the help of the console script: the commands of every day by area."""
    lines = [
        "Operator tools for the ScaiWave chat platform.",
        "",
        "Usage: scaiwave <command> [options]",
    ]
    verbs = subcommands(())
    for area, title in AREAS.items():
        entries = [
            (" ".join(words), verb.help)
            for words, verb in verbs.items()
            if verb.area == area and verb.everyday and not canonical_path(words)
        ]
        entries += [_MANAGE] if area == "server" else []
        if entries:
            lines += ["", title, *_format_entries(entries, _OVERVIEW_WIDTH)]
    lines += ["", "Learn more", *_format_entries(_LEARN_MORE, _OVERVIEW_WIDTH)]
    return "\n".join(lines) + "\n"


def format_group(group: VerbPath) -> str:
    """Return the help of some words: all commands that begin with them."""
    prefix = " ".join(("scaiwave", *group))
    return "\n".join(
        [
            f"Usage: {prefix} <command> [options]",
            *_format_areas(group),
            "",
            "Add --help to a command for its options and examples.",
            "",
        ]
    )


def read_page(command: str) -> str:
    """Return the help of a command."""
    with open(PAGES, encoding="ascii") as file:  # noqa: PTH123
        line = next(line for line in file if line.startswith(f"{command}\t"))
    return line[len(command) + 1 : -1].encode().decode("unicode_escape")


def format_exit_codes() -> str:
    """Return the help of the topic `exit-codes`."""
    codes = [f"  {code:<8}  {meaning}" for code, meaning in EXIT_CODES]
    return "\n".join(["Exit codes of every command:", *codes, ""])


def format_manage_help() -> str:
    """Return the help of `scaiwave manage`."""
    return "\n".join(
        [
            "Usage: scaiwave manage <command> [options]",
            "",
            *_format_entries(MANAGE_COMMANDS.items(), max(map(len, MANAGE_COMMANDS))),
            "",
            "Add --help to a command for its options. Django's other commands run as well:",
            "`scaiwave manage help --commands` lists all names.",
            "",
        ]
    )


def _format_areas(group: VerbPath) -> Iterable[str]:
    """Yield the commands below some words by area; without a title if there is only one area."""
    verbs = {" ".join(words[len(group) :]): verb for words, verb in subcommands(group).items()}
    width = max(map(len, verbs))
    areas = list(dict.fromkeys(verb.area for verb in verbs.values()))
    for area in areas:
        yield ""
        yield from [AREAS[area]] if len(areas) > 1 else []
        entries = ((name, verb.help) for name, verb in verbs.items() if verb.area == area)
        yield from _format_entries(entries, width)


def format_subcommands(words: VerbPath) -> list[str]:
    """Return a line for each command that begins with the words of a command."""
    verbs = {" ".join(("scaiwave", *path)): verb for path, verb in subcommands(words).items()}
    width = max(map(len, verbs), default=0)
    return [f"{name:<{width}}  {verb.help}" for name, verb in verbs.items()]


def _format_entries(entries: Iterable[tuple[str, str]], width: int) -> list[str]:
    return [f"  {name:<{width}}  {summary}" for name, summary in entries]
