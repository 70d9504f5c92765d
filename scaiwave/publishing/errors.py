"""Errors of publishing."""

from __future__ import annotations

from scaiwave.core.errors import ConfigurationError, NotFoundError, RefusedError


class InvalidPage(RefusedError):
    """A page's front matter, heading or encoding is invalid."""

    code = "SW_DOCS_BAD_PAGE"
    remedy = "Correct the page as the error says. See [Front matter](publishing.md#front-matter)."


class DeadLink(RefusedError):
    """A link leads nowhere, or can't be checked or published."""

    code = "SW_DOCS_DEAD_LINK"
    remedy = "Correct the link in the line that the error names."


class PruneRefused(NotFoundError):
    """`--prune` names a page that is not gone, or may not be gone."""

    code = "SW_DOCS_NOT_GONE"
    remedy = "Nothing was written. Run it without `--prune` to see which pages are obsolete."


class PagesNotFound(ConfigurationError):
    """The directory contains no Markdown file."""

    code = "SW_DOCS_NO_PAGES"
    remedy = "Name the directory of the pages with `--docs`."


class PagesFailed(RefusedError):
    """Some pages are invalid or were refused; the others were published."""

    code = "SW_DOCS_FAILED"
    fix = "Correct the errors above, then run the script again; unchanged pages are not sent again."
