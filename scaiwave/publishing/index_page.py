"""The list of published pages, itself a page, since ScaiCMS documents no way to list pages.

With it, pages without a source are found, regardless of who published them and from which host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scaiwave.publishing.front_matter import PATH_PATTERN
from scaiwave.publishing.plan import PagePayload

INDEX_PATH = "operator-suite/pages"
_TITLE = "Published pages"
_TEXT = f"""# {_TITLE}

`scripts/publish_docs.py` writes this list, and reads it to find pages whose source was removed.
Don't edit it.

"""
_ENTRY = re.compile(r"^\* `([^`\s]+)`\s*$", re.MULTILINE)


def build_index(paths: Iterable[str]) -> PagePayload:
    fields = {
        "title": _TITLE,
        "path": INDEX_PATH,
        "audience": "developers",
        "summary": "The pages that are published from the operator suite's sources.",
        "status": "published",
    }
    entries = "".join(f"* `{path}`\n" for path in sorted(paths))
    return PagePayload(file="", fields=fields, body=_TEXT + entries)


def parse_index(body: str) -> set[str]:
    return {path for path in _ENTRY.findall(body) if PATH_PATTERN.fullmatch(path)}
