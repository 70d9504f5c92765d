"""ScaiCMS's documentation pages beside ScaiKey, on the same port (ScaiCMS docs, docs-subsystem).

Pages are kept in memory. Assumptions: the layout of the addresses, DELETE, the bodies of answers,
what `_search` takes and gives, and that a key which may write a namespace may read it too.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from scaiwave.msgspec_decoders import register_structs
from scaiwave.sandbox.data.ids import derive_key
from scaiwave.sandbox.http.routing import (
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
    route,
    validation_error,
)

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

DOCS = "/api/v1/docs"
PAGE = DOCS + "/{namespace}/{version}/{path:path}"
VERSION = "v1"
WRITE = "docs.write"
MOST_FOUND = 20

Key = tuple[str, str, str]
"""Namespace, version, path."""


class SentPagePayload(msgspec.Struct, kw_only=True, frozen=True):
    title: str
    body_md: str
    frontmatter: dict[str, Any] = {}


class StoredPage(SentPagePayload, kw_only=True, frozen=True):
    """`rev` counts writes, also those that changed nothing."""

    path: str
    rev: int


register_structs(SentPagePayload)


@dataclass(kw_only=True)
class ApiKey:
    scopes: set[str] = field(default_factory=lambda: {"docs:write:scaiwave"})
    permissions: set[str] = field(default_factory=lambda: {WRITE})


class ScaiCms:
    """`keys` and `pages` may be changed while the sandbox runs."""

    def __init__(self, *, seed: int) -> None:
        self.api_key = (
            f"scai_live_{derive_key(seed, 'scaicms'):016x}{derive_key(seed, 'scaicms key'):016x}"
        )
        self.keys: dict[str, ApiKey] = {self.api_key: ApiKey()}
        self.pages: dict[Key, StoredPage] = {}
        self._lock = threading.Lock()

    def write(self, key: Key, sent: SentPagePayload) -> StoredPage:
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

    def remove(self, key: Key) -> bool:
        with self._lock:
            return self.pages.pop(key, None) is not None

    def listed(self) -> list[tuple[Key, StoredPage]]:
        with self._lock:
            return sorted(self.pages.items(), key=lambda entry: entry[0])


def error_body(status: int, code: str, message: str) -> HTTPError:
    return HTTPError(status, {"code": code, "message": message})


def admitted(sandbox: Sandbox, request: Request, namespace: str | None = None) -> ApiKey:
    """The caller's key. Raises Refusal 401, or 403 where it has no scope for the namespace."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise error_body(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    key = sandbox.scaicms.keys.get(secret)
    if key is None:
        raise error_body(401, "INVALID_API_KEY", "Invalid API key")
    if namespace is not None and f"docs:write:{namespace}" not in key.scopes:
        raise error_body(403, "SCOPE_DENIED", f"Scope docs:write:{namespace} required")
    return key


def _may_write(sandbox: Sandbox, request: Request) -> Key:
    if WRITE not in admitted(sandbox, request, request.params["namespace"]).permissions:
        raise error_body(403, "PERMISSION_DENIED", f"Permission {WRITE} required")
    return _key(request)


def _key(request: Request) -> Key:
    return request.params["namespace"], request.params["version"], request.params["path"]


@route("GET", PAGE)
def read_page(sandbox: Sandbox, request: Request) -> Response:
    admitted(sandbox, request, request.params["namespace"])
    return json_response(_found(sandbox, _key(request)))


@route("PUT", PAGE)
def write_page(sandbox: Sandbox, request: Request) -> Response:
    key = _may_write(sandbox, request)
    path = key[2]
    if path.startswith("/") or path.endswith(("/", ".md")):
        raise validation_error(["path", "path"], "No leading slash and no .md", "value_error", path)
    try:
        sent = msgspec.convert(parse_json_body(request), SentPagePayload)
    except msgspec.ValidationError as error:
        raise validation_error(["body"], str(error), "value_error") from None
    page = sandbox.scaicms.write(key, sent)
    return json_response({"path": path, "rev": page.rev}, status=201 if page.rev == 1 else 200)


@route("DELETE", PAGE)
def delete_page(sandbox: Sandbox, request: Request) -> Response:
    if not sandbox.scaicms.remove(_may_write(sandbox, request)):
        raise HTTPError(404, "Page not found")
    return Response(status=204)


@route("GET", "/docs/{namespace}/{path:path}.md")
def raw_page(sandbox: Sandbox, request: Request) -> Response:
    """The Markdown alone, for everybody."""
    key = request.params["namespace"], VERSION, request.params["path"]
    body = _found(sandbox, key).body_md.encode()
    return Response(body=body, content_type="text/markdown; charset=utf-8")


def _found(sandbox: Sandbox, key: Key) -> StoredPage:
    page = sandbox.scaicms.pages.get(key)
    if page is None:
        raise HTTPError(404, "Page not found")
    return page


@route("GET", DOCS + "/_namespaces")
def namespaces(sandbox: Sandbox, request: Request) -> Response:
    admitted(sandbox, request)
    names = {key[0] for key, _ in sandbox.scaicms.listed()}
    return json_response({"namespaces": sorted(names)})


@route("POST", DOCS + "/_search")
def search(sandbox: Sandbox, request: Request) -> Response:
    admitted(sandbox, request)
    asked = parse_json_body(request)
    words = str(asked.get("query", "")).casefold().split()
    wanted = asked.get("namespace")
    found = [
        {"namespace": key[0], "version": key[1], "path": key[2], "title": page.title}
        for key, page in sandbox.scaicms.listed()
        if wanted in (None, key[0])
        and all(word in f"{page.title}\n{page.body_md}".casefold() for word in words)
    ]
    return json_response({"results": found[:MOST_FOUND]})


@route("GET", "/sandbox/scaicms")
def introduction(sandbox: Sandbox, request: Request) -> Response:
    """What one needs to publish here."""
    pages = [{"path": key[2], "rev": page.rev} for key, page in sandbox.scaicms.listed()]
    return json_response({"url": sandbox.url, "api_key": sandbox.scaicms.api_key, "pages": pages})
