from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.publishing.errors import DeadLink
from scaiwave.publishing.links import LinkTarget, SiteIndex, _rewritten, rewrite_links
from scaiwave.publishing.markdown import parse_outline
from scaiwave.publishing.pages import read_pages
from tests.scaiwave.publishing.folder import page, put


def placed(docs: Path, text: str, *, status: str = "published") -> tuple[str, list[DeadLink]]:
    """The text of a page beside roles.md and sync.md, with its links placed."""
    put(docs, "more/here.md", page("Here", "more/here", text=text, status=status))
    pages = {page.file: page for page in read_pages(docs)}
    site = SiteIndex(list(pages.values()), docs=docs, namespace="scaiwave")
    body, problems = rewrite_links(pages["more/here.md"], site)
    return body.removeprefix("# Here\n\n").removesuffix("\n"), problems


@pytest.mark.parametrize(
    ("text", "wanted"),
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
    ],
)
def test_success(text: str, wanted: str | None, docs: Path) -> None:
    put(docs.parent, "README.md", "# Read\n\n## Use\n")
    put(docs.parent, "scripts/test", "")
    put(docs, "LICENSE", "")
    body, problems = placed(docs, text)
    assert problems == []
    if wanted is None:
        wanted = "[`a`\nb [c]](/docs/scaiwave/suite/sync) [d](/docs/scaiwave/suite/roles)"
    assert body == wanted


def test_success_anchor_in_another_script(docs: Path) -> None:
    put(docs, "sync.md", page("Sync", "suite/sync", text="## Größe"))
    put(docs, "roles.md", page("Roles", "suite/roles"))
    body, problems = placed(docs, "[a](../sync.md#größe)")
    assert problems == []
    assert body == "[a](/docs/scaiwave/suite/sync#gr%C3%B6%C3%9Fe)"


def test_success_draft_links_to_draft(docs: Path) -> None:
    put(docs, "plan.md", page("Plan", "suite/plan", status="draft"))
    assert placed(docs, "[a](../plan.md)", status="draft")[1] == []


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        (
            "One\n[a](../gone.md)",
            "more/here.md, line 12, links to ../gone.md, which does not exist.",
            "Correct it, or take it out.",
        ),
        (
            "[a](../sync.md#fault)",
            "more/here.md, line 11, links to ../sync.md#fault, and sync.md has no such heading.",
            "Take the anchor of a heading of sync.md, or leave it out.",
        ),
        (
            "[a](#there)",
            "more/here.md, line 11, links to #there, and more/here.md has no such heading.",
            "Take the anchor of a heading of more/here.md, or leave it out.",
        ),
        (
            "[a](../../README.md#none)",
            "more/here.md, line 11, links to ../../README.md#none, and README.md has no such "
            "heading.",
            "Take the anchor of a heading of README.md, or leave it out.",
        ),
        (
            "[a](../../../outside.md)",
            "more/here.md, line 11, links to ../../../outside.md, which does not exist.",
            "Correct it, or take it out.",
        ),
        (
            "![a](../a.png)",
            "more/here.md, line 11, shows ../a.png, and images are not published.",
            "Say it in words.",
        ),
        (
            "[a](../plan.md)",
            "more/here.md, line 11, links to ../plan.md, which is a draft.",
            "Take the link out, or publish plan.md too.",
        ),
        (
            "[a](../bare.md)",
            "more/here.md, line 11, links to ../bare.md, which has no path.",
            "Mend the front matter of bare.md.",
        ),
        (
            '<a href="../sync.md">a</a>',
            "more/here.md, line 11, has a link in HTML, which is not checked.",
            "Write it as [text](target).",
        ),
        (
            "[a][r]\n\n[r]: ../sync.md",
            "more/here.md has a link that can't be rewritten for the site.",
            "Write links to pages and files as [text](target), not as references.",
        ),
    ],
)
def test_fail(text: str, message: str, fix: str, docs: Path) -> None:
    put(docs.parent, "README.md", "# Read\n")
    put(docs.parent.parent, "outside.md", "# Outside\n")
    put(docs, "plan.md", page("Plan", "suite/plan", status="draft"))
    put(docs, "bare.md", "# Bare\n")
    problems = placed(docs, text)[1]
    assert [(problem.message, problem.fix) for problem in problems] == [(message, fix)]


def test_fail_all_are_told(docs: Path) -> None:
    assert len(placed(docs, "[a](b.md) [c](d.md) [e](#f)")[1]) == 3


PIECES = st.sampled_from(
    ["[a](b.md)", "`[c](b.md)`", "[d](e.md)", "\n\n", "```\n", "`", "\\", " x "]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_success_code_stays_and_links_are_as_many(text: str) -> None:
    new = _rewritten(text, {"b.md": LinkTarget(address="/B"), "e.md": LinkTarget(address="e.md")})
    expected = [link.target.replace("b.md", "/B") for link in parse_outline(text).links]
    assert [link.target for link in parse_outline(new).links] == expected
