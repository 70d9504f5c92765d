"""Read the pages of a directory, check them, and rewrite their links for the site."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from posixpath import basename, dirname, normpath
from posixpath import join as joined
from urllib.parse import unquote, urlsplit

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from scaiwave.core.errors import ConfigurationError, RefusedError, ScaiWaveError


class InvalidPage(RefusedError):
    """A page's front matter, heading or encoding is invalid."""

    code = "SW_DOCS_BAD_PAGE"
    remedy = "Correct the page as the error says. See [Front matter](publishing.md#front-matter)."


class DeadLink(RefusedError):
    """A link leads nowhere, or can't be checked or published."""

    code = "SW_DOCS_DEAD_LINK"
    remedy = "Correct the link in the line that the error names."


class PagesNotFound(ConfigurationError):
    """The directory contains no Markdown file."""

    code = "SW_DOCS_NO_PAGES"
    remedy = "Name the directory of the pages with `--docs`."


FIELDS = ("title", "path", "audience", "summary", "status")
CHOICES = {"audience": ("operators", "developers"), "status": ("published", "draft")}
FENCE = "---"
PATH_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*")
_FIX_FORM = (
    f"Begin the page with a line {FENCE}, the fields {', '.join(FIELDS)}, and a line {FENCE}."
)


@dataclass(frozen=True, kw_only=True)
class FrontMatter:
    """`fields` holds the readable fields but no invalid path; `lines` is the block's length."""

    fields: dict[str, str]
    lines: int
    problems: tuple[InvalidPage, ...]


def read_front_matter(text: str, *, file: str) -> FrontMatter:
    """Read and check the front matter; `problems` lists everything that is wrong."""
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        return _build_unreadable(
            InvalidPage(f"Invalid page: {file}: no front matter.", fix=_FIX_FORM)
        )
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        return _build_unreadable(
            InvalidPage(f"Invalid page: {file}: the front matter has no end.", fix=_FIX_FORM)
        )
    try:
        fields = _parse_fields("\n".join(lines[1:end]), file)
    except InvalidPage as problem:
        return _build_unreadable(problem, lines=end + 1)
    problems = tuple(_find_problems(fields, file))
    if not PATH_PATTERN.fullmatch(fields.get("path", "")):
        fields.pop("path", None)
    return FrontMatter(fields=fields, lines=end + 1, problems=problems)


def _build_unreadable(problem: InvalidPage, *, lines: int = 0) -> FrontMatter:
    return FrontMatter(fields={}, lines=lines, problems=(problem,))


