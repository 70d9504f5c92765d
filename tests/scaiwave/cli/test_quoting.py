"""Values in commands that a message suggests are quoted, and long input is shortened."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaiwave.cli import main
from scaiwave.console.text import MAX_QUOTED_CHARS, shorten, shorten_input

TOP = Path(__file__).parents[3]
PACKAGES = ("scaiwave", "tenants", "identity_sync", "federation", "rooms", "scripts")

# Expressions whose values are this suite's own words or numbers, or commands that are quoted where
# they are built.
OWN_WORDS = {
    "MIN_AUDIT_DAYS",
    "VERBS[words].command",
    "' '.join(_list_usage(self))",
    "' '.join(alias)",
    "SCOPE_LIST",
    "alias",  # of one of the suite's commands
    "__version__",
    "built_in",
    "command",
    "count",
    "count + 1",
    "effect",
    "format_apply_command(plan)",
    "group",
    "rules.kind",
    "kind",
    "name",  # of one of the suite's commands, in scaiwave.cli.hints
    "other.pk",
    "person.pk",
    "plan.apply_command",
    "plan.command",
    "plan_command",
    "prefix",
    "rename",
    "required_scope",
    "run.pk",
    "runs[0].pk",
    "self._page.next_id",
    "self.printed * 10",
    "slug",  # of a built-in role, or quoted before
    "total",
    "words",  # of a command in the pages
    "alternative",
}
NOT_A_COMMAND = (
    "scaiwave/cli/completion/",
    "scaiwave/publishing/",
    "rooms/bundle/",
    "scripts/bench",
)


def find_unquoted_values() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((TOP / package).rglob("*.py")):
            name = path.relative_to(TOP).as_posix()
            if name.startswith(NOT_A_COMMAND) or "/sandbox/" in name:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    for value in iter_command_values(node):
                        text = ast.unparse(value.value)
                        if (
                            not re.match(r"(shlex\.)?(quote|join)\(", text)
                            and text not in OWN_WORDS
                        ):
                            yield f"{name}:{value.lineno}: {text}"


def iter_command_values(node: ast.JoinedStr) -> Iterator[ast.FormattedValue]:
    """Yield the values inside of a command between backticks, and those behind an option."""
    is_code, text = False, ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            for piece in re.split("(`)", str(part.value)):
                is_code, text = (not is_code, "") if piece == "`" else (is_code, text + piece)
        elif isinstance(part, ast.FormattedValue):
            is_command = is_code and re.match(r"(scaiwave|chmod|--)", text)
            if is_command or re.search(r"(?:Add|Pass) --[a-z-]+ $", text):
                yield part
            text += "…"


def test_success_every_value_in_a_suggested_command_is_quoted() -> None:
    assert list(find_unquoted_values()) == []


@pytest.mark.parametrize("length", [MAX_QUOTED_CHARS, MAX_QUOTED_CHARS + 1, 100_000])
@pytest.mark.parametrize(
    "words",
    [
        ["admin", "show-tenant", "{}"],
        ["admin", "show-participant", "{}", "--json"],
        ["admin", "create-tenant", "--local", "--slug", "{}", "--name", "X"],
        ["admin", "create-tenant", "--local", "--slug", "x", "--name={}"],
        ["role", "show", "{}", "--tenant", "{}"],
        ["room", "search", "a", "--tenant", "{}"],
        ["{}"],
        ["admin", "{}"],
        ["admin", "list-tenants", "--{}"],
        ["admin", "list-tenants", "--limit", "{}"],
        ["admin", "list-tenants", "--columns", "{}"],
        ["sync", "show-run", "{}"],
        ["manage", "{}"],
    ],
    ids=" ".join,
)
@pytest.mark.django_db
def test_fail_long_input_is_shortened(
    words: list[str], length: int, capfd: pytest.CaptureFixture[str]
) -> None:
    long = "a b'ç " * (length // 6) + "x" * (length % 6)
    for text in (long, "y" * length):
        assert main([word.format(text) for word in words]) != 0
        error = capfd.readouterr().err
        if "--json" in words:
            body = json.loads(error)["error"]
            error = body["message"] + body["fix"]
        assert len(error) < 3000
        assert max(map(len, error.split())) <= MAX_QUOTED_CHARS + 20
        if length > MAX_QUOTED_CHARS:
            assert text not in error


def test_success_shorten() -> None:
    assert shorten("a" * 200) == "a" * 200
    assert shorten("a" * 201) == "a" * 199 + "…"
    assert shorten_input("Tenant not found: acme.", ["acme"]) == "Tenant not found: acme."
    assert shorten_input(f"Not found: {'a ' * 150}.", ["a " * 150]) == f"Not found: {'a ' * 99}a…."
    assert shorten_input(f"Bad: {'a' * 300}", []) == f"Bad: {'a' * 199}…"
