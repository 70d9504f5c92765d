"""The sandbox: a stand-in for ScaiKey that speaks real HTTP on the loopback address."""

from __future__ import annotations

import errno
import inspect
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, get_type_hints
from urllib.parse import urlencode

import msgspec

from scaiwave.sandbox.api import admin_api, control, oauth, registration, scaicms, scaigrid, scim
from scaiwave.sandbox.api.pagination import ENVELOPES
from scaiwave.sandbox.api.registration import Registrations
from scaiwave.sandbox.clients import Client, Clients
from scaiwave.sandbox.data.directory import MUTATIONS, Directory
from scaiwave.sandbox.errors import InvalidMutation, PortBusy
from scaiwave.sandbox.http.faults import ON_THE_WIRE, Faults
from scaiwave.sandbox.http.request_log import Requests
from scaiwave.sandbox.http.routing import HTTPError, Request, Response, find_route, json_response
from scaiwave.sandbox.http.server import Server
from scaiwave.sandbox.journal import Journal
from scaiwave.sandbox.keys import KeyRing, PrivateKey

HOST = "127.0.0.1"
# How often, in seconds, the accepting thread looks whether it is to stop.
POLL = 0.05
# Importing a module of handlers fills the table of routes.
HANDLERS: tuple[ModuleType, ...] = (
    admin_api,
    control,
    oauth,
    registration,
    scaicms,
    scaigrid,
    scim,
)
logger = logging.getLogger("scaiwave.sandbox")


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox:
    """Serves in background threads between `start` and `stop`, or as a context manager.

    The directory is a function of seed and sizes: a start with the same ones has the same
    people, ids and client credentials, and with `state_dir` also the mutations made before.
    Times are in seconds; `clock_offset` falsifies the Date header alone. Everything from
    `envelope` on may be changed while it runs, and so may `registrations.auto_approve`.
    A page above `max_per_page` rows is capped silently; where `refuse_per_page` is set, that
    limit applies instead and a bigger page is refused with 422. Without `scim` the groups can't
    be read by SCIM: its paths answer 404.
    """

    seed: int = 1
    partners: int = 3
    tenants: int = 12
    people: int = 2000
    groups: int = 150
    port: int = 0
    client_id: str = ""
    client_secret: str = ""
    alg: str = "RS256"
    nested_tenant: bool = False
    auto_approve: bool = False
    state_dir: Path | None = None
    envelope: str = "data+pagination"
    latency: float = 0.0
    per_page: int = 25
    max_per_page: int = 100
    refuse_per_page: int | None = None
    scim: bool = True
    token_lifetime: int = 3600
    clock_offset: float = 0.0
    faults: Faults = field(default_factory=Faults, init=False)
    requests: Requests = field(default_factory=Requests, init=False)

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown envelope, ForeignState for another's `state_dir`."""
        if self.envelope not in ENVELOPES:
            raise ValueError(f"{self.envelope!r} is no envelope; known: {', '.join(ENVELOPES)}.")
        sizes = {name: getattr(self, name) for name in ("partners", "tenants", "people", "groups")}
        self.directory = Directory(seed=self.seed, **sizes, nested_tenant=self.nested_tenant)
        self.keys = KeyRing(seed=self.seed, alg=self.alg)
        self.clients = Clients(
            seed=self.seed, client_id=self.client_id, client_secret=self.client_secret
        )
        self.client_id = self.clients.fixed.client_id
        self.client_secret = self.clients.secret(self.clients.fixed) or ""
        self.registrations = Registrations(auto_approve=self.auto_approve)
        self.scaicms = scaicms.ScaiCms(seed=self.seed)
        self.scaigrid = scaigrid.ScaiGrid(seed=self.seed)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._journal: Journal | None = None
        if self.state_dir is not None:
            journal = Journal(self.state_dir, directory={"seed": self.seed, **sizes})
            for entry in journal.replay():
                self.mutate(str(entry.pop("op")), **entry)
            self._journal = journal

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Listen and return at once. Raises PortBusy."""
        try:
            self._server = Server((HOST, self.port), self.respond, clock=self._clock)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortBusy(
                f"Port {self.port} of {HOST} can't be opened: {error.strerror}.",
                fix="Choose another with --port, or stop what listens there.",
            ) from error
        self.port = self._server.server_port
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL,), name="scaikey-sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up on everybody and free the port; a start on the same port may follow."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _clock(self) -> float:
        return time.time() + self.clock_offset

    def respond(self, request: Request) -> Response:
        """Answer one request, with latency and faults unless it is to the sandbox itself."""
        if request.path.startswith(control.CONTROL):
            return self._answer(request)
        found = find_route(request.path)
        template = found[0].template if found else "unmatched"
        self.requests.begin(f"{request.method} {template}")
        status = 0
        try:
            response = self._answer_badly(request)
            status = 0 if response.wire == "drop" else response.status
            return response
        finally:
            self.requests.end(f"{request.method} {request.target}", status)

    def _answer_badly(self, request: Request) -> Response:
        if self.latency:
            self._stopping.wait(self.latency)
        rule = request.rule = self.faults.take(request)
        if rule is None:
            return self._answer(request)
        if rule.action == "hang":
            self._stopping.wait(rule.seconds)
        response = rule.instead() or self._answer(request)
        if rule.action in ON_THE_WIRE:
            response.wire = rule.action
        return response

    def _answer(self, request: Request) -> Response:
        found = find_route(request.path)
        if found is None:
            return self._no_route(request)
        route, request.params = found
        handler = route.handlers.get(request.method)
        if handler is None:
            allowed = {"Allow": ", ".join(route.handlers)}
            return json_response({"detail": "Method Not Allowed"}, status=405, headers=allowed)
        try:
            return handler(self, request)
        except HTTPError as refusal:
            return refusal.response
        except Exception:
            logger.exception("The sandbox failed on %s %s.", request.method, request.path)
            return json_response({"detail": "Internal Server Error"}, status=500)

    def _no_route(self, request: Request) -> Response:
        """A slash too few or too many is redirected, as FastAPI does; anything else is 404."""
        path = request.path
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        if find_route(other) is None:
            return json_response({"detail": "Not Found"}, status=404)
        query = f"?{urlencode(request.query)}" if request.query else ""
        return Response(status=307, headers={"Location": f"{self.url}{other}{query}"})

    def issuer(self, tenant_id: str | None) -> str:
        return f"{self.url}/tenants/{tenant_id}" if tenant_id else self.url

    def trusts(self, issuer: str) -> bool:
        """Whether tokens of this issuer are ours: the platform's or an existing tenant's."""
        prefix, _, tenant_id = issuer.rpartition("/tenants/")
        return issuer == self.url or (prefix == self.url and tenant_id in self.directory.tenants)

    def applications(self, client_id: str) -> list[dict[str, Any]]:
        """The fixed client's, the registered ones', and that of the client who asks."""
        asking = self.clients.find(client_id)
        clients = [self.clients.fixed, *self.registrations.clients(), *filter(None, [asking])]
        return list({client.client_id: _application(client) for client in clients}.values())

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key; without `keep_old` the old one leaves the JWKS at once."""
        self.keys.rotate(keep_old=keep_old)

    def mint(
        self,
        *,
        key: PrivateKey | bytes | None = None,
        alg: str | None = None,
        kid: str | None = None,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token with these claims over sound defaults, and without those that are None.

        `mint(role="super_admin")` is a good one. For bad ones: `key=sandbox.keys.foreign()`,
        `alg="none"`, `alg="HS256"` (signed with the public key's PEM), `kid="unknown"`,
        `exp`, `nbf` and `iat` in Unix seconds, `iss`, `aud`, `headers={"kid": None}`.
        """
        now = int(time.time())
        defaults = {
            "iss": self.url,
            "aud": self.client_id,
            "sub": "usr_sandbox_admin",
            "iat": now,
            "exp": now + self.token_lifetime,
        }
        wanted = {name: v for name, v in {**defaults, **claims}.items() if v is not None}
        return self.keys.craft(wanted, key=key, alg=alg, kid=kid, headers=headers)

    def mint_platform(self, *, scope: str = "admin:read", **claims: Any) -> str:
        """The token that the fixed client would get for `scope`, changed by `claims`."""
        fixed = oauth.client_claims(self, self.clients.fixed, scope=scope, issuer=self.url)
        return self.mint(**{**fixed, **claims})

    def mutate(self, operation: str, **arguments: Any) -> Any:
        """Change the directory by name, and remember it if there is a `state_dir`.

        Raises InvalidMutation for an unknown operation or wrong arguments, UnknownEntity.
        """
        if operation not in MUTATIONS:
            raise InvalidMutation(
                f"{operation!r} is no mutation.", fix=f"Take one of {', '.join(sorted(MUTATIONS))}."
            )
        change = getattr(self.directory, operation)
        _check_arguments(change, arguments)
        with self.directory.lock:
            result = change(**arguments)
            if self._journal is not None:
                self._journal.record(operation, arguments)
        return result

    def summary(self) -> dict[str, Any]:
        """What is there, without secrets."""
        knobs = ("url", "seed", "client_id", "envelope", "latency", "per_page", "max_per_page")
        return {
            **{name: getattr(self, name) for name in knobs},
            **self.directory.totals(),
            "registrations": self.registrations.summary(),
            "faults": len(self.faults.rules()),
            "requests": self.requests.total,
        }


def _application(client: Client) -> dict[str, Any]:
    return {
        "id": client.application_id,
        "name": client.name,
        "client_id": client.client_id,
        "scope": client.app_scope,
        "application_type": client.app_type,
        "status": "ACTIVE",
        "tenant_id": client.tenant_id,
        "partner_id": client.partner_id,
    }


def _check_arguments(change: Any, arguments: dict[str, Any]) -> None:
    """Refuse before anything is changed what the verb's signature does not take."""
    hints = get_type_hints(change)
    try:
        inspect.signature(change).bind(**arguments)
        for name in arguments.keys() & hints.keys():
            msgspec.convert(arguments[name], hints[name])
    except (TypeError, msgspec.ValidationError) as error:
        raise InvalidMutation(
            f"{change.__name__}: {error}.", fix=f"It takes {inspect.signature(change)}."
        ) from None
