"""One HTTP client for all the servers we call: time-outs, retries, limits, one error mapping.

Nothing of httpx is raised from here. What goes wrong on the way is `foreign`'s to translate,
what the server answers `answers`'; both are told apart from what may be tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from scaiwave.clients.errors import ResponseTooLarge
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
from scaiwave.errors import ScaiWaveError, SettingInvalid

logger = logging.getLogger(__name__)

# httpx logs every address with its query, and a registration's status token is in the query.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)

IN_FLIGHT = 8
"""Requests under way at once. More gains little at 30 ms a page, and servers limit clients."""

LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes after decompression. A page of 100 people is about 40 KB."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class _TryAgain(Exception):
    """Carries a transient fault from the attempt to the retry loop; never leaves this module."""

    def __init__(self, fault: TranslatedError) -> None:
        super().__init__(fault.error.message)
        self.fault = fault


class HttpClient:
    """Calls one server. Threads may share an instance; close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        *,
        service: str = "ScaiKey",
        user_agent: str = "scaiwave",
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        patience: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        in_flight: int = IN_FLIGHT,
        largest_answer: int = LARGEST_ANSWER,
        sleep: Callable[[float], object] | None = None,
        refuse: Callable[[httpx.Response, UpstreamServer], TranslatedError] = error_from_response,
    ) -> None:
        """Connect to nothing yet. Raises SettingInvalid for an address that can't be called.

        `refuse` makes the error of an answer outside 200–299, for servers with bodies of their
        own.
        """
        self._url = _checked(base_url, service)
        self.peer = UpstreamServer(service=service, origin=_origin(self._url), timeouts=timeouts)
        self.patience = patience
        self.in_flight = in_flight
        self._largest_answer = largest_answer
        self._sleep = sleep
        self._refuse = refuse
        self._client = self._open(user_agent)
        self._requests = 0
        self._reached = False
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
        """Requests that were really sent, tries included."""
        return self._requests

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        retry: bool | None = None,
        stop: threading.Event | None = None,
        trace: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> httpx.Response:
        """Return the answer if it is 200–299, fully read.

        `path` is appended to the base URL; a whole address is called as it is. `retry` left
        open means: if the method is idempotent. `stop`, once set, ends pauses and retries. `trace`
        is called with the events of the connection (see `clients.http.recording`).

        Raises UpstreamUnreachable, UpstreamUnavailable, UpstreamInvalidResponse (and its kinds in
        `clients.errors`), UpstreamUnauthorized, UpstreamForbidden, UpstreamNotFound,
        UpstreamRejected, UpstreamConflict; SettingInvalid for what can't be sent at all.
        """
        arguments = {"params": params, "json": json, "data": data, "headers": headers}
        if auth is not None:
            arguments["auth"] = auth
        if trace is not None:
            arguments["extensions"] = {"trace": trace}
        again = method in IDEMPOTENT if retry is None else retry
        retrying = self._retrying(stop or threading.Event(), again=again)
        try:
            return retrying(self._attempt, method, path, arguments)
        except _TryAgain as exhausted:
            error = exhausted.fault.error
        error.details["attempts"] = retrying.statistics["attempt_number"]
        raise error  # Outside the handler, so that no foreign exception hangs on to it.

    def _retrying(self, stop: threading.Event, *, again: bool) -> Retrying:
        def gives_up(state: RetryCallState) -> bool:
            spent = max(state.seconds_since_start or 0.0, state.idle_for)
            limit = self._limit(_fault(state))
            return not again or stop.is_set() or spent + state.upcoming_sleep > limit

        def pause(seconds: float) -> None:
            (self._sleep or stop.wait)(seconds)

        return Retrying(
            retry=retry_if_exception_type(_TryAgain),
            wait=lambda state: self.patience.pause(
                state.attempt_number, _fault(state).error.details.get("retry_after")
            ),
            stop=gives_up,
            sleep=pause,
            reraise=True,
        )

    def _limit(self, fault: TranslatedError) -> float:
        if fault.connecting and not self._reached:
            return min(self.patience.first_contact, self.patience.total)
        return self.patience.total

    def _attempt(self, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        """One request. Raises _TryAgain for what may be tried again, else the error itself."""
        began = time.monotonic()
        self._count(1)
        try:
            response = self._exchange(method, path, arguments, began)
        except HTTPX_ERRORS as error:
            fault = translate_exception(error, self.peer)
            self._count(-1 if fault.connecting else 0)
        else:
            taken = (time.monotonic() - began) * 1000
            logger.debug("%s %s: %d, %.0f ms", method, path, response.status_code, taken)
            if response.is_success:
                return response
            fault = self._refuse(response, self.peer)
        raise _TryAgain(fault) if fault.transient else fault.error

    def _exchange(
        self, method: str, path: str, arguments: dict[str, Any], began: float
    ) -> httpx.Response:
        with self._client.stream(method, path, **arguments) as response:
            self._reached = True
            body = self._read(response, began + self.peer.timeouts.whole)
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=body, request=response.request
        )

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        """The body, decompressed; neither a lying size nor a trickle can hold us up."""
        chunks, size = [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._largest_answer:
                raise self._too_large(response)
            if time.monotonic() > deadline:
                raise _TryAgain(deadline_error(self.peer))
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self, response: httpx.Response) -> ScaiWaveError:
        limit = self._largest_answer // 1024
        return ResponseTooLarge(
            f"{self.peer.name} answers {response.request.method} {response.request.url.path} "
            f"with more than {limit} KB.",
            fix=f"Check that {self.peer.setting} is the address of {self.peer.service}.",
        )

    def _count(self, change: int) -> None:
        with self._lock:
            self._requests += change

    def _open(self, user_agent: str) -> httpx.Client:
        waits = self.peer.timeouts
        try:
            return httpx.Client(
                base_url=self._url,
                headers={"User-Agent": user_agent, "Accept": "application/json"},
                timeout=httpx.Timeout(
                    connect=waits.connect, read=waits.read, write=waits.write, pool=waits.pool
                ),
                limits=httpx.Limits(
                    max_connections=self.in_flight, max_keepalive_connections=self.in_flight
                ),
                verify=True,
                follow_redirects=False,
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL):
            problem = SettingInvalid(
                f"The proxy or certificate settings of the environment can't be used to call "
                f"{self.peer.name}.",
                fix="Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
            )
        raise problem


def _fault(state: RetryCallState) -> TranslatedError:
    raised = state.outcome.exception() if state.outcome else None
    if not isinstance(raised, _TryAgain):  # Only those are retried.
        raise TypeError(f"{raised!r} is not a fault")
    return raised.fault


def _checked(base_url: str, service: str) -> httpx.URL:
    setting = f"SCAIWAVE_{service.upper()}_URL"
    example = f"Set {setting} to something like https://{service.lower()}.example.org."
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise SettingInvalid(f"{setting} is not a whole http:// or https:// address.", fix=example)
    if url.userinfo:
        raise SettingInvalid(f"{setting} holds a user name or password.", fix=example)
    return url


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"
