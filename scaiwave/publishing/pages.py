"""The pages as they lie in the folder, each with what is wrong with it by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scaiwave.errors import ScaiWaveError
from scaiwave.publishing.errors import InvalidPage, PagesNotFound
from scaiwave.publishing.front_matter import read_front_matter
from scaiwave.publishing.markdown import Outline, parse_outline


@dataclass(frozen=True, kw_only=True)
class Page:
    """`file` is its name below the folder, with slashes; `above` the lines before the body.

    A page with problems is not published, and its `fields` may lack some.
    """

    file: str
    fields: dict[str, str]
    body: str
    above: int
    outline: Outline
    problems: tuple[ScaiWaveError, ...] = ()

    @property
    def path(self) -> str:
        """Where it is published, or empty where that could not be read."""
        return self.fields.get("path", "")

    @property
    def is_draft(self) -> bool:
        return self.fields.get("status") == "draft"


def read_pages(docs: Path, *, reserved: str = "") -> list[Page]:
    """All Markdown files below the folder, in order of their names. Raises PagesNotFound."""
    files = sorted(path for path in docs.rglob("*.md") if not _is_hidden(path.relative_to(docs)))
    if not files:
        raise PagesNotFound(
            f"There is no page (*.md) in {docs}.", fix="Name the folder of the pages with --docs."
        )
    pages = [_read(path, path.relative_to(docs).as_posix()) for path in files]
    return list(_with_places(pages, reserved))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read(path: Path, file: str) -> Page:
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        problem = InvalidPage(f"{file} can't be read: {why}.", fix="Make it a readable UTF-8 file.")
        return Page(
            file=file, fields={}, body="", above=0, outline=parse_outline(""), problems=(problem,)
        )
    front = read_front_matter(text, file=file)
    body = "\n".join(text.split("\n")[front.lines :])
    rest = body.lstrip("\n")
    page = Page(
        file=file,
        fields=front.fields,
        body=rest,
        above=front.lines + len(body) - len(rest),
        outline=parse_outline(rest),
        problems=front.problems,
    )
    return replace(page, problems=(*page.problems, *_heading_problems(page)))


def _heading_problems(page: Page) -> Iterator[InvalidPage]:
    title = page.fields.get("title")
    if not title:  # which is told already
        return
    fix = f"Begin the text with `# {title}`, or change the title."
    if not page.outline.starts_with_heading or page.outline.headings[0].level != 1:
        yield InvalidPage(f"{page.file} does not begin with its heading.", fix=fix)
    elif (heading := page.outline.headings[0].text) != title:
        yield InvalidPage(
            f"{page.file} has the title “{title}” and the heading “{heading}”.", fix=fix
        )


def _with_places(pages: list[Page], reserved: str) -> Iterator[Page]:
    """The pages again, those that want the same place with a problem more."""
    wanting: defaultdict[str, list[str]] = defaultdict(list)
    for page in pages:
        wanting[page.path].append(page.file)
    for page in pages:
        others = [file for file in wanting[page.path] if file != page.file]
        problem = None
        if page.path and others:
            problem = f"{page.file} has the path {page.path}, and so has {' and '.join(others)}."
        elif page.path and page.path == reserved:
            problem = f"{page.file} has the path {page.path}, which the list of pages has."
        yield replace(page, problems=(*page.problems, _taken(problem))) if problem else page


def _taken(problem: str) -> InvalidPage:
    return InvalidPage(problem, fix="Give each page a path of its own.")
