"""The client for ScaiCMS, where the documentation is published (ScaiCMS docs, docs-subsystem).

A page is known by namespace, version and path; the server keeps the Markdown as it is sent and
counts revisions. No list of pages, no way to remove one and no expected revision is documented.
Assumptions: the layout of the address, that DELETE on it removes a page, and that an answer to a
write is JSON or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import error_from_response, redact
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.config import Configuration
from scaiwave.errors import UpstreamInvalidResponse, UpstreamNotFound
from scaiwave.msgspec_decoders import get_decoder

DOCS = "/api/v1/docs"
NAMESPACE, VERSION = "scaiwave", "v1"
SERVICE = "ScaiCMS"

FIXES: dict[str, str] = {
    "AUTHENTICATION_REQUIRED": "A proxy takes the Authorization header away: let it pass to "
    "ScaiCMS.",
    "INVALID_API_KEY": "The key is wrong, revoked or of another ScaiCMS: make a new one and set "
    "SCAIWAVE_SCAICMS_API_KEY.",
    "SCOPE_DENIED": f"Give the key of SCAIWAVE_SCAICMS_API_KEY the scope docs:write:{NAMESPACE}.",
    "PERMISSION_DENIED": "Give the owner of the key of SCAIWAVE_SCAICMS_API_KEY the permission "
    "docs.write.",
}
"""What an operator can do about each code (ScaiCMS docs, reference/api-endpoints)."""


class LivePage(msgspec.Struct, kw_only=True, frozen=True):
    """assumption: `rev` is the name of the counter, and the rest comes back as it was sent."""

    title: str
    body_md: str
    frontmatter: dict[str, Any] | None = None
    rev: int | None = None


class Written(msgspec.Struct, kw_only=True, frozen=True):
    """`rev` is None where the server does not tell it."""

    rev: int | None = None


class _Told(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct):
    detail: str | _Told


class ScaiCmsClient:
    """Use it in a `with`. Every call may raise what `HttpClient.request` raises.

    All of them may be made twice, so that 429 and any 5xx are tried again, unless `retry` is
    false.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        namespace: str = NAMESPACE,
        version: str = VERSION,
        patience: RetryPolicy = RetryPolicy(total=30.0),  # noqa: B008 - frozen
    ) -> None:
        self.namespace = namespace
        self.http = HttpClient(
            base_url,
            service=SERVICE,
            patience=patience,
            refuse=scaicms_error_from_response,
            in_flight=1,
        )
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._pages = f"{DOCS}/{quote(namespace, safe='')}/{quote(version, safe='')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.http.close()

    def read_page(self, path: str, *, retry: bool = True) -> LivePage | None:
        """None if there is no such page."""
        try:
            answer = self._call("GET", path, retry=retry)
        except UpstreamNotFound:
            return None
        called = f"GET {answer.request.url.path}"
        page: LivePage = decode_response(answer.content, LivePage, source=called, service=SERVICE)
        return page

    def write_page(
        self,
        path: str,
        *,
        title: str,
        body_md: str,
        frontmatter: Mapping[str, Any],
        retry: bool = True,
    ) -> Written:
        """Make the page, or a new revision of it."""
        page = {"title": title, "body_md": body_md, "frontmatter": dict(frontmatter)}
        answer = self._call("PUT", path, json=page, retry=retry)
        if not answer.content:
            return Written()
        called = f"PUT {answer.request.url.path}"
        try:
            written: Written = decode_response(
                answer.content, Written, source=called, service=SERVICE
            )
        except UpstreamInvalidResponse as error:
            error.fix = (
                "Check that SCAIWAVE_SCAICMS_URL is ScaiCMS's address, then run it again to see "
                "whether the page was written."
            )
            raise
        return written

    def delete_page(self, path: str, *, retry: bool = True) -> None:
        """A page that is not there is as good as removed: a try before may have been heard."""
        try:
            self._call("DELETE", path, retry=retry)
        except UpstreamNotFound:
            return

    def _call(self, method: str, path: str, *, json: Any = None, retry: bool) -> httpx.Response:
        address = f"{self._pages}/{quote(path, safe='/')}"
        return self.http.request(method, address, json=json, headers=self._headers, retry=retry)


def scaicms_client(config: Configuration) -> ScaiCmsClient:
    """It connects when it is first asked something. Raises SettingMissing, SettingInvalid."""
    config.required("SCAIWAVE_SCAICMS_URL")
    return ScaiCmsClient(
        config.get_url("SCAIWAVE_SCAICMS_URL"), config.required("SCAIWAVE_SCAICMS_API_KEY")
    )


def scaicms_error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """As `answers.refusal`, with the codes of ScaiCMS; any 5xx may be tried again.

    The body is `{"detail": "…"}` or `{"detail": {"code", "message"}}`.
    """
    fault = error_from_response(response, peer)
    told = _told(response.content)
    error, code = fault.error, redact(told.code, response.request)
    if code:
        words = redact(told.message, response.request).rstrip(".")
        error.message = f"{error.message.rstrip('.')}: {code}{', ' if words else ''}{words}."
        error.args = (error.message,)
        error.details["upstream_code"] = code
        error.fix = FIXES.get(code, error.fix)
    return replace(fault, transient=fault.transient or response.status_code >= 500)


def _told(content: bytes) -> _Told:
    try:
        body: _Body = get_decoder(_Body).decode(content)
    except (ValueError, RecursionError):
        return _Told()
    return body.detail if isinstance(body.detail, _Told) else _Told()
