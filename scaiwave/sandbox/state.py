"""The state of the sandbox and the operations on it, without HTTP.

Handlers are given this class, since `server` imports them.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from scaiwave.sandbox.clients import Client, Clients
from scaiwave.sandbox.data.directory import MUTATIONS, Directory
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.docs_pages import ScaiCms
from scaiwave.sandbox.errors import ForeignState, InvalidMutation
from scaiwave.sandbox.grants import Grants
from scaiwave.sandbox.grid import ScaiGrid
from scaiwave.sandbox.http.messages import Faults
from scaiwave.sandbox.http.routing import RequestLog
from scaiwave.sandbox.keys import KeyRing, PrivateKey
from scaiwave.sandbox.registrations import Registrations
from scaiwave.sandbox.webhooks import Webhooks

HOST = "127.0.0.1"
ISSUE_CLIENT = "issue_client"
"""The operation in the journal that registers the redirect URIs of a client."""
JOURNAL_NAME = "mutations.jsonl"


class Journal:
    """A file of mutations, one JSON line each, that is replayed at the next start.

    The first line holds the seed and sizes of the directory that the mutations belong to.
    """

    def __init__(self, state_dir: Path, *, directory: dict[str, int]) -> None:
        self.path = state_dir / JOURNAL_NAME
        self._directory = directory
        state_dir.mkdir(parents=True, exist_ok=True)

    def replay(self) -> list[Row]:
        """Return all recorded mutations. An incomplete last line is removed from the file.

        Raises ForeignState if the file belongs to a directory with another seed or other sizes.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            os.truncate(self.path, len(complete))
        lines = complete.splitlines()
        if not lines:
            self._append(self._directory)
            return []
        entries = [msgspec.json.decode(line) for line in lines]
        if entries[0] != self._directory:
            options = ", ".join(f"--{name} {value}" for name, value in entries[0].items())
            raise ForeignState(
                f"State directory belongs to another sandbox: {self.path}, {options}.",
                fix="Use these options or another --state-dir, or delete the file.",
            )
        return entries[1:]

    def record(self, operation: str, arguments: Mapping[str, object]) -> None:
        self._append({"op": operation, **arguments})

    def _append(self, entry: Mapping[str, object]) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")


