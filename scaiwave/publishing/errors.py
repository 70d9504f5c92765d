"""Errors of publishing."""

from __future__ import annotations

from scaiwave.errors import ConfigurationError, NotFoundError, RefusedError


class InvalidPage(RefusedError):
    """A page's front matter, heading or encoding is invalid."""

    code = "SW_DOCS_BAD_PAGE"


class DeadLink(RefusedError):
    """A link leads nowhere, or can't be checked or published."""

    code = "SW_DOCS_DEAD_LINK"


class PruneRefused(NotFoundError):
    """`--prune` names a page that is not gone, or for which that can't be determined."""

    code = "SW_DOCS_NOT_GONE"


class PagesNotFound(ConfigurationError):
    """The directory contains no Markdown file."""

    code = "SW_DOCS_NO_PAGES"


class PagesFailed(RefusedError):
    """Some pages are invalid or were refused; the others were published."""

    code = "SW_DOCS_FAILED"
    fix = "Correct the errors above, then run the script again; unchanged pages are not sent again."
