"""The client for ScaiCMS, where the documentation is published (ScaiCMS docs, docs-subsystem).

A page is identified by namespace, version and path. The server stores Markdown as it was sent, and
counts revisions. Listing pages, deleting them and expected revisions are not documented.
Assumptions: the layout of the address, DELETE on it deletes a page, and the response to a write is
JSON or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.http.client import HttpClient, ServiceClient
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import (
    add_detail,
    error_from_response,
    redact,
    wrong_path_error,
)
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.clients.scaikey.decoding import decode_answer
from scaiwave.config import Configuration
from scaiwave.core.errors import UpstreamInvalidResponse, UpstreamNotFound
from scaiwave.core.msgspec_decoders import get_decoder

DOCS = "/api/v1/docs"
NAMESPACES = f"{DOCS}/_namespaces"
NAMESPACE, VERSION = "scaiwave", "v1"
SERVICE = "ScaiCMS"

FIXES: dict[str, str] = {
    "AUTHENTICATION_REQUIRED": "A proxy removes the Authorization header: make it pass the "
    "header to ScaiCMS.",
    "INVALID_API_KEY": "The key is wrong, revoked or from another ScaiCMS: create a new one and "
    "set SCAIWAVE_SCAICMS_API_KEY.",
    "SCOPE_DENIED": f"Give the key of SCAIWAVE_SCAICMS_API_KEY the scope docs:write:{NAMESPACE}.",
    "PERMISSION_DENIED": "Give the owner of the key of SCAIWAVE_SCAICMS_API_KEY the permission "
    "docs.write.",
}
"""The fix of each code (ScaiCMS docs, reference/api-endpoints)."""


class LivePage(msgspec.Struct, kw_only=True, frozen=True):
    """assumption: `rev` is the name of the counter, and the rest is returned as it was sent."""

    title: str
    body_md: str
    frontmatter: dict[str, object] | None = None
    rev: int | None = None


class WriteResult(msgspec.Struct, kw_only=True, frozen=True):
    """`rev` is None if the server does not report it."""

    rev: int | None = None


class _ErrorDetail(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    detail: str | _ErrorDetail


class ScaiCmsClient(ServiceClient):
    """Use it in a `with`. Every method may raise what `HttpClient.request` raises.

    All requests may be repeated, so those with a 429 or 5xx are retried unless `retry` is false.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        namespace: str = NAMESPACE,
        version: str = VERSION,
        retry_policy: RetryPolicy = RetryPolicy(total=30.0),  # noqa: B008 - frozen
    ) -> None:
        self.namespace = namespace
        self.http = HttpClient(
            base_url,
            service=SERVICE,
            retry_policy=retry_policy,
            translate_response=scaicms_error_from_response,
            max_concurrent_requests=1,
        )
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._pages = f"{DOCS}/{quote(namespace, safe='')}/{quote(version, safe='')}"
        self._is_address_checked = False

    def read_page(self, path: str, *, retry: bool = True) -> LivePage | None:
        """Return the page, or None if it doesn't exist.

        Raises UpstreamInvalidResponse if the first 404 is not from ScaiCMS.
        """
        try:
            response = self._request("GET", path, retry=retry)
        except UpstreamNotFound:
            # Request, once, what every ScaiCMS has.
            if not self._is_address_checked:
                self.http.request("GET", NAMESPACES, headers=self._headers, retry=retry)
                self._is_address_checked = True
            return None
        return decode_answer(response, LivePage, service=SERVICE)

    def write_page(
        self,
        path: str,
        *,
        title: str,
        body_md: str,
        frontmatter: Mapping[str, object],
        retry: bool = True,
    ) -> WriteResult:
        """Create the page, or a new revision of it."""
        page = {"title": title, "body_md": body_md, "frontmatter": dict(frontmatter)}
        response = self._request("PUT", path, json=page, retry=retry)
        if not response.content:
            return WriteResult()
        try:
            return decode_answer(response, WriteResult, service=SERVICE)
        except UpstreamInvalidResponse as error:
            error.fix = (
                "Check that SCAIWAVE_SCAICMS_URL is ScaiCMS's address, then run it again to find "
                "out whether the page was written."
            )
            raise

    def delete_page(self, path: str, *, retry: bool = True) -> None:
        """Delete the page. It may be gone already, by an earlier attempt."""
        try:
            self._request("DELETE", path, retry=retry)
        except UpstreamNotFound:
            return

    def _request(
        self, method: str, path: str, *, json: object = None, retry: bool
    ) -> httpx.Response:
        address = f"{self._pages}/{quote(path, safe='/')}"
        return self.http.request(method, address, json=json, headers=self._headers, retry=retry)


def scaicms_client(config: Configuration) -> ScaiCmsClient:
    """Build the client of this server's configuration; it connects with the first request.

    Raises SettingMissing or SettingInvalid.
    """
    config.get_required("SCAIWAVE_SCAICMS_URL")
    return ScaiCmsClient(
        config.get_url("SCAIWAVE_SCAICMS_URL"), config.get_required("SCAIWAVE_SCAICMS_API_KEY")
    )


def scaicms_error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """Extend `error_from_response` by the codes of ScaiCMS; any 5xx may be retried.

    The body is `{"detail": "…"}` or `{"detail": {"code", "message"}}`.
    """
    fault = error_from_response(response, peer)
    detail = _ErrorDetail()
    with suppress(ValueError, RecursionError):
        body: _ErrorBody = get_decoder(_ErrorBody).decode(response.content)
        detail = body.detail if isinstance(body.detail, _ErrorDetail) else detail
    # Writing a page creates it, and every ScaiCMS has namespaces.
    request = response.request
    always_exists = request.method == "PUT" or request.url.path.endswith(NAMESPACES)
    if response.status_code == 404 and not detail.code and always_exists:
        return TranslatedError(error=wrong_path_error(response, peer))
    error, code = fault.error, redact(detail.code, response.request)
    if code:
        message = redact(detail.message, response.request)
        add_detail(error, f"{code}, {message}" if message else code)
        error.details["upstream_code"] = code
        error.fix = FIXES.get(code, error.fix)
    return replace(fault, transient=fault.transient or response.status_code >= 500)
