from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.publishing.pages import (
    DeadLink,
    LinkTarget,
    SiteIndex,
    _rewrite_body,
    parse_outline,
    read_pages,
    rewrite_links,
)
from tests.scaiwave.publishing.factories import make_page, write_page


def rewrite(docs: Path, text: str, *, status: str = "published") -> tuple[str, list[DeadLink]]:
    """Rewrite the links of a page next to roles.md and sync.md; return its text and problems."""
    write_page(docs, "more/here.md", make_page("Here", "more/here", text=text, status=status))
    pages = {page.file: page for page in read_pages(docs)}
    site = SiteIndex(list(pages.values()), docs=docs, namespace="scaiwave")
    body, problems = rewrite_links(pages["more/here.md"], site)
    return body.removeprefix("# Here\n\n").removesuffix("\n"), problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](../roles.md)", "[a](/docs/scaiwave/suite/roles)"),
        ("[a](../sync.md#faults)", "[a](/docs/scaiwave/suite/sync#faults)"),
        ("[a]( <../sync.md> 'b' )", "[a](/docs/scaiwave/suite/sync 'b')"),
        ("[`a`\nb [c]](../sync.md) [d](../roles.md)", None),
        ("[a](here.md#here) [b](#here)", "[a](/docs/scaiwave/more/here#here) [b](#here)"),
        ("`[a](../gone.md)` and \\[b](../gone.md)", "`[a](../gone.md)` and \\[b](../gone.md)"),
        ("```\n[a](../gone.md)\n```", "```\n[a](../gone.md)\n```"),
        ("[a](https://example.org/b.md#c)", "[a](https://example.org/b.md#c)"),
        ("[a](mailto:b@example.org) [c](/docs/d)", "[a](mailto:b@example.org) [c](/docs/d)"),
        ("[a][r]\n\n[r]: https://example.org", "[a][r]\n\n[r]: https://example.org"),
        ("![a](https://example.org/b.png)", "![a](https://example.org/b.png)"),
        ("[the README](../../README.md#use)", "the README (`README.md`)"),
        ("[`README.md`](../../README.md)", "`README.md`"),
        ("[scripts](../../scripts)", "`scripts`"),
        ("[terms](../LICENSE)", "terms (`docs/LICENSE`)"),
        ("![The start page.](../LICENSE 'x')", "*Picture: The start page.*"),
    ],
)
def test_success(text: str, expected: str | None, docs: Path) -> None:
    write_page(docs.parent, "README.md", "# Read\n\n## Use\n")
    write_page(docs.parent, "scripts/test", "")
    write_page(docs, "LICENSE", "")
    body, problems = rewrite(docs, text)
    assert problems == []
    if expected is None:
        expected = "[`a`\nb [c]](/docs/scaiwave/suite/sync) [d](/docs/scaiwave/suite/roles)"
    assert body == expected


def test_success_anchor_in_another_script(docs: Path) -> None:
    write_page(docs, "sync.md", make_page("Sync", "suite/sync", text="## Größe"))
    write_page(docs, "roles.md", make_page("Roles", "suite/roles"))
    body, problems = rewrite(docs, "[a](../sync.md#größe)")
    assert problems == []
    assert body == "[a](/docs/scaiwave/suite/sync#gr%C3%B6%C3%9Fe)"


def test_success_draft_links_to_draft(docs: Path) -> None:
    write_page(docs, "plan.md", make_page("Plan", "suite/plan", status="draft"))
    assert rewrite(docs, "[a](../plan.md)", status="draft")[1] == []


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        (
            "One\n[a](../gone.md)",
            "Dead link: more/here.md, line 12: ../gone.md: the file does not exist.",
            "Correct the link, or remove it.",
        ),
        (
            "[a](../sync.md#fault)",
            "Dead link: more/here.md, line 11: ../sync.md#fault: sync.md has no such heading.",
            "Use the anchor of a heading of sync.md, or remove the anchor.",
        ),
        (
            "[a](#there)",
            "Dead link: more/here.md, line 11: #there: more/here.md has no such heading.",
            "Use the anchor of a heading of more/here.md, or remove the anchor.",
        ),
        (
            "[a](../../README.md#none)",
            "Dead link: more/here.md, line 11: ../../README.md#none: README.md has no such "
            "heading.",
            "Use the anchor of a heading of README.md, or remove the anchor.",
        ),
        (
            "[a](../../../outside.md)",
            "Dead link: more/here.md, line 11: ../../../outside.md: the file does not exist.",
            "Correct the link, or remove it.",
        ),
        (
            "![a](../a.png)",
            "Dead link: more/here.md, line 11: ../a.png: the file does not exist.",
            "Correct the link, or remove it.",
        ),
        (
            "[a](../plan.md)",
            "Dead link: more/here.md, line 11: ../plan.md: plan.md is a draft.",
            "Remove the link, or publish plan.md too.",
        ),
        (
            "[a](../bare.md)",
            "Dead link: more/here.md, line 11: ../bare.md: bare.md has no path.",
            "Correct the front matter of bare.md.",
        ),
        (
            '<a href="../sync.md">a</a>',
            "Unsupported link: more/here.md, line 11: links in HTML are not checked.",
            "Write it as [text](target).",
        ),
        (
            "[a][r]\n\n[r]: ../sync.md",
            "Unsupported link: more/here.md: a link can't be rewritten for the site.",
            "Write links to pages and files as [text](target), not as reference links.",
        ),
    ],
)
def test_fail(text: str, message: str, fix: str, docs: Path) -> None:
    write_page(docs.parent, "README.md", "# Read\n")
    write_page(docs.parent.parent, "outside.md", "# Outside\n")
    write_page(docs, "plan.md", make_page("Plan", "suite/plan", status="draft"))
    write_page(docs, "bare.md", "# Bare\n")
    problems = rewrite(docs, text)[1]
    assert [(problem.message, problem.fix) for problem in problems] == [(message, fix)]


def test_fail_all_links_are_reported(docs: Path) -> None:
    assert len(rewrite(docs, "[a](b.md) [c](d.md) [e](#f)")[1]) == 3


PIECES = st.sampled_from(
    ["[a](b.md)", "`[c](b.md)`", "[d](e.md)", "\n\n", "```\n", "`", "\\", " x "]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_success_code_stays_and_links_are_as_many(text: str) -> None:
    new = _rewrite_body(
        text, {"b.md": LinkTarget(address="/B"), "e.md": LinkTarget(address="e.md")}
    )
    expected = [link.target.replace("b.md", "/B") for link in parse_outline(text).links]
    assert [link.target for link in parse_outline(new).links] == expected
