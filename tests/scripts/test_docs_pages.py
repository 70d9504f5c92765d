"""Every page has the form that docs/CONTRIBUTING.md describes, and is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.check_docs import find_missing

DOCS = Path(__file__).resolve().parents[2] / "docs"
KINDS = ("tutorials", "how-to", "reference", "explanation")
PAGES = sorted(DOCS.rglob("*.md"))


def read_body(page: Path) -> str:
    """Return the text below the heading."""
    return re.sub(r"^---\n.*?\n---\n\n# [^\n]+\n\n", "", page.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_success_scope_and_related_pages(page: Path) -> None:
    body = read_body(page)
    scope = body.partition("\n\n")[0]
    assert re.fullmatch(r"[A-Z`][^#|]+\.", scope), "begins with a sentence of scope"
    assert re.findall(r"^## .*", body, re.MULTILINE)[-1] == "## See also"


def test_success_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    files = [page.relative_to(DOCS).as_posix() for page in PAGES]
    assert [file for file in files if file != "index.md" and f"]({file})" not in index] == []


def test_success_every_page_has_a_kind() -> None:
    directories = {page.relative_to(DOCS).parts[0] for page in PAGES if page.parent != DOCS}
    # The platform's documentation names a page below integrations/.
    assert directories == {*KINDS, "integrations"}


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("scripts/check --fix", []),
        ("tests/scripts, scripts/chek", ["scripts/chek"]),
        ("<app>/management/commands/<name>.py", []),
        ("rooms/moves/import_tenant, rooms/moves/import_tennant", ["rooms/moves/import_tennant"]),
        ("scaiwave.core.change.Change", []),
        ("scaiwave.core.change.Chnge", ["scaiwave.core.change.Chnge"]),
        ("scaiwave.core.chnge.Change", ["scaiwave.core.chnge.Change"]),
        ("rooms.view_room", []),  # a permission
    ],
)
def test_fail_names_of_files_and_modules_that_do_not_exist(code: str, missing: list[str]) -> None:
    assert list(find_missing(f"See `{code}`, not scripts/nothing.")) == missing
