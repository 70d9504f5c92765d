"""Read the pages from the directory, each with the problems of its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scaiwave.core.errors import ScaiWaveError
from scaiwave.publishing.errors import InvalidPage, PagesNotFound
from scaiwave.publishing.front_matter import read_front_matter
from scaiwave.publishing.markdown import Outline, parse_outline


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
    files = sorted(path for path in docs.rglob("*.md") if not _is_hidden(path.relative_to(docs)))
    if not files:
        raise PagesNotFound(
            f"No pages found: {docs} contains no Markdown file (*.md).",
            fix="Name the directory of the pages with --docs.",
        )
    pages = [_read_page(path, path.relative_to(docs).as_posix()) for path in files]
    return list(_check_paths(pages, reserved))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


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
