from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.publishing.errors import PagesNotFound
from scaiwave.publishing.pages import read_pages
from tests.scaiwave.publishing.folder import page, put

OWN = "Give each page a path of its own."


def told(docs: Path, **options: str) -> dict[str, list[str]]:
    return {
        page.file: [problem.message for problem in page.problems]
        for page in read_pages(docs, **options)
    }


def test_success(docs: Path) -> None:
    put(docs, "20-more/deep.md", page("Deep", "more/deep", status="draft"))
    put(docs, ".hidden/a.md", "nothing")
    put(docs, "notes.txt", "nothing")
    pages = read_pages(docs)
    assert [page.file for page in pages] == ["20-more/deep.md", "roles.md", "sync.md"]
    assert [page.path for page in pages] == ["more/deep", "suite/roles", "suite/sync"]
    assert [page.is_draft for page in pages] == [True, False, False]
    assert [page.problems for page in pages] == [(), (), ()]
    assert pages[2].body == "# Sync\n\n## Faults\n\nNone.\n"
    assert pages[2].above == 8


def test_success_title_with_markup(docs: Path) -> None:
    text = page("The `sync`, a *tale*", "a").replace("The `sync`, a *tale*", "The sync, a tale", 1)
    put(docs, "sync.md", text)
    assert told(docs)["sync.md"] == []


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_fail_no_pages(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PagesNotFound) as caught:
        read_pages(tmp_path / name)
    assert caught.value.message == f"There is no page (*.md) in {tmp_path / name}."
    assert caught.value.fix == "Name the folder of the pages with --docs."


def test_fail_not_text(docs: Path) -> None:
    (docs / "sync.md").write_bytes(b"---\ntitle: \xff\n")
    assert told(docs) == {"roles.md": [], "sync.md": ["sync.md can't be read: it is not UTF-8."]}


def test_fail_no_file(docs: Path) -> None:
    (docs / "sync.md").unlink()
    (docs / "sync.md").symlink_to("nowhere")
    assert told(docs)["sync.md"] == ["sync.md can't be read: No such file or directory."]


@pytest.mark.parametrize("begin", ["Text first.\n\n# Sync", "## Sync", ""])
def test_fail_no_heading(begin: str, docs: Path) -> None:
    put(docs, "sync.md", page("Sync", "suite/sync").replace("# Sync", begin, 1))
    assert told(docs)["sync.md"] == ["sync.md does not begin with its heading."]


def test_fail_other_heading(docs: Path) -> None:
    put(docs, "sync.md", page("Sync", "suite/sync").replace("# Sync", "# The sync", 1))
    assert told(docs)["sync.md"] == ["sync.md has the title “Sync” and the heading “The sync”."]


def test_fail_same_path(docs: Path) -> None:
    put(docs, "sync.md", page("Sync", "suite/roles"))
    assert told(docs) == {
        "roles.md": ["roles.md has the path suite/roles, and so has sync.md."],
        "sync.md": ["sync.md has the path suite/roles, and so has roles.md."],
    }
    assert read_pages(docs)[0].problems[0].fix == OWN


def test_fail_reserved_path(docs: Path) -> None:
    message = "sync.md has the path suite/sync, which the list of pages has."
    assert told(docs, reserved="suite/sync")["sync.md"] == [message]
