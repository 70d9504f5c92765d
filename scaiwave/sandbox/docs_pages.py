"""The pages and keys of the sandbox's ScaiCMS."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec

from scaiwave.sandbox.data.ids import derive_key

VERSION = "v1"


PageKey = tuple[str, str, str]
"""Namespace, version, path."""


class PageContent(msgspec.Struct, kw_only=True, frozen=True):
    title: str
    body_md: str
    frontmatter: dict[str, object] = {}


class StoredPage(PageContent, kw_only=True, frozen=True):
    """`rev` counts all writes, even if they changed nothing."""

    path: str
    rev: int


@dataclass(kw_only=True)
class ScaiCmsKey:
    scopes: set[str] = field(default_factory=lambda: {"docs:write:scaiwave"})
    permissions: set[str] = field(default_factory=lambda: {WRITE_PERMISSION})


class ScaiCms:
    """`keys` and `pages` may be changed while the sandbox runs."""

    def __init__(self, *, seed: int) -> None:
        self.api_key = (
            f"scai_live_{derive_key(seed, 'scaicms'):016x}{derive_key(seed, 'scaicms key'):016x}"
        )
        self.keys: dict[str, ScaiCmsKey] = {self.api_key: ScaiCmsKey()}
        self.pages: dict[PageKey, StoredPage] = {}
        self._lock = threading.Lock()

    def write(self, key: PageKey, sent: PageContent) -> StoredPage:
        with self._lock:
            before = self.pages.get(key)
            page = StoredPage(
                title=sent.title,
                body_md=sent.body_md,
                frontmatter=sent.frontmatter,
                path=key[2],
                rev=before.rev + 1 if before else 1,
            )
            self.pages[key] = page
        return page

    def remove(self, key: PageKey) -> bool:
        with self._lock:
            return self.pages.pop(key, None) is not None

    def list_pages(self) -> list[tuple[PageKey, StoredPage]]:
        with self._lock:
            return sorted(self.pages.items(), key=lambda entry: entry[0])


WRITE_PERMISSION = "docs.write"
