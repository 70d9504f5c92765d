"""What can be wrong with the pages, in the terms of the project's error tree."""

from __future__ import annotations

from scaiwave.errors import ConfigurationError, NotFoundError, RefusedError


class InvalidPage(RefusedError):
    """Its front matter, its heading or its encoding."""

    code = "SW_DOCS_BAD_PAGE"


class DeadLink(RefusedError):
    code = "SW_DOCS_DEAD_LINK"


class PruneRefused(NotFoundError):
    """`--prune` names something that is not a published page without a source."""

    code = "SW_DOCS_NOT_GONE"


class PagesNotFound(ConfigurationError):
    code = "SW_DOCS_NO_PAGES"


class PagesFailed(RefusedError):
    code = "SW_DOCS_FAILED"
    fix = "Mend what is listed, then run it again: pages that are equal are not sent again."