@dataclass(kw_only=True, eq=False, repr=False)
class SandboxState:
    """The options and the content of a sandbox.

    The directory depends on seed and sizes only: the same values give the same people, IDs and
    client credentials, and with `state_dir` also the mutations of earlier runs. Times are in
    seconds; `clock_offset` shifts the Date header only. Everything from `envelope` on may be
    changed while it runs, and so may `registrations.auto_approve`. A request for more than
    `max_per_page` rows gets that many; with `refuse_per_page` set, that limit applies instead and a
    request above it is refused with 422. Without `scim` the SCIM paths return 404; with
    `scim_cursors` lists by SCIM can be read by cursor. Without `at_hash` ID tokens lack that claim,
    which is optional in the code flow. Mutations are announced to `webhook_url`; `webhooks` has
    more options.
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
    scim_cursors: bool = False
    token_lifetime: int = 3600
    at_hash: bool = True
    clock_offset: float = 0.0
    webhook_url: str = ""
    faults: Faults = field(default_factory=Faults, init=False)
    requests: RequestLog = field(default_factory=RequestLog, init=False)

    def __post_init__(self) -> None:
        """Build the directory and replay its mutations.

        Raises ForeignState if `state_dir` belongs to a sandbox with another seed or other sizes.
        """
        sizes = {name: getattr(self, name) for name in ("partners", "tenants", "people", "groups")}
        self.directory = Directory(seed=self.seed, **sizes, nested_tenant=self.nested_tenant)
        self.keys = KeyRing(seed=self.seed, alg=self.alg)
        self.clients = Clients(
            seed=self.seed, client_id=self.client_id, client_secret=self.client_secret
        )
        self.client_id = self.clients.fixed.client_id
        self.client_secret = self.clients.get_secret(self.clients.fixed) or ""
        self.grants = Grants()
        self.registrations = Registrations(auto_approve=self.auto_approve)
        self.scaicms = ScaiCms(seed=self.seed)
        self.scaigrid = ScaiGrid(seed=self.seed)
        self.webhooks = Webhooks(self.directory, seed=self.seed)
        self._journal: Journal | None = None
        if self.state_dir is not None:
            journal = Journal(self.state_dir, directory={"seed": self.seed, **sizes})
            for entry in journal.replay():
                operation = str(entry.pop("op"))
                if operation == ISSUE_CLIENT:
                    self.clients.register_redirects(**entry)
                else:
                    self.mutate(operation, **entry)
            self._journal = journal
        # Only now: the mutations of earlier runs were announced then.
        self.webhooks.configure({"url": self.webhook_url})

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def get_issuer(self, tenant_id: str | None) -> str:
        return f"{self.url}/tenants/{tenant_id}" if tenant_id else self.url

    def is_trusted_issuer(self, issuer: str) -> bool:
        """Return whether the issuer is the platform or an existing tenant."""
        prefix, _, tenant_id = issuer.rpartition("/tenants/")
        return issuer == self.url or (prefix == self.url and tenant_id in self.directory.tenants)

    def issue_client(self, **fields: Any) -> Client:
        """Issue a client, see `Clients.issue`, and record its redirect URIs in the journal."""
        with self.directory.lock:
            client = self.clients.issue(**fields)
            names = ("client_id", "redirect_uris", "post_logout_redirect_uris")
            if self._journal is not None:
                arguments = {name: getattr(client, name) for name in names}
                self._journal.record(ISSUE_CLIENT, arguments)
        return client

    def list_applications(self, client_id: str) -> list[Row]:
        """Return the applications of the fixed, the approved and the calling client."""
        clients = [self.clients.fixed, *self.registrations.approved_clients()]
        if caller := self.clients.find(client_id):
            clients.append(caller)
        return list(
            {
                client.client_id: {
                    "id": client.application_id,
                    "name": client.name,
                    "client_id": client.client_id,
                    "scope": client.app_scope,
                    "application_type": client.app_type,
                    "status": "ACTIVE",
                    "redirect_uris": list(client.redirect_uris),
                    "tenant_id": client.tenant_id,
                    "partner_id": client.partner_id,
                }
                for client in clients
            }.values()
        )

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key; without `keep_old` remove the old keys from the JWKS."""
        self.keys.rotate(keep_old=keep_old)

    def issue_token(
        self,
        *,
        key: PrivateKey | bytes | None = None,
        alg: str | None = None,
        kid: str | None = None,
        headers: dict[str, object] | None = None,
        **claims: object,
    ) -> str:
        """Return a token with valid default claims, overridden by `claims`; None omits a claim.

        `issue_token(role="super_admin")` is valid. Invalid tokens:
        `key=sandbox.keys.foreign_key()`, `alg="none"`, `alg="HS256"` (signed with the public key's
        PEM), `kid="unknown"`, `exp`, `nbf` and `iat` in Unix seconds, `iss`, `aud`,
        `headers={"kid": None}`.
        """
        now = int(time.time())
        defaults = {
            "iss": self.url,
            "aud": self.client_id,
            "sub": "usr_sandbox_admin",
            "scope": "openid",
            "iat": now,
            "exp": now + self.token_lifetime,
        }
        merged = {name: v for name, v in {**defaults, **claims}.items() if v is not None}
        return self.keys.forge_token(merged, key=key, alg=alg, kid=kid, headers=headers)

    def mutate(self, operation: str, **arguments: object) -> Any:
        """Run a mutation of the directory by name, and record it if there is a `state_dir`.

        Raises InvalidMutation for an unknown operation or invalid arguments, and UnknownEntity.
        """
        if operation not in MUTATIONS:
            raise InvalidMutation(
                f"Unknown mutation: {operation!r}.",
                fix=f"Use one of {', '.join(sorted(MUTATIONS))}.",
            )
        change = getattr(self.directory, operation)
        hints = get_type_hints(change)
        try:
            inspect.signature(change).bind(**arguments)
            for name in arguments.keys() & hints.keys():
                msgspec.convert(arguments[name], hints[name])
        except (TypeError, msgspec.ValidationError) as error:
            raise InvalidMutation(
                f"Invalid arguments: {change.__name__}: {error}.",
                fix=f"Use the signature {inspect.signature(change)}.",
            ) from None
        with self.directory.lock:
            result = change(**arguments)
            if self._journal is not None:
                self._journal.record(operation, arguments)
        self.webhooks.announce_mutation(operation, arguments, result)
        return result

    def get_summary(self) -> dict[str, object]:
        """Return the options and the counts, without secrets."""
        options = ("url", "seed", "client_id", "envelope", "latency", "per_page", "max_per_page")
        return {
            **{name: getattr(self, name) for name in options},
            **self.directory.count_entities(),
            "registrations": self.registrations.list_statuses(),
            "faults": len(self.faults.list_rules()),
            "requests": self.requests.total,
        }
