"""What Markdown holds that matters for publishing: headings, anchors and links.

A parser reads it. Its tokens don't say where in a line a link stands, so `links.py` looks for that
in the text, where `blank_code` has blanked what is no link.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NO_SLUG = re.compile(r"[^\w\- ]")
_HTML_ANCHOR = re.compile(r"<[a-z][^>]*\s(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*\s(?:href|src)\s*=", re.IGNORECASE)
# An escaped character, a code span, or backticks that open none.
_ESCAPED_OR_CODE = re.compile(r"\\[^\n]|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|`+", re.DOTALL)
BLANK = "\0"


@dataclass(frozen=True)
class Heading:
    """`line` counts from 1, within the text that was parsed."""

    level: int
    text: str
    line: int


@dataclass(frozen=True)
class Link:
    """`target` is as the parser normalises it: percent-encoded where it has to be."""

    target: str
    line: int
    is_image: bool = False


@dataclass(frozen=True)
class Outline:
    """`html_links` are the lines of links that are written in HTML."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    anchors: frozenset[str]
    html_links: tuple[int, ...]
    starts_with_heading: bool


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def normalize_url(target: str) -> str:
    return _parser().normalizeLink(target)


def parse_outline(text: str) -> Outline:
    tokens = _parser().parse(text)
    headings = tuple(_headings(tokens))
    html = [token for token in _flat(tokens) if token.type in ("html_block", "html_inline")]
    anchors = {name for token in html for name in _HTML_ANCHOR.findall(token.content)}
    return Outline(
        headings=headings,
        links=tuple(_links(tokens)),
        anchors=frozenset(anchors.union(slugs(heading.text for heading in headings))),
        html_links=tuple(_html_links(tokens)),
        starts_with_heading=bool(tokens) and tokens[0].type == "heading_open",
    )


def _flat(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _headings(tokens: list[Token]) -> Iterator[Heading]:
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open":
            kept = (child for child in inside.children or () if child.type in _WORDS)
            text = "".join(" " if child.type == "softbreak" else child.content for child in kept)
            yield Heading(int(opening.tag[1:]), text.strip(), _line(opening))


_WORDS = ("text", "code_inline", "softbreak")


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _links(tokens: list[Token]) -> Iterator[Link]:
    for block in tokens:
        line = _line(block)
        for token in block.children or ():
            if token.type in ("softbreak", "hardbreak"):
                line += 1
            elif token.type == "link_open":
                yield Link(str(token.attrs["href"]), line)
            elif token.type == "image":
                yield Link(str(token.attrs["src"]), line, is_image=True)


def _html_links(tokens: list[Token]) -> Iterator[int]:
    for block in tokens:
        if any(
            token.type in ("html_block", "html_inline") and _HTML_LINK.search(token.content)
            for token in (block, *(block.children or ()))
        ):
            yield _line(block)


def slugs(headings: Iterable[str]) -> list[str]:
    """The anchors of headings as GitHub makes them: the second `## Faults` is `faults-1`."""
    seen: Counter[str] = Counter()
    made = []
    for text in headings:
        slug = plain = _NO_SLUG.sub("", text.strip().lower()).replace(" ", "-")
        while slug in seen:
            seen[plain] += 1
            slug = f"{plain}-{seen[plain]}"
        seen[slug] += 0
        made.append(slug)
    return made


def blank_code(text: str) -> str:
    """The text with everything blanked that can be no link, each character in its place.

    Left are the lines that hold words, without code and escaped characters. A code span ends
    where its block ends.
    """
    lines = text.split("\n")
    blank = [BLANK * len(line) for line in lines]
    inline = [token.map for token in _parser().parse(text) if token.type == "inline"]
    for start, end in {(place[0], place[1]) for place in inline if place}:
        words = _ESCAPED_OR_CODE.sub(_blank, "\n".join(lines[start:end]))
        blank[start:end] = words.split("\n")
    return "\n".join(blank)


def _blank(found: re.Match[str]) -> str:
    if not found["ticks"] and found.group().startswith("`"):
        return found.group()
    return "".join("\n" if character == "\n" else BLANK for character in found.group())
