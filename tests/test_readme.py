"""The README is a contract too: its commands run, its output is what they print."""

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

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SANDBOX_URL = "http://127.0.0.1:8790"
ELLIPSIS = "…"


def fenced(language: str) -> list[str]:
    """The bodies of the fenced blocks in a language, with the indentation of lists taken off."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in blocks]


def sessions() -> list[tuple[str, list[str]]]:
    """Every `$ command` of the console blocks, with the lines it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in fenced("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def shell_lines() -> list[str]:
    """The `scaiwave …` lines of the shell blocks, without their comments."""
    lines = (line for block in fenced("sh") for line in block.splitlines())
    parts = (part.strip() for line in lines for part in line.partition(" #")[0].split("&&"))
    return [part for part in parts if part.startswith("scaiwave ")]


def in_the_text() -> list[str]:
    """The `scaiwave …` of the running text that leave nothing open to the reader."""
    prose = re.sub(r"^ *```.*?^ *```$", "", README, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`(scaiwave [^`]+)`", prose)
    typed = (" ".join(command.split()) for command in found)
    return [command for command in typed if "<" not in command and "room.zip" not in command]


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
def demo(home: Path) -> Iterator[Sandbox]:
    """The sandbox that the README starts, on a port of its own, and a migrated home."""
    with Sandbox(
        seed=2026, partners=3, tenants=12, people=2000, groups=150, auto_approve=True
    ) as sandbox:
        assert run("scaiwave manage migrate --verbosity 0").returncode == 0
        yield sandbox


def test_success_the_tour_prints_what_it_says(demo: Sandbox) -> None:
    for command, expected in sessions():
        done = run(command.replace(SANDBOX_URL, demo.url))
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert_printed(command, done.stdout.replace(demo.url, SANDBOX_URL), expected)
    for command in in_the_text():
        done = run(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def assert_printed(command: str, printed: str, expected: list[str]) -> None:
    """Each line in its order; `…` stands for any number of lines, or for part of one."""
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


@pytest.mark.parametrize("command", shell_lines())
def test_success_the_commands_of_the_shell_blocks_exist(command: str, home: Path) -> None:
    """They need a server, a terminal or for ever, so here it is their options that are checked."""
    words = shlex.split(command)[1:]
    redis = "redis://127.0.0.1:1/0" if {"rqworker", "rqcron"} & set(words) else ""
    plain = " ".join(shlex.quote(word) for word in words if not word.startswith("--"))
    done = run(f"scaiwave {plain} --help", SCAIWAVE_REDIS_URL=redis)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout, f"{command}: {option} is not an option"


def test_success_every_verb_that_works_is_shown_somewhere() -> None:
    from scaiwave.cli.verbs import VERBS

    shown = README + (ROOT / "docs/reference/command-reference.md").read_text(encoding="utf-8")
    for words in VERBS:
        assert " ".join(words) in shown, words