def _parse_fields(block: str, file: str) -> dict[str, str]:
    """Read the YAML nodes instead of the values, so that `yes` and `2026-11-24` stay texts."""
    try:
        node = yaml.compose(block, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The block begins on the second line of the file.
        line = f", line {mark.line + 2}" if mark else ""
        raise InvalidPage(
            f"Invalid page: {file}{line}: the front matter is not YAML.",
            fix="Quote values that contain a colon or quotation marks.",
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise InvalidPage(f"Invalid page: {file}: the front matter has no fields.", fix=_FIX_FORM)
    fields: dict[str, str] = {}
    for key, value in node.value:
        line = key.start_mark.line + 2
        if not (isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)):
            raise InvalidPage(
                f"Invalid page: {file}, line {line}: not a field with a single text.", fix=_FIX_FORM
            )
        if key.value in fields:
            raise InvalidPage(
                f"Invalid page: {file}, line {line}: duplicate field {key.value}.",
                fix="Remove one of the two.",
            )
        fields[key.value] = value.value.strip()
    return fields


def _find_problems(fields: dict[str, str], file: str) -> Iterator[InvalidPage]:
    for name in FIELDS:
        if not fields.get(name):
            yield InvalidPage(
                f"Invalid page: {file}: missing field {name}.", fix=f"Add the field {name}."
            )
    for name in fields.keys() - set(FIELDS):
        yield InvalidPage(
            f"Invalid page: {file}: unknown field {name}.",
            fix=f"Use only the fields {', '.join(FIELDS)}.",
        )
    for name, choices in CHOICES.items():
        if (value := fields.get(name)) and value not in choices:
            yield InvalidPage(
                f"Invalid page: {file}: invalid {name}: {value}.",
                fix=f"Use {' or '.join(choices)}.",
            )
    if (path := fields.get("path")) and not PATH_PATTERN.fullmatch(path):
        yield InvalidPage(
            f"Invalid page: {file}: invalid path: {path}.",
            fix="Use lower-case letters, digits and single hyphens, separated by slashes, without "
            "a slash at either end and without .md, for example operator-suite/roles.",
        )


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


def parse_outline(text: str) -> Outline:
    tokens = _get_parser().parse(text)
    headings = []
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open":
            parts = (child for child in inside.children or () if child.type in _TEXT_TOKENS)
            title = "".join(" " if child.type == "softbreak" else child.content for child in parts)
            headings.append(Heading(int(opening.tag[1:]), title.strip(), _get_line(opening)))
    html = [
        (token.content, _get_line(block))
        for block in tokens
        for token in (block, *(block.children or ()))
        if token.type in ("html_block", "html_inline")
    ]
    anchors = {name for content, _ in html for name in _HTML_ANCHOR.findall(content)}
    return Outline(
        headings=tuple(headings),
        links=tuple(_find_links(tokens)),
        anchors=frozenset(anchors.union(build_slugs(heading.text for heading in headings))),
        html_links=tuple(
            dict.fromkeys(line for content, line in html if _HTML_LINK.search(content))
        ),
        starts_with_heading=bool(tokens) and tokens[0].type == "heading_open",
    )


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


@dataclass(frozen=True, kw_only=True)
class SourcePage:
    """A page; `file` is its path in the directory, `body_start` the line before its body.

    A page with problems is not published, and its `fields` may be incomplete.
    """

    file: str
    fields: dict[str, str]
    body: str
    body_start: int
    outline: Outline
    problems: tuple[ScaiWaveError, ...] = ()

    @property
    def path(self) -> str:
        """The path it is published at, or an empty string if that could not be read."""
        return self.fields.get("path", "")

    @property
    def is_draft(self) -> bool:
        return self.fields.get("status") == "draft"


def read_pages(docs: Path, *, reserved: str = "") -> list[SourcePage]:
    """Read all Markdown files of the directory, sorted by name. Raises PagesNotFound."""
    files = sorted(
        path
        for path in docs.rglob("*.md")
        if not any(part.startswith(".") for part in path.relative_to(docs).parts)
    )
    if not files:
        raise PagesNotFound(
            f"No pages found: {docs} contains no Markdown file (*.md).",
            fix="Name the directory of the pages with --docs.",
        )
    pages = [_read_page(path, path.relative_to(docs).as_posix()) for path in files]
    return list(_check_paths(pages, reserved))


def _read_page(path: Path, file: str) -> SourcePage:
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        problem = InvalidPage(
            f"Page can't be read: {file}: {reason}.", fix="Make it a readable UTF-8 file."
        )
        outline = parse_outline("")
        return SourcePage(
            file=file, fields={}, body="", body_start=0, outline=outline, problems=(problem,)
        )
    front = read_front_matter(text, file=file)
    body = "\n".join(text.split("\n")[front.lines :])
    rest = body.lstrip("\n")
    page = SourcePage(
        file=file,
        fields=front.fields,
        body=rest,
        body_start=front.lines + len(body) - len(rest),
        outline=parse_outline(rest),
        problems=front.problems,
    )
    return replace(page, problems=(*page.problems, *_find_heading_problems(page)))


def _find_heading_problems(page: SourcePage) -> Iterator[InvalidPage]:
    title = page.fields.get("title")
    if not title:  # already reported by the front matter
        return
    fix = f"Begin the text with `# {title}`, or change the title."
    if not page.outline.starts_with_heading or page.outline.headings[0].level != 1:
        yield InvalidPage(
            f"Invalid page: {page.file}: the text does not begin with its heading.", fix=fix
        )
    elif (heading := page.outline.headings[0].text) != title:
        yield InvalidPage(
            f"Invalid page: {page.file}: the title is “{title}”, but the heading is “{heading}”.",
            fix=fix,
        )


def _check_paths(pages: list[SourcePage], reserved: str) -> Iterator[SourcePage]:
    """Return the pages, with a problem added to those whose path is not unique or reserved."""
    files_by_path: defaultdict[str, list[str]] = defaultdict(list)
    for page in pages:
        files_by_path[page.path].append(page.file)
    for page in pages:
        others = [file for file in files_by_path[page.path] if file != page.file]
        reason = ""
        if page.path and others:
            reason = f"also used by {' and '.join(others)}"
        elif page.path and page.path == reserved:
            reason = "reserved for the list of pages"
        if reason:
            problem = InvalidPage(
                f"Invalid page: {page.file}: the path {page.path} is {reason}.",
                fix="Give each page its own path.",
            )
            yield replace(page, problems=(*page.problems, problem))
        else:
            yield page


_INLINE = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]"
    r"\(\s*(?P<target><[^<>\n]*>|[^\s()<>]+)(?P<title>(?:\s+(?:\"[^\"]*\"|'[^']*'))?)\s*\)"
)


@dataclass(frozen=True, kw_only=True)
class LinkTarget:
    """A link's URL on the site, or the name of a file that is not published."""

    address: str = ""
    file: str = ""


