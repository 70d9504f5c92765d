"""Every test asserts something: itself, or through a helper that is named `assert_…`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import conftest

TESTS = Path(__file__).resolve().parent
ASSERTING_CALLS = {"fail", "raises", "warns", "refuses"}
"""Functions of pytest, and one of `tests.refusals`, that fail a test."""


def find_tests_without_assertions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not any(is_assertion(inner) for inner in ast.walk(node))
        ):
            yield node.name


def is_assertion(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Assert)
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    return called in ASSERTING_CALLS or called.startswith("assert_")


def test_success_every_test_asserts() -> None:
    missing = [
        f"{path.relative_to(TESTS)}: {name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for name in find_tests_without_assertions(path.read_text(encoding="utf-8"))
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("run()", ["test_a"]),
        ("", ["test_a"]),
        ("assert run()", []),
        ("for one in (1, 2):\n        assert run(one)", []),
        ("with pytest.raises(ValueError):\n        run()", []),
        ("assert_running()", []),
        ("self.assert_running()", []),
    ],
)
def test_success_what_counts_as_an_assertion(body: str, missing: list[str]) -> None:
    assert list(find_tests_without_assertions(f"def test_a():\n    {body or 'pass'}\n")) == missing


def test_fail_a_test_that_has_not_run(request: pytest.FixtureRequest) -> None:
    def yields() -> Iterator[None]:
        yield

    function = pytest.Function.from_parent(request.node.parent, name="f", callobj=yields)
    with pytest.raises(AssertionError, match="returned <generator"):
        conftest.pytest_pyfunc_call(function)
