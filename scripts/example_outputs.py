"""Draw the outputs of commands that pages show, from recorded documents and today's columns.

docs/images/examples.json has the documents. `scripts/generate` draws them into the blocks behind
`$ scaiwave …` with the same words, and `scripts/generate --demo` records them again.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from scaiwave.cli.verbs import VERBS, find_longest_match
from scripts.command_reference import TOP, load_command
from scripts.demo_picture import mask

RECORDING = TOP / "docs/images/examples.json"
DEMO = "docs/images/demo.txt"
LISTS = (
    "admin list-tenants --partner birch",
    "admin list-participants --tenant acme --status inactive",
)
SYNC = ("outcome", "kinds", "requests")
ONLY_COLUMNS = "room list --tenant acme"
"""A list whose rows differ from run to run: pages show its columns, and `…`."""
_OUTPUT = re.compile(r"^\$ scaiwave (.+)\n((?:(?!\$ |```).+\n)+)", re.MULTILINE)

Recorded = Sequence[tuple[str, Mapping[str, Any]]]
"""Commands with their documents. If a command has several, each output takes the next."""


class ExamplesStale(Exception):
    """The recorded documents lack a key of today's, or have another."""


def record() -> None:
    """Record the documents after `scripts/demo` has run twice."""

    def run(words: str) -> dict[str, Any]:
        program = [f"{Path(sys.executable).parent}/scaiwave", *shlex.split(words), "--json"]
        home = {**os.environ, "SCAIWAVE_HOME": str(TOP / ".demo")}
        result = subprocess.run(program, env=home, stdout=subprocess.PIPE, check=True)
        return dict(json.loads(result.stdout))

    runs = run("sync runs")["runs"]
    third, second, first = ({name: each[name] for name in SYNC} for each in runs)
    everyone = "admin list-tenants"
    recorded = {
        "demo": [("sync", first), ("sync", second), (everyone, run(everyone))],
        "pages": [("sync", third), *((words, run(words)) for words in LISTS), (ONLY_COLUMNS, {})],
    }
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    RECORDING.write_text(mask(text), encoding="utf-8")


def build_pages() -> dict[str, str]:
    """Return the texts of all pages with commands and their output, by name."""
    recorded = json.loads(RECORDING.read_text(encoding="utf-8"))
    paths = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md")), TOP / DEMO]
    pages = {path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return {
        name: fill(text, recorded["demo" if name == DEMO else "pages"])
        for name, text in pages.items()
        if _OUTPUT.search(text)
    }


def fill(page: str, recorded: Recorded) -> str:
    left = list(recorded)

    def replace(match: re.Match[str]) -> str:
        found = [each for each in left if each[0] == match[1]]
        if not found:
            return match[0]
        if len(found) > 1:
            left.remove(found[0])
        return f"$ scaiwave {match[1]}\n{mask(draw(*found[0]))}"

    return _OUTPUT.sub(replace, page)


def draw(words: str, document: Mapping[str, Any]) -> str:
    """Return what the command prints in a pipe if it reads this document. Raises ExamplesStale."""
    from identity_sync.management.output import print_report
    from identity_sync.report import KindCounts, SyncReport
    from scaiwave.cli.arguments import build_arguments
    from scaiwave.cli.command import ListCommand
    from scaiwave.console.output import Output

    path = find_longest_match(shlex.split(words))
    command = load_command(VERBS[path])
    out = io.StringIO()
    command.output, command.dry_run = Output(out, io.StringIO(), quiet=True), False
    if not isinstance(command, ListCommand):
        for counts in document["kinds"].values():
            _require(words, set(counts), {field.name for field in fields(KindCounts)})
        kinds = {kind: KindCounts(**counts) for kind, counts in document["kinds"].items()}
        report = SyncReport(None, document["outcome"], kinds, requests=document["requests"])
        print_report(command.output, report)
        return out.getvalue()
    options = vars(command.create_parser("", "").parse_args(shlex.split(words)[len(path) :]))
    keys = {key.partition(".")[0] for key in command.get_keys()}
    rows = document.get(command.plural, [dict.fromkeys(keys)])
    command.call_service = lambda given, **values: iter(rows)  # type: ignore[method-assign]
    command.handle(**options)
    columns = command.get_columns(build_arguments(command.arguments, options))
    for row in rows:
        _require(words, set(row), keys)
        _require(words, set(command.format_row(row)), {column.key for column in columns} | set(row))
    return out.getvalue() if document else out.getvalue().partition("\n")[0] + "\n…\n"


def _require(words: str, recorded: Collection[str], keys: Collection[str]) -> None:
    if different := sorted(set(recorded) ^ set(keys)):
        raise ExamplesStale(
            f"{RECORDING.relative_to(TOP)} is stale: {', '.join(different)} of `scaiwave {words}`; "
            "run scripts/generate --demo."
        )


if __name__ == "__main__":
    record()
