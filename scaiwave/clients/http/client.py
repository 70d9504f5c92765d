"""The HTTP client for all other servers: time-outs, retries, limits, one mapping of errors.

It never raises exceptions of httpx: `exceptions` translates the errors of a connection, `responses`
the statuses of responses. Both mark which errors are worth a retry.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypedDict

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from scaiwave.clients.errors import ResponseTooLarge
from scaiwave.clients.http.body import ACCEPT_ENCODING, BodyDecoder, UndecodableBody
from scaiwave.clients.http.deadlines import Deadline, ThreadDeadline, bound_client
from scaiwave.clients.http.exceptions import (
    HTTPX_ERRORS,
    Timeouts,
    TranslatedError,
    UpstreamServer,
    deadline_error,
    translate_exception,
)
from scaiwave.clients.http.responses import error_from_response
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.clients.http.tls import create_tls_context
from scaiwave.core.errors import SettingInvalid

logger = logging.getLogger(__name__)

# httpx logs every URL with its query, which can contain the status token of a registration.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)

Params = Mapping[str, object]

MAX_CONCURRENT_REQUESTS = 8
"""More gains little at 30 ms a page, and servers limit clients."""

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""After decompression. A page of 100 people has about 40 KB."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class _RetryableError(Exception):
    """A transient fault of one attempt, for the retry loop. It never leaves this module."""

    def __init__(self, fault: TranslatedError) -> None:
        super().__init__(fault.error.message)
        self.fault = fault


class ClientOptions(TypedDict, total=False):
    """What the clients of all servers pass on to HttpClient."""

    configured_by: str
    user_agent: str
    timeouts: Timeouts
    retry_policy: RetryPolicy
    max_concurrent_requests: int
    max_response_bytes: int
    sleep: Callable[[float], object] | None


class HttpClient:
    """A client of one server. Threads may share it; close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        *,
        service: str = "ScaiKey",
        configured_by: str = "",
        user_agent: str = "scaiwave",
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry_policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_concurrent_requests: int = MAX_CONCURRENT_REQUESTS,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        sleep: Callable[[float], object] | None = None,
        translate_response: Callable[
            [httpx.Response, UpstreamServer], TranslatedError
        ] = error_from_response,
    ) -> None:
        """Prepare the client; it connects with the first request.

        `configured_by` is the option that `base_url` comes from, if not the setting.
        `translate_response` returns the error of a response outside 200–299, for servers whose
        bodies have their own format. Raises SettingInvalid for an invalid address.
        """
        self._url = _parse_base_url(base_url, service)
        self.peer = UpstreamServer(
            service=service,
            origin=f"{self._url.scheme}://{self._url.netloc.decode()}",
            timeouts=timeouts,
            base_path=self._url.path.rstrip("/"),
            configured_by=configured_by,
        )
        self.retry_policy = retry_policy
        self.max_concurrent_requests = max_concurrent_requests
        self._max_response_bytes = max_response_bytes
        self._sleep = sleep
        self._translate_response = translate_response
        self._deadline = ThreadDeadline()
        self._client = self._open_client(user_agent)
        bound_client(self._client, self._deadline)
        self._requests = 0
        self._reached = False  # Until the server responds, `first_contact` limits the retries.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<HttpClient {self.peer.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    @property
    def base_url(self) -> httpx.URL:
        return self._url

    @property
    def requests(self) -> int:
        """The number of requests that were sent, retries included."""
        return self._requests

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        retry: bool | None = None,
        stop: threading.Event | None = None,
        trace: Callable[[str, dict[str, object]], None] | None = None,
        seconds: float | None = None,
    ) -> httpx.Response:
        """Return the response if its status is 200–299, with its body read.

        `path` is appended to the base URL; a complete URL is called as it is. `retry` is by default
        whether the method is idempotent. `stop`, once set, ends pauses and retries. `trace` is
        called with the events of the connection (see `clients.http.recording`). `seconds` limits an
        attempt more than the client's own limit does.

        Raises UpstreamUnreachable, UpstreamUnavailable, UpstreamInvalidResponse (and its subclasses
        in `clients.errors`), UpstreamUnauthorized, UpstreamForbidden, UpstreamNotFound,
        UpstreamRejected, UpstreamConflict; SettingInvalid for a request that can't be sent.
        """
        arguments = {"params": params, "json": json, "data": data, "headers": headers}
        if auth is not None:
            arguments["auth"] = auth
        if trace is not None:
            arguments["extensions"] = {"trace": trace}
        should_retry = method in IDEMPOTENT_METHODS if retry is None else retry
        retrying = self._build_retrying(stop or threading.Event(), should_retry=should_retry)
        try:
            return retrying(self._attempt, method, path, arguments, seconds)
        except _RetryableError as exhausted:
            error = exhausted.fault.error
        error.details["attempts"] = retrying.statistics["attempt_number"]
        raise error  # Outside the handler, so that httpx's exception is not its context.

    def _build_retrying(self, stop: threading.Event, *, should_retry: bool) -> Retrying:
        def should_stop(state: RetryCallState) -> bool:
            # A `sleep` of a test takes no time, so its pauses are counted.
            spent = max(state.seconds_since_start or 0.0, state.idle_for)
            limit = self.retry_policy.total
            if _get_fault(state).connecting and not self._reached:
                limit = min(self.retry_policy.first_contact, limit)
            return not should_retry or stop.is_set() or spent + state.upcoming_sleep > limit

        def pause(seconds: float) -> None:
            (self._sleep or stop.wait)(seconds)

        return Retrying(
            retry=retry_if_exception_type(_RetryableError),
            wait=lambda state: self.retry_policy.backoff_seconds(
                state.attempt_number, _get_fault(state).error.details.get("retry_after")
            ),
            stop=should_stop,
            sleep=pause,
            reraise=True,
        )

    def _attempt(
        self, method: str, path: str, arguments: dict[str, object], seconds: float | None
    ) -> httpx.Response:
        """Send one request. Raises _RetryableError if a retry may help, else the error itself."""
        started = time.monotonic()
        self._count_requests(1)
        try:
            response = self._send(method, path, arguments, seconds)
        except HTTPX_ERRORS as error:
            fault = translate_exception(error, self.peer)
            self._count_requests(-1 if fault.connecting else 0)  # Nothing was sent.
        else:
            milliseconds = (time.monotonic() - started) * 1000
            logger.debug("%s %s: %d, %.0f ms", method, path, response.status_code, milliseconds)
            if response.is_success:
                return response
            fault = self._translate_response(response, self.peer)
        raise _RetryableError(fault) if fault.transient else fault.error

    def _send(
        self, method: str, path: str, arguments: dict[str, Any], seconds: float | None
    ) -> httpx.Response:
        """Return a response with its body read. Raises _RetryableError and errors of httpx."""
        deadline = Deadline(min(self.peer.timeouts.total, seconds or math.inf))
        try:
            with (
                self._deadline.limit(deadline),
                self._client.stream(method, path, **arguments) as response,
            ):
                self._reached = True
                body = self._read_body(response, deadline)
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            if deadline.has_passed:
                raise _RetryableError(deadline_error(self.peer)) from None
            raise
        # The body is decompressed now: without these headers, httpx does not try it again.
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=body, request=response.request
        )

    def _read_body(self, response: httpx.Response, deadline: Deadline) -> bytes:
        """Return the decompressed body, within the limits of size and time."""
        encoding = response.headers.get("content-encoding", "")
        try:
            body = BodyDecoder(encoding, self._max_response_bytes)
            for chunk in response.iter_raw():
                body.add(chunk)
                if body.is_too_large:
                    raise ResponseTooLarge(
                        f"{self.peer.name} responded to {response.request.method} "
                        f"{response.request.url.path} with more than "
                        f"{self._max_response_bytes // 1024} KB.",
                        fix=f"Check that {self.peer.setting} is the address of "
                        f"{self.peer.service}.",
                    )
                if deadline.has_passed:
                    raise _RetryableError(deadline_error(self.peer))
            return body.finish()
        except UndecodableBody as error:
            raise httpx.DecodingError(str(error), request=response.request) from None

    def _count_requests(self, change: int) -> None:
        with self._lock:
            self._requests += change

    def _open_client(self, user_agent: str) -> httpx.Client:
        timeouts = self.peer.timeouts
        try:
            return httpx.Client(
                base_url=self._url,
                headers={
                    "User-Agent": user_agent,
                    "Accept": "application/json",
                    "Accept-Encoding": ACCEPT_ENCODING,
                },
                timeout=httpx.Timeout(
                    connect=timeouts.connect,
                    read=timeouts.read,
                    write=timeouts.write,
                    pool=timeouts.pool,
                ),
                limits=httpx.Limits(
                    max_connections=self.max_concurrent_requests,
                    max_keepalive_connections=self.max_concurrent_requests,
                ),
                verify=create_tls_context(),
                follow_redirects=False,
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL):
            problem = SettingInvalid(
                f"The environment's proxy or certificate settings can't be used for requests to "
                f"{self.peer.name}.",
                fix="Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
            )
        raise problem  # Outside the handler, as in `request`.


class ServiceClient:
    """A client of one service. Close it, or use it in a `with`."""

    http: HttpClient

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()


def _get_fault(state: RetryCallState) -> TranslatedError:
    raised = state.outcome.exception() if state.outcome else None
    if not isinstance(raised, _RetryableError):  # Only these are retried.
        raise TypeError(f"{raised!r} is not a fault")
    return raised.fault


def _parse_base_url(base_url: str, service: str) -> httpx.URL:
    setting = f"SCAIWAVE_{service.upper()}_URL"
    example = f"Set {setting} to something like https://{service.lower()}.example.org."
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise SettingInvalid(f"{setting} is not a complete http:// or https:// URL.", fix=example)
    if url.userinfo:
        raise SettingInvalid(f"{setting} contains a user name or password.", fix=example)
    return url