class SiteIndex:
    """Look up link targets among all pages, and among the files of the checkout around `docs`."""

    def __init__(self, pages: list[SourcePage], *, docs: Path, namespace: str) -> None:
        self._pages = {page.file: page for page in pages}
        self._docs = docs.resolve()
        self._root = f"/docs/{namespace}"

    def find_target(self, page: SourcePage, link: Link) -> LinkTarget:
        """Return the target of a link. Raises DeadLink."""
        parts = urlsplit(link.target)
        if parts.scheme or parts.netloc or parts.path.startswith("/"):
            return LinkTarget(address=link.target)
        if not parts.path:
            _check_heading(page, link, page.outline, parts.fragment, page.file)
            return LinkTarget(address=link.target)
        file = normpath(joined(dirname(page.file), unquote(parts.path)))
        if (target := self._pages.get(file)) is not None:
            return self._find_page_target(page, link, target, parts.fragment)
        top = self._docs.parent
        path = (self._docs / file).resolve()
        if not (path.is_relative_to(top) and path.exists()):
            raise _build_dead_link(
                page, link, "the file does not exist", "Correct the link, or remove it."
            )
        if parts.fragment and path.suffix == ".md":
            outline = parse_outline(path.read_text(encoding="utf-8"))
            _check_heading(page, link, outline, parts.fragment, path.name)
        return LinkTarget(file=path.relative_to(top).as_posix())

    def _find_page_target(
        self, page: SourcePage, link: Link, target: SourcePage, anchor: str
    ) -> LinkTarget:
        if not target.path:
            raise _build_dead_link(
                page,
                link,
                f"{target.file} has no path",
                f"Correct the front matter of {target.file}.",
            )
        if target.is_draft and not page.is_draft:
            raise _build_dead_link(
                page,
                link,
                f"{target.file} is a draft",
                f"Remove the link, or publish {target.file} too.",
            )
        _check_heading(page, link, target.outline, anchor, target.file)
        return LinkTarget(address=f"{self._root}/{target.path}{f'#{anchor}' if anchor else ''}")


def _check_heading(page: SourcePage, link: Link, outline: Outline, anchor: str, file: str) -> None:
    if anchor and unquote(anchor) not in outline.anchors:
        raise _build_dead_link(
            page,
            link,
            f"{file} has no such heading",
            f"Use the anchor of a heading of {file}, or remove the anchor.",
        )


def _build_dead_link(page: SourcePage, link: Link, reason: str, fix: str) -> DeadLink:
    line = page.body_start + link.line
    return DeadLink(
        f"Dead link: {page.file}, line {line}: {unquote(link.target)}: {reason}.", fix=fix
    )


def rewrite_links(page: SourcePage, site: SiteIndex) -> tuple[str, list[DeadLink]]:
    """Return the body with the site's links, and the problems of its links."""
    targets: dict[str, LinkTarget] = {}
    problems = [
        DeadLink(
            f"Unsupported link: {page.file}, line {page.body_start + line}: links in HTML are not "
            "checked.",
            fix="Write it as [text](target).",
        )
        for line in page.outline.html_links
    ]
    for link in page.outline.links:
        try:
            targets[link.target] = site.find_target(page, link)
        except DeadLink as problem:
            problems.append(problem)
    if problems:
        return page.body, problems
    body = _rewrite_body(page.body, targets)
    addresses = [
        target.address for link in page.outline.links if not (target := targets[link.target]).file
    ]
    if [link.target for link in parse_outline(body).links] != addresses:
        problems.append(
            DeadLink(
                f"Unsupported link: {page.file}: a link can't be rewritten for the site.",
                fix="Write links to pages and files as [text](target), not as reference links.",
            )
        )
    return body, problems


def _rewrite_body(body: str, targets: Mapping[str, LinkTarget]) -> str:
    """Find the links in a copy without code, and replace them in the body."""
    parts, position = [], 0
    for match in _INLINE.finditer(blank_code(body)):
        url = body[slice(*match.span("target"))].removeprefix("<").removesuffix(">")
        target = targets.get(_get_parser().normalizeLink(url))
        if target is not None:
            text, title = (body[slice(*match.span(name))] for name in ("text", "title"))
            link = _format_link(match["image"], text, title, target)
            parts += [body[position : match.start()], link]
            position = match.end()
    return "".join([*parts, body[position:]])


def _format_link(image: str, text: str, title: str, target: LinkTarget) -> str:
    if not target.file:
        return f"{image}[{text}]({target.address}{title})"
    if image:
        return f"*Picture: {text}*"
    if text.strip("`") in (target.file, basename(target.file)):
        return f"`{target.file}`"
    return f"{text} (`{target.file}`)"
