"""The sandbox: a stand-in for ScaiKey that serves HTTP on the loopback address."""

from __future__ import annotations

import errno
import logging
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self
from urllib.parse import urlencode

from scaiwave.sandbox.api import control, oauth
from scaiwave.sandbox.api.pagination import ENVELOPES
from scaiwave.sandbox.errors import PortBusy, UnknownEntity
from scaiwave.sandbox.http.messages import (
    CONNECTION_FAULTS,
    HTTPError,
    Request,
    Response,
    json_response,
)
from scaiwave.sandbox.http.routing import find_route
from scaiwave.sandbox.http.server import Server
from scaiwave.sandbox.state import HOST, SandboxState

POLL_SECONDS = 0.05
"""How often the accepting thread checks for a request to stop."""
# Importing a module registers its handlers.
for _name in ("admin_api", "registration", "scaicms", "scaigrid", "scim", "sign_in"):
    import_module(f"scaiwave.sandbox.api.{_name}")
logger = logging.getLogger("scaiwave.sandbox")


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox(SandboxState):
    """Serve in background threads between `start` and `stop`, or as a context manager."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown envelope; see also `SandboxState`."""
        if self.envelope not in ENVELOPES:
            raise ValueError(f"Unknown envelope {self.envelope!r}. Known: {', '.join(ENVELOPES)}.")
        super().__post_init__()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> Self:
        """Start listening and return; port 0 becomes a free one. Raises PortBusy.

        EACCES is a port below 1024 that the operator may not use.
        """
        try:
            self._server = Server(
                (HOST, self.port), self.handle, clock=lambda: time.time() + self.clock_offset
            )
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortBusy(
                f"Port not available: {self.port} on {HOST}: {error.strerror}.",
                fix="Choose another port with --port, or stop the process that uses it.",
            ) from error
        self.port = self._server.server_port
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(POLL_SECONDS,),
            name="scaikey-sandbox",
            daemon=True,
        )
        self._thread.start()
        self.webhooks.start()
        return self

    def stop(self) -> None:
        """Close all connections and free the port, which may be used again at once."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
        self.webhooks.stop()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def handle(self, request: Request) -> Response:
        """Return the response, with latency and faults unless the path is the sandbox's own."""
        if request.path.startswith(control.CONTROL_PREFIX):
            return self._dispatch(request)
        match = find_route(request.path)
        template = match[0].template if match else "unmatched"
        self.requests.begin(f"{request.method} {template}")
        status = 0  # for a request without a response
        try:
            response = self._handle_with_faults(request)
            status = 0 if response.connection_fault == "drop" else response.status
            return response
        finally:
            self.requests.end(f"{request.method} {request.target}", status)

    def _handle_with_faults(self, request: Request) -> Response:
        started = time.monotonic()
        while (left := started + self.latency - time.monotonic()) > 0:
            # Both `stop` and a lower latency end the wait.
            if self._stopping.wait(min(left, 0.1)):
                break
        rule = request.rule = self.faults.claim_rule(request)
        if rule is None:
            return self._dispatch(request)
        if rule.action == "hang":
            self._stopping.wait(rule.seconds)
        response = rule.build_response() or self._dispatch(request)
        if rule.action in CONNECTION_FAULTS:
            response.connection_fault = rule.action
        return response

    def _dispatch(self, request: Request) -> Response:
        match = find_route(request.path)
        if match is None:
            # A redirect if only a trailing slash is missing or surplus, as FastAPI does.
            path = request.path
            target = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            if find_route(target) is None:
                return json_response({"detail": "Not Found"}, status=404)
            query = f"?{urlencode(request.query)}" if request.query else ""
            return Response(status=307, headers={"Location": f"{self.url}{target}{query}"})
        route, request.params = match
        handler = route.handlers.get(request.method)
        if handler is None:
            allowed = {"Allow": ", ".join(route.handlers)}
            return json_response({"detail": "Method Not Allowed"}, status=405, headers=allowed)
        try:
            return handler(self, request)
        except HTTPError as error:
            return error.response
        except UnknownEntity as error:
            return json_response({"detail": f"{error.kind} not found"}, status=404)
        except Exception:
            logger.exception("Sandbox request failed: %s %s", request.method, request.path)
            return json_response({"detail": "Internal Server Error"}, status=500)

    def issue_platform_token(self, *, scope: str = "admin:read", **claims: Any) -> str:
        """Return the token that the fixed client would get for `scope`, overridden by `claims`."""
        defaults = oauth.build_client_claims(self, self.clients.fixed, scope=scope, issuer=self.url)
        return self.issue_token(**{**defaults, **claims})
