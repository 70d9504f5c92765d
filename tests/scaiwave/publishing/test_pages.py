from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.publishing.pages import PagesNotFound, read_pages
from tests.scaiwave.publishing.factories import make_page, write_page

UNIQUE_PATH = "Give each page its own path."


def list_problems(docs: Path, **options: str) -> dict[str, list[str]]:
    return {
        page.file: [problem.message for problem in page.problems]
        for page in read_pages(docs, **options)
    }


def test_success(docs: Path) -> None:
    write_page(docs, "20-more/deep.md", make_page("Deep", "more/deep", status="draft"))
    write_page(docs, ".hidden/a.md", "nothing")
    write_page(docs, "notes.txt", "nothing")
    pages = read_pages(docs)
    assert [page.file for page in pages] == ["20-more/deep.md", "roles.md", "sync.md"]
    assert [page.path for page in pages] == ["more/deep", "suite/roles", "suite/sync"]
    assert [page.is_draft for page in pages] == [True, False, False]
    assert [page.problems for page in pages] == [(), (), ()]
    assert pages[2].body == "# Sync\n\n## Faults\n\nNone.\n"
    assert pages[2].body_start == 8


def test_success_title_with_markup(docs: Path) -> None:
    text = make_page("The `sync`, a *tale*", "a").replace(
        "The `sync`, a *tale*", "The sync, a tale", 1
    )
    write_page(docs, "sync.md", text)
    assert list_problems(docs)["sync.md"] == []


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_fail_no_pages(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PagesNotFound) as caught:
        read_pages(tmp_path / name)
    assert caught.value.message == (
        f"No pages found: {tmp_path / name} contains no Markdown file (*.md)."
    )
    assert caught.value.fix == "Name the directory of the pages with --docs."


def test_fail_not_text(docs: Path) -> None:
    (docs / "sync.md").write_bytes(b"---\ntitle: \xff\n")
    assert list_problems(docs) == {
        "roles.md": [],
        "sync.md": ["Page can't be read: sync.md: it is not UTF-8."],
    }


def test_fail_no_file(docs: Path) -> None:
    (docs / "sync.md").unlink()
    (docs / "sync.md").symlink_to("nowhere")
    assert list_problems(docs)["sync.md"] == [
        "Page can't be read: sync.md: No such file or directory."
    ]


@pytest.mark.parametrize(
    ("begin", "problem"),
    [
        *(
            (begin, "the text does not begin with its heading.")
            for begin in ("Text first.\n\n# Sync", "## Sync", "")
        ),
        ("# The sync", "the title is “Sync”, but the heading is “The sync”."),
    ],
)
def test_fail_heading(begin: str, problem: str, docs: Path) -> None:
    write_page(docs, "sync.md", make_page("Sync", "suite/sync").replace("# Sync", begin, 1))
    assert list_problems(docs)["sync.md"] == [f"Invalid page: sync.md: {problem}"]


def test_fail_same_path(docs: Path) -> None:
    write_page(docs, "sync.md", make_page("Sync", "suite/roles"))
    assert list_problems(docs) == {
        "roles.md": ["Invalid page: roles.md: the path suite/roles is also used by sync.md."],
        "sync.md": ["Invalid page: sync.md: the path suite/roles is also used by roles.md."],
    }
    assert read_pages(docs)[0].problems[0].fix == UNIQUE_PATH


def test_fail_reserved_path(docs: Path) -> None:
    message = "Invalid page: sync.md: the path suite/sync is reserved for the list of pages."
    assert list_problems(docs, reserved="suite/sync")["sync.md"] == [message]
