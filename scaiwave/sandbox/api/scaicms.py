"""The documentation pages of ScaiCMS, on ScaiKey's port (ScaiCMS docs, docs-subsystem).

Pages are kept in memory. Assumptions: the paths, DELETE, the bodies of responses, the request and
response of `_search`, and that a key with write access to a namespace may read it too.
"""

from __future__ import annotations

import msgspec

from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.sandbox.docs_pages import (
    VERSION,
    WRITE_PERMISSION,
    PageContent,
    PageKey,
    ScaiCmsKey,
    StoredPage,
)
from scaiwave.sandbox.http.messages import (
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
    validation_error,
)
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

DOCS = "/api/v1/docs"
PAGE = DOCS + "/{namespace}/{version}/{path:path}"
MAX_RESULTS = 20


register_structs(PageContent)


def _build_error(status: int, code: str, message: str) -> HTTPError:
    return HTTPError(status, {"code": code, "message": message})


def _authenticate(
    sandbox: SandboxState, request: Request, namespace: str | None = None
) -> ScaiCmsKey:
    """Return the caller's key. Raises HTTPError 401, or 403 without scope for the namespace."""
    if not request.bearer:
        raise _build_error(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    key = sandbox.scaicms.keys.get(request.bearer)
    if key is None:
        raise _build_error(401, "INVALID_API_KEY", "Invalid API key")
    if namespace is not None and f"docs:write:{namespace}" not in key.scopes:
        raise _build_error(403, "SCOPE_DENIED", f"Scope docs:write:{namespace} required")
    return key


def _authorize(sandbox: SandboxState, request: Request, *, write: bool) -> PageKey:
    """Return the page that the path names. Raises HTTPError."""
    params = request.params
    key = _authenticate(sandbox, request, params["namespace"])
    if write and WRITE_PERMISSION not in key.permissions:
        raise _build_error(403, "PERMISSION_DENIED", f"Permission {WRITE_PERMISSION} required")
    return params["namespace"], params["version"], params["path"]


@route("GET", PAGE)
def read_page(sandbox: SandboxState, request: Request) -> Response:
    return json_response(_find_page(sandbox, _authorize(sandbox, request, write=False)))


@route("PUT", PAGE)
def write_page(sandbox: SandboxState, request: Request) -> Response:
    key = _authorize(sandbox, request, write=True)
    path = key[2]
    if path.startswith("/") or path.endswith(("/", ".md")):
        raise validation_error(["path", "path"], "No leading slash and no .md", "value_error", path)
    try:
        sent = msgspec.convert(parse_json_body(request), PageContent)
    except msgspec.ValidationError as error:
        raise validation_error(["body"], str(error), "value_error") from None
    page = sandbox.scaicms.write(key, sent)
    return json_response({"path": path, "rev": page.rev}, status=201 if page.rev == 1 else 200)


@route("DELETE", PAGE)
def delete_page(sandbox: SandboxState, request: Request) -> Response:
    if not sandbox.scaicms.remove(_authorize(sandbox, request, write=True)):
        raise HTTPError(404, "Page not found")
    return Response(status=204)


@route("GET", "/docs/{namespace}/{path:path}.md")
def read_raw_page(sandbox: SandboxState, request: Request) -> Response:
    """Return the Markdown of a page; needs no key."""
    key = request.params["namespace"], VERSION, request.params["path"]
    body = _find_page(sandbox, key).body_md.encode()
    return Response(body=body, content_type="text/markdown; charset=utf-8")


def _find_page(sandbox: SandboxState, key: PageKey) -> StoredPage:
    page = sandbox.scaicms.pages.get(key)
    if page is None:
        raise HTTPError(404, "Page not found")
    return page


@route("GET", DOCS + "/_namespaces")
def list_namespaces(sandbox: SandboxState, request: Request) -> Response:
    _authenticate(sandbox, request)
    names = {key[0] for key, _ in sandbox.scaicms.list_pages()}
    return json_response({"namespaces": sorted(names)})


@route("POST", DOCS + "/_search")
def search_pages(sandbox: SandboxState, request: Request) -> Response:
    _authenticate(sandbox, request)
    query = parse_json_body(request)
    words = str(query.get("query", "")).casefold().split()
    namespace = query.get("namespace")
    results = [
        {"namespace": key[0], "version": key[1], "path": key[2], "title": page.title}
        for key, page in sandbox.scaicms.list_pages()
        if namespace in (None, key[0])
        and all(word in f"{page.title}\n{page.body_md}".casefold() for word in words)
    ]
    return json_response({"results": results[:MAX_RESULTS]})


@route("GET", "/sandbox/scaicms")
def get_access(sandbox: SandboxState, request: Request) -> Response:
    """Return the URL and key for publishing here, and the pages."""
    pages = [{"path": key[2], "rev": page.rev} for key, page in sandbox.scaicms.list_pages()]
    return json_response({"url": sandbox.url, "api_key": sandbox.scaicms.api_key, "pages": pages})
