"""Convert responses other than 2xx into errors of this suite."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import httpx
import msgspec

from scaiwave.clients.errors import (
    TrailingSlashRedirect,
    UpstreamConflict,
    UpstreamRedirect,
    UpstreamRejected,
)
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.retry import parse_retry_after
from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)

MAX_DETAIL_CHARS = 300
"""Longest part of a server's own message that is repeated."""

MIN_SECRET_CHARS = 12
"""Shorter values of a request are words (`page=2`), not secrets to hide."""

TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})
"""Sent again, if the request may be sent twice. A 500 is often one replica's, or ends soon."""


def error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """Return the error for a response outside 200–299."""
    status = response.status_code
    if status < 400:
        return TranslatedError(error=_redirect_error(response, peer))
    if status == 429:
        return TranslatedError(error=_rate_limit_error(response, peer), transient=True)
    if status >= 500:
        return TranslatedError(
            error=_unavailable_error(response, peer), transient=status in TRANSIENT_STATUSES
        )
    return TranslatedError(error=_rejection_error(response, peer))


def response_detail(response: httpx.Response) -> str:
    """Return the server's own message: one line, shortened, without secrets of the request."""
    return redact(_extract_text(response.content), response.request)


def redact(text: str, request: httpx.Request) -> str:
    """Return a text of the server as one line, shortened, without secrets of the request."""
    text = " ".join(text.split())
    for secret in sorted(_find_secrets(request), key=len, reverse=True):
        text = text.replace(secret, "[hidden]")
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= MAX_DETAIL_CHARS else f"{text[: MAX_DETAIL_CHARS - 1]}…"


def add_detail(error: ScaiWaveError, detail: str) -> None:
    """Append the server's own reason to the message."""
    error.message = f"{error.message.rstrip('.')}: {detail.rstrip('.')}."
    error.args = (error.message,)


def _extract_text(body: bytes) -> str:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    detail = document.get("detail")
    if isinstance(detail, list):
        return "; ".join(filter(None, map(_format_complaint, detail)))
    if isinstance(detail, str):
        return detail
    oauth = [document.get("error"), document.get("error_description")]
    return ": ".join(word for word in oauth if isinstance(word, str))


def _format_complaint(item: object) -> str:
    """Format one entry of FastAPI's 422, without its `input`, which repeats the request."""
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    location = item.get("loc")
    path = ".".join(str(step) for step in location) if isinstance(location, list) else ""
    return ": ".join(filter(None, [path, str(item.get("msg", ""))]))


def _find_secrets(request: httpx.Request) -> set[str]:
    values = [value for _, value in parse_qsl(request.url.query.decode("ascii", "replace"))]
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    values.append(credentials)
    if scheme == "Basic":
        try:
            password = base64.b64decode(credentials).decode().partition(":")[2]
            values += [password, unquote_plus(password)]
        except (binascii.Error, UnicodeDecodeError):
            values.append(credentials)
    return {value for value in values if len(value) >= MIN_SECRET_CHARS}


def _format_request(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _redirect_error(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    source, request = response.request.url, _format_request(response)
    try:
        target = source.join(response.headers.get("Location", ""))
    except httpx.InvalidURL:
        target = source
    origins = {(url.scheme, url.host, url.port) for url in (target, source)}
    one, other = target.path, source.path
    if len(origins) == 1 and one != other and one.rstrip("/") == other.rstrip("/"):
        return TrailingSlashRedirect(
            f"{peer.name} redirects {request} to {target.path}, which would lose the Authorization "
            "header.",
            fix=f"Update this suite: the addresses of {peer.service} end differently.",
        )
    address = f"{target.scheme}://{target.netloc.decode()}{target.path}"
    path = source.path.removeprefix(peer.base_path)
    if target == source or not target.host or not target.path.endswith(path):
        fix = f"Set {peer.setting} to the address that {peer.service} itself answers at."
    else:  # The target serves the same path below this address.
        base = address.removesuffix(path)
        fix = f"If {base} is {peer.service}, set {peer.setting} to it."
    return UpstreamRedirect(
        f"{peer.name} redirects {request} to {address}, and redirects are not followed.",
        fix=fix,
    )


def _rate_limit_error(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    wait = parse_retry_after(response.headers.get("Retry-After"))
    if wait is None:
        return UpstreamUnavailable(
            f"{peer.name} limits the rate of requests (429).",
            fix="Wait a few minutes, then run the command again.",
        )
    return UpstreamUnavailable(
        f"{peer.name} limits the rate of requests (429) and asks to wait {wait:.0f} s.",
        fix="Wait that long, then run the command again.",
        retry_after=wait,
    )


def _unavailable_error(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    status = response.status_code
    wait = parse_retry_after(response.headers.get("Retry-After"))
    asks = "" if wait is None else f" and asks to wait {wait:.0f} s"
    details: dict[str, Any] = {} if wait is None else {"retry_after": wait}
    return UpstreamUnavailable(
        f"{peer.name} responded to {_format_request(response)} with {_get_reason(status)}{asks}.",
        fix=f"Check the log of {peer.service}, then run the command again.",
        status=status,
        **details,
    )


def _get_reason(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _rejection_error(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    request, detail = _format_request(response), response_detail(response)
    detail = f": {detail.rstrip('.')}." if detail else "."
    match response.status_code:
        case 401:
            return UpstreamUnauthorized(
                f"{peer.name} rejected this server's credentials for {request}{detail}",
                fix=f"Check the credentials for {peer.service}.",
            )
        case 403:
            return UpstreamForbidden(
                f"{peer.name} does not allow {request}{detail}",
                fix=f"Ask the operator of {peer.service} for the permission.",
            )
        case 404:
            return _not_found_error(response, peer)
        case 409:
            return UpstreamConflict(
                f"{peer.name} reports a conflict for {request}{detail}",
                fix="Compare it with the existing object, and decide which one is correct.",
            )
        case 400 | 422:
            return UpstreamRejected(
                f"{peer.name} rejected {request}{detail}",
                fix="Correct the value that it names, then try again.",
                answer=response_detail(response) or "",
            )
        case status:
            return UpstreamInvalidResponse(
                f"{peer.name} responded to {request} with {_get_reason(status)}, which is not "
                "documented.",
                fix=f"Check that {peer.setting} is the address of {peer.service}.",
            )


def wrong_path_error(response: httpx.Response, peer: UpstreamServer) -> UpstreamInvalidResponse:
    """Return the error of a 404 where the server always has something."""
    return UpstreamInvalidResponse(
        f"{peer.origin}{response.request.url.path} was not found (404), although {peer.service} "
        "has it.",
        fix=f"Set {peer.setting} to the address of {peer.service}, without /v1 or any other path.",
        wrong_path=True,
    )


def _not_found_error(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    """Return UpstreamNotFound only for a 404 in JSON: a web server's page proves nothing."""
    request = _format_request(response)
    try:
        msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return UpstreamInvalidResponse(
            f"{peer.name} responded to {request} with a 404 that is not from {peer.service}.",
            fix=f"Check that {peer.setting} is the address of {peer.service}.",
        )
    return UpstreamNotFound(
        f"Not found in {peer.service}: {response.request.url.path} (404).",
        fix="Check the ID or the name.",
    )
