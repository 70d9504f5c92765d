"""Check the links of pages, and rewrite them for the site.

The server does not change links (ScaiCMS docs, docs-subsystem). So a link to another page becomes
the URL of that page, and a link to a file that is not published becomes its text with the file's
name. A picture becomes its description. Full URLs, and URLs that begin with a slash, are not
checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, dirname, normpath
from posixpath import join as joined
from urllib.parse import unquote, urlsplit

from scaiwave.publishing.errors import DeadLink
from scaiwave.publishing.markdown import Link, blank_code, normalize_url, parse_outline
from scaiwave.publishing.pages import SourcePage

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
            self._check_anchor(page, link, page, parts.fragment)
            return LinkTarget(address=link.target)
        file = normpath(joined(dirname(page.file), unquote(parts.path)))
        if (target := self._pages.get(file)) is not None:
            return self._find_page_target(page, link, target, parts.fragment)
        return self._find_file_target(page, link, file, parts.fragment)

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
        self._check_anchor(page, link, target, anchor)
        return LinkTarget(address=f"{self._root}/{target.path}{f'#{anchor}' if anchor else ''}")

    def _find_file_target(self, page: SourcePage, link: Link, file: str, anchor: str) -> LinkTarget:
        top = self._docs.parent
        path = (self._docs / file).resolve()
        if not (path.is_relative_to(top) and path.exists()):
            raise _build_dead_link(
                page, link, "the file does not exist", "Correct the link, or remove it."
            )
        if anchor and path.suffix == ".md":
            anchors = parse_outline(path.read_text(encoding="utf-8")).anchors
            _check_heading(page, link, anchors, anchor, path.name)
        return LinkTarget(file=path.relative_to(top).as_posix())

    def _check_anchor(self, page: SourcePage, link: Link, target: SourcePage, anchor: str) -> None:
        _check_heading(page, link, target.outline.anchors, anchor, target.file)


def _check_heading(
    page: SourcePage, link: Link, anchors: frozenset[str], anchor: str, file: str
) -> None:
    if anchor and unquote(anchor) not in anchors:
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
    problems = list(_find_html_problems(page))
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
        problems.append(_build_unwritable_link(page))
    return body, problems


def _find_html_problems(page: SourcePage) -> Iterator[DeadLink]:
    for line in page.outline.html_links:
        yield DeadLink(
            f"Unsupported link: {page.file}, line {page.body_start + line}: links in HTML are not "
            "checked.",
            fix="Write it as [text](target).",
        )


def _build_unwritable_link(page: SourcePage) -> DeadLink:
    return DeadLink(
        f"Unsupported link: {page.file}: a link can't be rewritten for the site.",
        fix="Write links to pages and files as [text](target), not as reference links.",
    )


def _rewrite_body(body: str, targets: Mapping[str, LinkTarget]) -> str:
    """Find the links in a copy without code, and replace them in the body."""
    parts, position = [], 0
    for match in _INLINE.finditer(blank_code(body)):
        url = body[slice(*match.span("target"))].removeprefix("<").removesuffix(">")
        target = targets.get(normalize_url(url))
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
