"""Links of pages: each has to lead somewhere, and to lead there on the site too.

The server leaves links as they are (ScaiCMS docs, docs-subsystem). So one to another page becomes
the address of that page, and one to a file that is not published becomes its text with the file's
name. Whole addresses, and those that begin with a slash, are not looked at.
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
from scaiwave.publishing.pages import Page

_INLINE = re.compile(
    r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]"
    r"\(\s*(?P<target><[^<>\n]*>|[^\s()<>]+)(?P<title>(?:\s+(?:\"[^\"]*\"|'[^']*'))?)\s*\)"
)


@dataclass(frozen=True, kw_only=True)
class LinkTarget:
    """Where a link leads on the site, or the name of a file that is not there."""

    address: str = ""
    file: str = ""


class SiteIndex:
    """All pages, to look up where links lead; files beside the folder count as the checkout's."""

    def __init__(self, pages: list[Page], *, docs: Path, namespace: str) -> None:
        self._pages = {page.file: page for page in pages}
        self._docs = docs.resolve()
        self._root = f"/docs/{namespace}"

    def place(self, page: Page, link: Link) -> LinkTarget:
        """Raises DeadLink."""
        parts = urlsplit(link.target)
        if parts.scheme or parts.netloc or parts.path.startswith("/"):
            return LinkTarget(address=link.target)
        if not parts.path:
            self._check_anchor(page, link, page, parts.fragment)
            return LinkTarget(address=link.target)
        file = normpath(joined(dirname(page.file), unquote(parts.path)))
        if link.is_image:
            raise _dead(page, link, "and images are not published", "Say it in words.")
        if (target := self._pages.get(file)) is not None:
            return self._page_place(page, link, target, parts.fragment)
        return self._file_place(page, link, file, parts.fragment)

    def _page_place(self, page: Page, link: Link, target: Page, anchor: str) -> LinkTarget:
        if not target.path:
            raise _dead(page, link, "which has no path", f"Mend the front matter of {target.file}.")
        if target.is_draft and not page.is_draft:
            raise _dead(
                page, link, "which is a draft", f"Take the link out, or publish {target.file} too."
            )
        self._check_anchor(page, link, target, anchor)
        return LinkTarget(address=f"{self._root}/{target.path}{f'#{anchor}' if anchor else ''}")

    def _file_place(self, page: Page, link: Link, file: str, anchor: str) -> LinkTarget:
        top = self._docs.parent
        found = (self._docs / file).resolve()
        if not (found.is_relative_to(top) and found.exists()):
            raise _dead(page, link, "which does not exist", "Correct it, or take it out.")
        if anchor and found.suffix == ".md":
            anchors = parse_outline(found.read_text(encoding="utf-8")).anchors
            _check(page, link, anchors, anchor, found.name)
        return LinkTarget(file=found.relative_to(top).as_posix())

    def _check_anchor(self, page: Page, link: Link, target: Page, anchor: str) -> None:
        _check(page, link, target.outline.anchors, anchor, target.file)


def _check(page: Page, link: Link, anchors: frozenset[str], anchor: str, file: str) -> None:
    if anchor and unquote(anchor) not in anchors:
        why = f"and {file} has no such heading"
        raise _dead(page, link, why, f"Take the anchor of a heading of {file}, or leave it out.")


def _dead(page: Page, link: Link, why: str, fix: str) -> DeadLink:
    kind = "shows" if link.is_image else "links to"
    line = page.above + link.line
    return DeadLink(f"{page.file}, line {line}, {kind} {unquote(link.target)}, {why}.", fix=fix)


def rewrite_links(page: Page, site: SiteIndex) -> tuple[str, list[DeadLink]]:
    """The body with the links of the site, and what is wrong with those of the page."""
    places: dict[str, LinkTarget] = {}
    problems = list(_html_problems(page))
    for link in page.outline.links:
        try:
            places[link.target] = site.place(page, link)
        except DeadLink as problem:
            problems.append(problem)
    if problems:
        return page.body, problems
    body = _rewritten(page.body, places)
    wanted = [
        place.address for link in page.outline.links if not (place := places[link.target]).file
    ]
    if [link.target for link in parse_outline(body).links] != wanted:
        problems.append(_unwritable(page))
    return body, problems


def _html_problems(page: Page) -> Iterator[DeadLink]:
    for line in page.outline.html_links:
        yield DeadLink(
            f"{page.file}, line {page.above + line}, has a link in HTML, which is not checked.",
            fix="Write it as [text](target).",
        )


def _unwritable(page: Page) -> DeadLink:
    return DeadLink(
        f"{page.file} has a link that can't be rewritten for the site.",
        fix="Write links to pages and files as [text](target), not as references.",
    )


def _rewritten(body: str, places: Mapping[str, LinkTarget]) -> str:
    """Found in a copy without code, replaced in the body itself."""
    done, at = [], 0
    for found in _INLINE.finditer(blank_code(body)):
        target = body[slice(*found.span("target"))].removeprefix("<").removesuffix(">")
        place = places.get(normalize_url(target))
        if place is not None:
            text, title = (body[slice(*found.span(name))] for name in ("text", "title"))
            done += [body[at : found.start()], _written(text, title, place)]
            at = found.end()
    return "".join([*done, body[at:]])


def _written(text: str, title: str, place: LinkTarget) -> str:
    if not place.file:
        return f"[{text}]({place.address}{title})"
    if text.strip("`") in (place.file, basename(place.file)):
        return f"`{place.file}`"
    return f"{text} (`{place.file}`)"
