from __future__ import annotations

import pytest

from scaiwave.publishing.pages import InvalidPage, read_front_matter
from tests.scaiwave.publishing.factories import make_page

FORM = (
    "Begin the page with a line ---, the fields title, path, audience, summary, status, and a line "
    "---."
)
PATH = (
    "Use lower-case letters, digits and single hyphens, separated by slashes, without a slash at "
    "either end and without .md, for example operator-suite/roles."
)


def list_problems(text: str) -> list[tuple[str, str]]:
    problems = read_front_matter(text, file="a.md").problems
    assert all(isinstance(problem, InvalidPage) for problem in problems)
    return [(problem.message, problem.fix) for problem in problems]


def test_success() -> None:
    front = read_front_matter(
        make_page("Roles: a tale", "suite/roles", title='"Roles: a tale"'), file="a"
    )
    assert front.problems == ()
    assert front.lines == 7
    assert front.fields == {
        "title": "Roles: a tale",
        "path": "suite/roles",
        "audience": "operators",
        "summary": "A summary.",
        "status": "published",
    }


def test_success_values_are_texts_whatever_yaml_makes_of_them() -> None:
    text = make_page("2026-11-24", "1", summary="yes")
    fields = read_front_matter(text, file="a").fields
    assert (fields["title"], fields["path"], fields["summary"]) == ("2026-11-24", "1", "yes")


@pytest.mark.parametrize("path", ["a", "suite/a-b/c2", "2026"])
def test_success_paths(path: str) -> None:
    assert list_problems(make_page("A", path)) == []


@pytest.mark.parametrize(
    "path", ["/a", "a/", "a.md", "A", "a//b", "a b", "../a", "-a", "a--b", "ä", "a/_search"]
)
def test_fail_paths(path: str) -> None:
    assert list_problems(make_page("A", path)) == [
        (f"Invalid page: a.md: invalid path: {path}.", PATH)
    ]


def test_fail_no_front_matter() -> None:
    assert list_problems("# A\n\nText.\n") == [("Invalid page: a.md: no front matter.", FORM)]
    assert list_problems("") == [("Invalid page: a.md: no front matter.", FORM)]


def test_fail_no_end() -> None:
    assert list_problems("---\ntitle: A\n\n# A\n") == [
        ("Invalid page: a.md: the front matter has no end.", FORM)
    ]


@pytest.mark.parametrize(
    ("fields", "problem", "fix"),
    [
        (
            {"audience": "b: c"},
            "a.md, line 4: the front matter is not YAML.",
            "Quote values that contain a colon or quotation marks.",
        ),
        (
            {"audience": "[operators, developers]"},
            "a.md, line 4: not a field with a single text.",
            FORM,
        ),
        (
            {"status": "published\ntitle: B"},
            "a.md, line 7: duplicate field title.",
            "Remove one of the two.",
        ),
        (
            {"order": "3"},
            "a.md: unknown field order.",
            "Use only the fields title, path, audience, summary, status.",
        ),
        ({"audience": "all"}, "a.md: invalid audience: all.", "Use operators or developers."),
        ({"status": "all"}, "a.md: invalid status: all.", "Use published or draft."),
    ],
)
def test_fail_field(fields: dict[str, str], problem: str, fix: str) -> None:
    assert list_problems(make_page("A", "a", **fields)) == [(f"Invalid page: {problem}", fix)]


@pytest.mark.parametrize("block", ["", "just words", "- a\n- b"])
def test_fail_no_fields(block: str) -> None:
    assert list_problems(f"---\n{block}\n---\n# A\n") == [
        ("Invalid page: a.md: the front matter has no fields.", FORM)
    ]


@pytest.mark.parametrize("name", ["title", "path", "audience", "summary", "status"])
def test_fail_missing(name: str) -> None:
    expected = [(f"Invalid page: a.md: missing field {name}.", f"Add the field {name}.")]
    assert list_problems(make_page("A", "a", **{name: ""})) == expected
    assert list_problems(make_page("A", "a").replace(f"{name}:", "# no", 1)) == expected


def test_fail_all_problems_are_reported_together() -> None:
    assert len(list_problems("---\ntitle: A\npath: /a\nstatus: new\n---\n")) == 4
