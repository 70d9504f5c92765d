from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaiwave.publishing.pages import (
    BLANK,
    Heading,
    Link,
    blank_code,
    build_slugs,
    parse_outline,
)

TEXT = """\
# The `code`, *and* [a link](x.md)

Words
and [more `code`](b.md#c "title")
![image](p.png), `[no](link.md)`, \\[no](link.md)

```md
# No heading
[no](link.md)
```

Set off
-------

| a | b |
|---|---|
| [c](d.md) | <https://example.org> |

<a id="by-hand"></a>[reference][r]

[r]: e.md
"""


def test_success_outline() -> None:
    outline = parse_outline(TEXT)
    assert outline.headings == (
        Heading(1, "The code, and a link", 1),
        Heading(2, "Set off", 12),
    )
    assert outline.links == (
        Link("x.md", 1),
        Link("b.md#c", 4),
        Link("p.png", 5, is_image=True),
        Link("d.md", 17),
        Link("https://example.org", 17),
        Link("e.md", 19),
    )
    assert outline.anchors == {"the-code-and-a-link", "set-off", "by-hand"}
    assert outline.html_links == ()
    assert outline.starts_with_heading


def test_success_html_links() -> None:
    text = 'A <a href="b.md">b</a>.\n\n<p>\n<IMG alt="" src=x.png>\n</p>\n\n`<a href="no">`\n'
    assert parse_outline(text).html_links == (1, 3)


def test_success_empty() -> None:
    assert parse_outline("").headings == ()
    assert not parse_outline("").starts_with_heading


def test_success_slugs() -> None:
    headings = ["Faults", "Faults", "faults-1", "What's new in 2.0?", "a  b", "Größe — 大小", "x_y"]
    assert build_slugs(headings) == [
        "faults",
        "faults-1",
        "faults-1-1",
        "whats-new-in-20",
        "a--b",
        "größe--大小",
        "x_y",
    ]


@given(st.lists(st.text(alphabet="ab -1?Ä", max_size=6)))
def test_success_slugs_are_as_many_and_unique(headings: list[str]) -> None:
    slugs = build_slugs(headings)
    assert len(set(slugs)) == len(headings)


def test_success_without_code_where_backticks_are_escaped() -> None:
    assert blank_code("\\`[a](b)` ``c").replace(BLANK, "") == "[a](b)` ``c"


def test_success_without_code() -> None:
    text = "a `b` ``c ` d`` \\[e\n\n    code\n\n```\nf\n```\n\n`left open\n\nand `g`\n"
    blank = blank_code(text)
    assert len(blank) == len(text)
    assert blank.replace(BLANK, "") == "a   e\n\n\n\n\n\n\n\n`left open\n\nand \n"


@given(st.text(alphabet="`[](x)\\ \n#-", max_size=40))
def test_success_without_code_keeps_every_place(text: str) -> None:
    blank = blank_code(text)
    assert len(blank) == len(text)
    assert all(new in (old, BLANK) for old, new in zip(text, blank, strict=True))
