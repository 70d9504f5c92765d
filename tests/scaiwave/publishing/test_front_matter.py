from __future__ import annotations

import pytest

from scaiwave.publishing.errors import InvalidPage
from scaiwave.publishing.front_matter import read_front_matter
from tests.scaiwave.publishing.folder import page

SHAPE = (
    "Begin the page with a line ---, then title, path, audience, summary, status, then a line ---."
)
PATH = (
    "Write it without a slash at either end and without .md, of small letters, digits and single "
    "hyphens, as operator-suite/roles."
)


def problems(text: str) -> list[tuple[str, str]]:
    found = read_front_matter(text, file="a.md").problems
    assert all(isinstance(problem, InvalidPage) for problem in found)
    return [(problem.message, problem.fix) for problem in found]


def test_success() -> None:
    front = read_front_matter(
        page("Roles: a tale", "suite/roles", title='"Roles: a tale"'), file="a"
    )
    assert front.problems == ()
    assert front.lines == 7
    assert front.fields == {
        "title": "Roles: a tale",
        "path": "suite/roles",
        "audience": "operators",
        "summary": "What it says.",
        "status": "published",
    }


def test_success_values_are_texts_whatever_yaml_makes_of_them() -> None:
    text = page("2026-11-24", "1", summary="yes")
    fields = read_front_matter(text, file="a").fields
    assert (fields["title"], fields["path"], fields["summary"]) == ("2026-11-24", "1", "yes")


@pytest.mark.parametrize("path", ["a", "suite/a-b/c2", "2026"])
def test_success_paths(path: str) -> None:
    assert problems(page("A", path)) == []


@pytest.mark.parametrize(
    "path", ["/a", "a/", "a.md", "A", "a//b", "a b", "../a", "-a", "a--b", "ä", "a/_search"]
)
def test_fail_paths(path: str) -> None:
    assert problems(page("A", path)) == [(f"The front matter of a.md says path: {path}.", PATH)]


def test_fail_none() -> None:
    assert problems("# A\n\nText.\n") == [("a.md has no front matter.", SHAPE)]
    assert problems("") == [("a.md has no front matter.", SHAPE)]


def test_fail_no_end() -> None:
    assert problems("---\ntitle: A\n\n# A\n") == [("The front matter of a.md has no end.", SHAPE)]


def test_fail_not_yaml() -> None:
    fix = "Put a value with a colon or quotation marks in it into quotation marks."
    told = [("The front matter of a.md is not YAML, line 4.", fix)]
    assert problems(page("A", "a", audience="b: c")) == told


@pytest.mark.parametrize("block", ["", "just words", "- a\n- b"])
def test_fail_no_fields(block: str) -> None:
    assert problems(f"---\n{block}\n---\n# A\n") == [
        ("The front matter of a.md has no fields.", SHAPE)
    ]


def test_fail_not_one_text() -> None:
    told = [("a.md, line 4: not a field with one text.", SHAPE)]
    assert problems(page("A", "a", audience="[operators, developers]")) == told


def test_fail_twice() -> None:
    told = [("a.md, line 7: the field title stands there twice.", "Leave one of them out.")]
    assert problems(page("A", "a", status="published\ntitle: B")) == told


@pytest.mark.parametrize("name", ["title", "path", "audience", "summary", "status"])
def test_fail_missing(name: str) -> None:
    told = [(f"The front matter of a.md has no {name}.", f"Add {name}.")]
    assert problems(page("A", "a", **{name: ""})) == told
    assert problems(page("A", "a").replace(f"{name}:", "# no", 1)) == told


def test_fail_unknown() -> None:
    told = [
        (
            "The front matter of a.md has a field order, which is none.",
            "Take one of title, path, audience, summary, status.",
        )
    ]
    assert problems(page("A", "a", order="3")) == told


@pytest.mark.parametrize(
    ("name", "wanted"), [("audience", "operators or developers"), ("status", "published or draft")]
)
def test_fail_choices(name: str, wanted: str) -> None:
    told = [(f"The front matter of a.md says {name}: all.", f"Write {wanted}.")]
    assert problems(page("A", "a", **{name: "all"})) == told


def test_fail_everything_is_told_at_once() -> None:
    assert len(problems("---\ntitle: A\npath: /a\nstatus: new\n---\n")) == 4
