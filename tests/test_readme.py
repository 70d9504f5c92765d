"""Run the commands of the README and of the tour, and compare their output with the text."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = (ROOT / "docs/tutorials/tour.md").read_text(encoding="utf-8")
PAGES = [
    README,
    TOUR,
    (ROOT / "docs/tutorials/getting-started.md").read_text(encoding="utf-8"),
    (ROOT / "docs/how-to/production.md").read_text(encoding="utf-8"),
]
MAX_README_LINES = 150
SANDBOX_URL = "http://127.0.0.1:8790"
ELLIPSIS = "…"


def find_blocks(page: str, language: str) -> list[str]:
    """Return the bodies of the fenced blocks in a language, without the indentation of lists."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in blocks]


def find_sessions(page: str) -> list[tuple[str, list[str]]]:
    """Return every `$ command` of the console blocks, with the output below it."""
    sessions: list[tuple[str, list[str]]] = []
    for block in find_blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                sessions.append((line[2:], []))
            else:
                sessions[-1][1].append(line)
    return sessions


def find_shell_lines() -> list[str]:
    """Return the `scaiwave …` lines of the shell blocks, without their comments."""
    blocks = (block for page in PAGES for block in find_blocks(page, "sh"))
    lines = (line for block in blocks for line in block.splitlines())
    parts = (part.strip() for line in lines for part in line.partition(" #")[0].split("&&"))
    commands = {part for part in parts if part.startswith("scaiwave ")}
    # A placeholder, a variable or a line that goes on needs more than this test can give it.
    return sorted(part for part in commands if not re.search(r"[<>$|\\…]", part))


def find_commands_in_prose(page: str) -> list[str]:
    """Return the complete `scaiwave …` commands of the running text."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)
    quoted = (" ".join(command.split()) for command in re.findall(r"`(scaiwave [^`]+)`", prose))
    return [command for command in quoted if "<" not in command and "room.zip" not in command]


def run(command: str, **options: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "scaiwave", command
    return subprocess.run(
        [sys.executable, "-m", "scaiwave.cli", *words[1:]],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **options},
        cwd=os.environ["SCAIWAVE_HOME"],
        timeout=120,
    )


@pytest.fixture
def sandbox(home: Path, migrated: str) -> Iterator[Sandbox]:
    """Start the sandbox of the tour on a free port, with a migrated database."""
    copy_database(migrated, f"sqlite:///{home / 'scaiwave.sqlite3'}")
    with Sandbox(
        seed=2026, partners=3, tenants=12, people=2000, groups=150, auto_approve=True
    ) as sandbox:
        yield sandbox


def assert_commands_print(page: str, sandbox: Sandbox) -> None:
    for command, expected in find_sessions(page):
        done = run(command.replace(SANDBOX_URL, sandbox.url))
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert_printed(command, done.stdout.replace(sandbox.url, SANDBOX_URL), expected)
    for command in find_commands_in_prose(page):
        done = run(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.once
def test_success_the_tour_prints_the_documented_output(sandbox: Sandbox) -> None:
    assert_commands_print(TOUR, sandbox)


@pytest.mark.once
def test_success_the_readme_prints_the_documented_output(sandbox: Sandbox) -> None:
    register = next(command for command, _ in find_sessions(TOUR) if " register " in command)
    assert run(register.replace(SANDBOX_URL, sandbox.url)).returncode == 0
    assert run("scaiwave sync").returncode == 0
    assert_commands_print(README, sandbox)


def test_success_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_README_LINES


def test_success_links_of_the_readme_exist() -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def assert_printed(command: str, printed: str, expected: list[str]) -> None:
    """Assert that each line is printed, in order; `…` is any number of lines, or part of one."""
    lines = printed.splitlines()
    position = 0
    skipping = not expected
    for wanted in expected:
        if wanted == ELLIPSIS:
            skipping = True
            continue
        matches = [
            index
            for index in range(position, len(lines))
            if fnmatchcase(_squeezed(lines[index]), _pattern(wanted))
        ]
        assert matches, f"{command} does not print {wanted!r}:\n{printed}"
        assert skipping or matches[0] == position, f"{command} prints more before {wanted!r}"
        position, skipping = matches[0] + 1, False


def _squeezed(line: str) -> str:
    return " ".join(line.split())  # columns are as wide as their widest cell


def _pattern(wanted: str) -> str:
    return _squeezed(wanted).replace("[", "[[]").replace(ELLIPSIS, "*")


@pytest.mark.parametrize("command", find_shell_lines())
def test_success_the_commands_of_the_shell_blocks_exist(command: str, home: Path) -> None:
    """They need a server or a terminal, or never end, so only their options are checked."""
    words = shlex.split(command)[1:]
    plain = " ".join(shlex.quote(word) for word in words if not word.startswith("--"))
    done = run(f"scaiwave {plain} --help")
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout, f"{command}: {option} is not an option"


def test_success_every_command_is_documented() -> None:
    from scaiwave.cli.verbs import VERBS

    shown = TOUR + (ROOT / "docs/reference/command-reference.md").read_text(encoding="utf-8")
    for words in VERBS:
        assert " ".join(words) in shown, words
