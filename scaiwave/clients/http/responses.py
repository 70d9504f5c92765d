"""Turns an answer that is not a success into one of our errors."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
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
from scaiwave.clients.http.retry import retry_after
from scaiwave.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)

LONGEST_DETAIL = 300
"""Characters of a server's own words that we repeat."""

SHORTEST_SECRET = 12
"""A value of our request that is shorter is a word (`page=2`), not a secret to hide."""

TRANSIENT = frozenset({429, 502, 503, 504})


def error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """The error for an answer outside 200–299."""
    status = response.status_code
    if status < 400:
        return TranslatedError(error=_redirect(response, peer))
    if status == 429:
        return TranslatedError(error=_limited(response, peer), transient=True)
    if status >= 500:
        return TranslatedError(error=_unavailable(response, peer), transient=status in TRANSIENT)
    return TranslatedError(error=_refused(response, peer))


def response_detail(response: httpx.Response) -> str:
    """The server's own words, cut, on one line, without what our request kept secret."""
    return redact(_words(response.content), response.request)


def redact(words: str, request: httpx.Request) -> str:
    """A server's words, cut, on one line, without what our request kept secret."""
    text = " ".join(words.split())
    for secret in sorted(_secrets(request), key=len, reverse=True):
        text = text.replace(secret, "[hidden]")
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= LONGEST_DETAIL else f"{text[: LONGEST_DETAIL - 1]}…"


def _words(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    detail = answer.get("detail")
    if isinstance(detail, list):
        return "; ".join(filter(None, map(_complaint, detail)))
    if isinstance(detail, str):
        return detail
    oauth = [answer.get("error"), answer.get("error_description")]
    return ": ".join(word for word in oauth if isinstance(word, str))


def _complaint(item: object) -> str:
    """One entry of FastAPI's 422: where and what; its `input` would repeat what we sent."""
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    where = item.get("loc")
    place = ".".join(str(step) for step in where) if isinstance(where, list) else ""
    return ": ".join(filter(None, [place, str(item.get("msg", ""))]))


def _secrets(request: httpx.Request) -> set[str]:
    values = [value for _, value in parse_qsl(request.url.query.decode("ascii", "replace"))]
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    values.append(credentials)
    if scheme == "Basic":
        try:
            password = base64.b64decode(credentials).decode().partition(":")[2]
            values += [password, unquote_plus(password)]
        except (binascii.Error, UnicodeDecodeError):
            values.append(credentials)
    return {value for value in values if len(value) >= SHORTEST_SECRET}


def _said(response: httpx.Response) -> str:
    detail = response_detail(response)
    return f": {detail.rstrip('.')}." if detail else "."


def _call(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _redirect(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    asked = response.request.url
    try:
        place = asked.join(response.headers.get("Location", ""))
    except httpx.InvalidURL:
        place = asked
    shown = f"{place.scheme}://{place.netloc.decode()}{place.path}"
    if _origin(place) == _origin(asked) and _differ_by_slash(place.path, asked.path):
        return TrailingSlashRedirect(
            f"{peer.name} redirects {_call(response)} to {place.path}, and the Authorization "
            "header would be lost on the way.",
            fix=f"Update this suite: it and {peer.service} disagree about the slash at the end.",
        )
    return UpstreamRedirect(
        f"{peer.name} redirects {_call(response)} to {shown}, and redirects are not followed.",
        fix=f"Set {peer.setting} to the address where {peer.service} itself answers.",
    )


def _differ_by_slash(one: str, other: str) -> bool:
    return one != other and one.rstrip("/") == other.rstrip("/")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return (url.scheme, url.host, url.port)


def _limited(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    wait = retry_after(response.headers.get("Retry-After"))
    if wait is None:
        return UpstreamUnavailable(
            f"{peer.name} limits how often we may call (429).",
            fix="Wait a few minutes, then run the command again.",
        )
    return UpstreamUnavailable(
        f"{peer.name} limits how often we may call (429) and asks to wait {wait:.0f} s.",
        fix="Wait that long, then run the command again.",
        retry_after=wait,
    )


def _unavailable(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    status = response.status_code
    wait = retry_after(response.headers.get("Retry-After"))
    asks = "" if wait is None else f" and asks to wait {wait:.0f} s"
    details = {} if wait is None else {"retry_after": wait}
    return UpstreamUnavailable(
        f"{peer.name} answers {_call(response)} with {_reason(status)}{asks}.",
        fix=f"Look at the log of {peer.service}, then run the command again.",
        status=status,
        **details,
    )


def _reason(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _refused(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    call, said = _call(response), _said(response)
    match response.status_code:
        case 401:
            return UpstreamUnauthorized(
                f"{peer.name} does not accept our credentials for {call}{said}",
                fix=f"Check the credentials for {peer.service}.",
            )
        case 403:
            return UpstreamForbidden(
                f"{peer.name} forbids {call}{said}",
                fix=f"Ask who runs {peer.service} for the permission.",
            )
        case 404:
            return _not_found(response, peer)
        case 409:
            return UpstreamConflict(
                f"{peer.name} says that {call} conflicts with what it has{said}",
                fix="Look at what is there already, and decide which of the two is right.",
            )
        case 400 | 422:
            return UpstreamRejected(
                f"{peer.name} rejects {call}{said}", fix="Correct what it names, then try again."
            )
        case status:
            return UpstreamInvalidResponse(
                f"{peer.name} answers {call} with {_reason(status)}, which it does not document.",
                fix=f"Check that {peer.setting} is the address of {peer.service}.",
            )


def _not_found(response: httpx.Response, peer: UpstreamServer) -> ScaiWaveError:
    """A 404 counts only if it is an API's: a web server's page proves nothing about a thing."""
    call = _call(response)
    try:
        msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return UpstreamInvalidResponse(
            f"{peer.name} answers {call} with a 404 that is not {peer.service}'s.",
            fix=f"Check that {peer.setting} is the address of {peer.service}.",
        )
    return UpstreamNotFound(
        f"{peer.service} has nothing at {response.request.url.path} (404).",
        fix="Check the id or the name.",
    )
