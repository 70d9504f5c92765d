"""What the wheel and the tools of editors need."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_success_every_package_is_typed() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []


def list_texts(package: Path) -> Iterator[tuple[Path, str]]:
    """Return the texts of a package that an operator can read."""
    for path in (path for path in package.rglob("*") if path.suffix in (".html", ".tsv")):
        yield path, path.read_text(encoding="utf-8")
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in set(ast.walk(tree)) - docstrings:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


def test_success_no_text_names_a_page_that_the_wheel_does_not_have() -> None:
    """Only `remedy` has increments: it is a text of the documentation."""
    packages = [
        ROOT / name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    texts = [pair for package in packages for pair in list_texts(package)]
    deploy = ROOT / "scripts/deploy"
    texts += [(path, path.read_text(encoding="utf-8")) for path in deploy.iterdir()]
    assert len(texts) > 10_000
    page = re.compile(r"(?<!\]\()(?<![\w./-])[\w./-]+\.md\b")
    assert [(path.name, match[0]) for path, text in texts if (match := page.search(text))] == []


def test_success_hooks_call_the_tools_of_the_check() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    check = (ROOT / "scripts/check").read_text(encoding="utf-8")
    hooks = [hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
    checks = dict(re.findall(r'^check \'(.+)\' (?:"\$bin/)?(.+)$', check, re.MULTILINE))
    for hook in hooks:
        tool = hook["entry"].removeprefix(".venv/bin/").replace(" --force-exclude", "")
        wanted = checks[hook["name"]].replace('"', "").replace(" --check .", "").removesuffix(" .")
        assert tool == wanted, hook["id"]
