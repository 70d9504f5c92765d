"""Headings, anchors and links of Markdown text.

The parser's tokens don't give a link's position within its line. So `links.py` searches the text
for links, after `blank_code` has blanked everything that can't be one.
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

_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
_HTML_ANCHOR = re.compile(r"<[a-z][^>]*\s(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*\s(?:href|src)\s*=", re.IGNORECASE)
# An escaped character, a code span, or backticks that don't open a code span.
_ESCAPED_OR_CODE = re.compile(r"\\[^\n]|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|`+", re.DOTALL)
BLANK = "\0"


@dataclass(frozen=True)
class Heading:
    """A heading; `line` is its line in the parsed text, from 1."""

    level: int
    text: str
    line: int


@dataclass(frozen=True)
class Link:
    """A link; `target` is normalised by the parser: percent-encoded where necessary."""

    target: str
    line: int
    is_image: bool = False


@dataclass(frozen=True)
class Outline:
    """The structure of a text; `html_links` are the lines of links that are written in HTML."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    anchors: frozenset[str]
    html_links: tuple[int, ...]
    starts_with_heading: bool


@cache
def _get_parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def normalize_url(target: str) -> str:
    return _get_parser().normalizeLink(target)


def parse_outline(text: str) -> Outline:
    tokens = _get_parser().parse(text)
    headings = tuple(_find_headings(tokens))
    html = [token for token in _flatten(tokens) if token.type in ("html_block", "html_inline")]
    anchors = {name for token in html for name in _HTML_ANCHOR.findall(token.content)}
    return Outline(
        headings=headings,
        links=tuple(_find_links(tokens)),
        anchors=frozenset(anchors.union(build_slugs(heading.text for heading in headings))),
        html_links=tuple(_find_html_links(tokens)),
        starts_with_heading=bool(tokens) and tokens[0].type == "heading_open",
    )


def _flatten(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _find_headings(tokens: list[Token]) -> Iterator[Heading]:
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open":
            parts = (child for child in inside.children or () if child.type in _TEXT_TOKENS)
            text = "".join(" " if child.type == "softbreak" else child.content for child in parts)
            yield Heading(int(opening.tag[1:]), text.strip(), _get_line(opening))


_TEXT_TOKENS = ("text", "code_inline", "softbreak")


def _get_line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _find_links(tokens: list[Token]) -> Iterator[Link]:
    for block in tokens:
        line = _get_line(block)
        for token in block.children or ():
            if token.type in ("softbreak", "hardbreak"):
                line += 1
            elif token.type == "link_open":
                yield Link(str(token.attrs["href"]), line)
            elif token.type == "image":
                yield Link(str(token.attrs["src"]), line, is_image=True)


def _find_html_links(tokens: list[Token]) -> Iterator[int]:
    for block in tokens:
        if any(
            token.type in ("html_block", "html_inline") and _HTML_LINK.search(token.content)
            for token in (block, *(block.children or ()))
        ):
            yield _get_line(block)


def build_slugs(headings: Iterable[str]) -> list[str]:
    """Return the anchors of headings by GitHub's rules: the second `## Faults` is `faults-1`."""
    seen: Counter[str] = Counter()
    result = []
    for text in headings:
        slug = plain = _NOT_IN_SLUG.sub("", text.strip().lower()).replace(" ", "-")
        while slug in seen:
            seen[plain] += 1
            slug = f"{plain}-{seen[plain]}"
        seen[slug] += 0
        result.append(slug)
    return result


def blank_code(text: str) -> str:
    """Return the text with everything blanked that can't contain a link; positions are kept.

    What remains are the lines of inline text, without code and escaped characters. A code span ends
    at the end of its block.
    """
    lines = text.split("\n")
    blank = [BLANK * len(line) for line in lines]
    inline = [token.map for token in _get_parser().parse(text) if token.type == "inline"]
    for start, end in {(lines_[0], lines_[1]) for lines_ in inline if lines_}:
        block = _ESCAPED_OR_CODE.sub(_blank_match, "\n".join(lines[start:end]))
        blank[start:end] = block.split("\n")
    return "\n".join(blank)


def _blank_match(match: re.Match[str]) -> str:
    if not match["ticks"] and match.group().startswith("`"):
        return match.group()
    return "".join("\n" if character == "\n" else BLANK for character in match.group())
