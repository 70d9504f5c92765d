"""The list of what was published: a page of its own, since ScaiCMS documents no list of pages.

It tells which pages are gone from the folder, whoever published them and from which machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scaiwave.publishing.front_matter import PATH as PAGE_PATH
from scaiwave.publishing.plan import PagePayload

PATH = "operator-suite/pages"
_TITLE = "Published pages"
_TEXT = f"""# {_TITLE}

`scripts/publish_docs.py` writes this list, and reads it to find pages whose source is gone. Don't
change it by hand.

"""
_ENTRY = re.compile(r"^\* `([^`\s]+)`\s*$", re.MULTILINE)


def build_index(paths: Iterable[str]) -> PagePayload:
    fields = {
        "title": _TITLE,
        "path": PATH,
        "audience": "developers",
        "summary": "The pages that are published from the operator suite's sources.",
        "status": "published",
    }
    entries = "".join(f"* `{path}`\n" for path in sorted(paths))
    return PagePayload(file="", fields=fields, body=_TEXT + entries)


def parse_index(body: str) -> set[str]:
    return {path for path in _ENTRY.findall(body) if PAGE_PATH.fullmatch(path)}
