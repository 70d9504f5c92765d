"""What all endpoints of the HTTP API share: allowed methods, the envelope and errors.

A success is `{"data": …, "meta": …}`, a failure `{"error": {"code", "message"}}` with the status of
the error (ScaiWave docs, reference/error-codes). Cookies do not authenticate requests, so requests
can't be forged across sites, and no CSRF token is needed.
"""

from __future__ import annotations

import functools
import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.core.exceptions import SuspiciousOperation
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template import loader
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from scaiwave.console.output import to_json
from scaiwave.console.text import shorten, shorten_input
from scaiwave.core.errors import (
    DatabaseUnreachable,
    DiskFull,
    NotFoundError,
    RefusedError,
    ScaiWaveError,
    TokenRequired,
)
from scaiwave.storage.error_mapping import (
    DatabaseBusy,
    map_database_error,
    older_schema_error,
    translate_errors,
)

PREFIX = "/v1/"
MAX_UNREAD_BYTES = 65536
MAX_DISCARD_SECONDS = 5.0
SERVER_ERROR_MESSAGE = "The server failed to process the request. Its log has the details."

_SEE_PAGE = "See [the HTTP API](http-api.md) for the request that this address takes."

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponse)
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

logger = logging.getLogger(__name__)


class PathNotFound(NotFoundError):
    """There is no such address below `/v1/`."""

    code = "SW_NOT_FOUND"
    remedy = _SEE_PAGE


class MethodNotAllowed(RefusedError):
    """This address does not support the method; the `Allow` header lists those it does."""

    code = "SW_METHOD_NOT_ALLOWED"
    http_status = 405
    remedy = _SEE_PAGE


class BadApiRequest(RefusedError):
    """The request is not as the documentation requires."""

    code = "SW_REQUEST_INVALID"
    remedy = _SEE_PAGE


class LengthRequired(RefusedError):
    """An upload without a `Content-Length` header."""

    code = "SW_REQUEST_LENGTH_REQUIRED"
    http_status = 411
    remedy = _SEE_PAGE


class RequestTooSlow(RefusedError):
    """An upload was slower than the least rate, or took longer than its time limit."""

    code = "SW_REQUEST_TOO_SLOW"
    http_status = 408
    remedy = (
        "Upload from a better connection. SCAIWAVE_UPLOAD_MIN_KIB_PER_SECOND and "
        "SCAIWAVE_UPLOAD_MAX_SECONDS are the limits."
    )


class RateLimitExceeded(RefusedError):
    """The caller has too many requests in progress."""

    code = "SW_RATE_LIMIT_EXCEEDED"
    http_status = 429
    retry_after_seconds = 30
    remedy = "Wait until one of them ends, at least as long as `Retry-After` says."


def api_view(*methods: str) -> Callable[[View[P]], View[P]]:
    """Turn a view into an endpoint that accepts these methods, with errors in the envelope.

    An error while a response is streamed is raised: the status has been sent by then.
    """

    def decorate(view: View[P]) -> View[P]:
        @csrf_exempt
        @functools.wraps(view)
        def endpoint(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                allowed = ", ".join(methods)
                response = error_response(
                    MethodNotAllowed(f"This address supports {allowed} only.")
                )
                response["Allow"] = allowed
                return response
            try:
                with translate_errors():
                    return view(request, *args, **kwargs)
            except ScaiWaveError as error:
                response = error_response(error)
            except (SuspiciousOperation, MultiPartParserError, UnreadablePostError) as error:
                response = error_response(BadApiRequest(f"The request can't be read: {error}"))
            except Exception:
                logger.exception("Unhandled error at %s %s", request.method, request.path)
                response = error_response(ScaiWaveError(SERVER_ERROR_MESSAGE))
            response.unread_request = request
            return response

        return cast(View[P], endpoint)

    return decorate


def json_response(
    data: Any, *, status: int = 200, meta: Mapping[str, Any] | None = None
) -> HttpResponse:
    return _build_response({"data": data, "meta": meta or {}}, status, HttpResponse)


class ErrorResponse(HttpResponse):
    """A failure in the envelope. `unread_request` is a request that may not have been read.

    If the server closed its connection with unread data, it would be reset, and a proxy that is
    still sending would respond 502. So after the response, the rest of a large body is discarded.
    """

    unread_request: HttpRequest | None = None

    def close(self) -> None:
        super().close()
        if self.unread_request is not None:
            _discard_body(self.unread_request)


def _discard_body(request: HttpRequest) -> None:
    """Read the rest of the request, for a limited time; gunicorn itself reads 64 KiB."""
    connection = request.META.get("gunicorn.socket")  # Other servers have none.
    length = request.headers.get("Content-Length", "")
    if connection is None or not length.isdecimal() or int(length) <= MAX_UNREAD_BYTES:
        return
    deadline = time.monotonic() + MAX_DISCARD_SECONDS
    with suppress(OSError):  # The client has closed the connection.
        connection.shutdown(socket.SHUT_WR)  # The response is complete.
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(MAX_UNREAD_BYTES):
                return


MAX_MESSAGE_CHARS = 1000
"""Longest message of an error; words that it repeats from a request are shorter."""


def error_response(error: ScaiWaveError) -> ErrorResponse:
    """Build the response for an error. Details of server errors go to the log only."""
    message = shorten(shorten_input(error.message, ()), MAX_MESSAGE_CHARS)
    if error.http_status >= 500:
        if type(error) is not ScaiWaveError:  # A defect is in the log, with its traceback.
            logger.error("%s [%s] %s", message, error.code, error.fix)
        message = SERVER_ERROR_MESSAGE
    body = {"error": {"code": error.code, "message": message}}
    response = _build_response(body, error.http_status, ErrorResponse)
    if error.http_status == 401:
        # RFC 6750, section 3: no error code if the request has no token.
        reason = "" if isinstance(error, TokenRequired) else ', error="invalid_token"'
        response["WWW-Authenticate"] = f'Bearer realm="scaiwave"{reason}'
    if isinstance(error, RateLimitExceeded):
        response["Retry-After"] = str(error.retry_after_seconds)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle a request that Django rejects before any view, for example for an unknown host."""
    if request.path.startswith(PREFIX):
        return error_response(BadApiRequest("The request was rejected before it was read."))
    return cast(HttpResponse, defaults.bad_request(request, exception))


def server_error(request: HttpRequest) -> HttpResponse:
    """Handle any other exception. A database that can't be used now is a page with 503, on
    which proxies and monitors try again, and which states the remedy.
    """
    error = sys.exc_info()[1]
    ours = map_database_error(error) if isinstance(error, DatabaseError) else None
    if not isinstance(ours, DatabaseUnreachable | DatabaseBusy | DiskFull):
        return cast(HttpResponse, defaults.server_error(request))
    return _build_unavailable_page({"code": ours.code})


def build_unmigrated_response(path: str) -> HttpResponse:
    """Return the response to any request while the database has an older schema."""
    error = older_schema_error()
    if path.startswith(PREFIX):
        return error_response(error)
    logger.error("%s [%s] %s", error.message, error.code, error.fix)
    return _build_unavailable_page({"code": error.code, "fix": error.fix})


def _build_unavailable_page(values: dict[str, str]) -> HttpResponse:
    page = loader.get_template("503.html").render(values)
    response = HttpResponse(page, status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = str(RateLimitExceeded.retry_after_seconds)
    return response


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    return error_response(PathNotFound("There is no such address."))


def _build_response(document: Any, status: int, response_class: type[R]) -> R:
    response = response_class(
        to_json(document, indent=None), status=status, content_type="application/json"
    )
    response["Cache-Control"] = "no-store"
    return response
