"""A scripted ScaiKey over HTTP on loopback: a correct directory, and lists that misbehave.

Responses by id are always correct. A list may change its order with each page, come from two
replicas, repeat rows, cap its pages and report a wrong total, and the directory may change while a
list is read. It shares no code with the sandbox, so that a defect of one can't hide in the other.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields
from itertools import combinations
from random import Random
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote

import msgspec

COLLECTIONS = ("partners", "tenants", "users", "groups")
ORDERS = ("steady", "rotate", "jump", "reverse", "shuffle")
REPLICAS = ("one", "parity", "alternate")
REPEATS = ("none", "echo", "again", "instead")
TOTALS = ("right", "missing", "low", "high", "half", "random")
TOTAL_PLACES = ("top", "meta", "pagination")
ENVELOPES = ("data", "items", "bare")
JUMPING_ROWS = 10
CONTAINED = {
    "partners": (("tenants", "partner_id"),),
    "tenants": (("groups", "tenant_id"), ("users", "tenant_id")),
}
ROLES: tuple[list[str], ...] = ([], ["editors"], ["editors", "auditors"], ["tenant_admin"])
ADMIN = "/api/v1/admin/"
DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"
TOKEN = "/api/v1/platform/oauth/token"

Fact = tuple[str, ...]
"""A true statement, such as ("member", group, member). No run may end it while it is true."""


class DirectoryChange(NamedTuple):
    """A change of the directory: its name, the number of records, and the seed that picks them."""

    name: str
    number: int = 1
    seed: int = 0


class CompactRepr:
    """For dataclasses: a repr with only the fields that differ from their default."""

    def __repr__(self) -> str:
        arguments = [
            f"{entry.name}={value!r}"
            for entry in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, entry.name)) != entry.default
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the repr in hypothesis."""
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Size(CompactRepr):
    """The size of a directory; `members` is the maximum of a group."""

    seed: int = 0
    partners: int = 1
    tenants: int = 1
    people: int = 1
    groups: int = 0
    members: int = 0


@dataclass(frozen=True, repr=False)
class ListBehaviour(CompactRepr):
    """How one list behaves.

    `order` changes the order before each page except the first, by `step` rows or by `seed`; with
    `continuing` it does not start over when the list is read again. Of two `replicas`, chosen by
    the parity of the page or in turn, the second is rotated by `offset` rows, or shuffled if that
    is 0. The first replica still shows removed rows with `lagging`, and rows as they were before
    their last change with `stale`. `caps` limit the pages in turn.
    """

    order: str = "steady"
    step: int = 0
    seed: int = 0
    continuing: bool = False
    replicas: str = "one"
    offset: int = 9
    lagging: bool = False
    stale: bool = False
    repeat: str = "none"
    caps: tuple[int, ...] = (100,)
    totals: str = "right"
    total_position: str = "top"
    envelope: str = "data"


@dataclass(frozen=True, repr=False)
class Script(CompactRepr):
    """How the server behaves during one run.

    `interruptions` are changes of the directory: the list during which they happen, the number of
    the request to it before which they happen, and the change. `members` are for the lists of
    members in turn. With `scim` the groups are available by SCIM too, and behave like their list.
    """

    partners: ListBehaviour = ListBehaviour()
    tenants: ListBehaviour = ListBehaviour()
    users: ListBehaviour = ListBehaviour()
    groups: ListBehaviour = ListBehaviour()
    members: tuple[ListBehaviour, ...] = (ListBehaviour(),)
    interruptions: tuple[tuple[str, int, DirectoryChange], ...] = ()
    strict_pages: bool = False
    without_discovery: bool = False
    token_with_claims: bool = False
    scim: bool = False

    def get_behaviour(self, name: str, group_id: str) -> ListBehaviour:
        if name != "members":
            return getattr(self, name)  # type: ignore[no-any-return]
        return self.members[int(group_id.rpartition("_")[2]) % len(self.members)]


class Listing:
    """One list of the directory: ordered rows, encoded once, and what was deleted recently."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.encoded: dict[str, bytes] = {}
        self.previous: dict[str, bytes] = {}
        self.recently_deleted: list[tuple[int, str]] = []

    def put(self, key: str, row: dict[str, Any], position: float = 1.0) -> None:
        """Add a row between the first position (0.0) and the last (1.0), or change it."""
        if key in self.rows:
            self.previous[key] = self.encoded[key]
        else:
            self.keys.insert(round(position * len(self.keys)), key)
        self.rows[key] = row
        self.encoded[key] = msgspec.json.encode(row)

    def delete(self, keys: Collection[str]) -> None:
        positions = [position for position, key in enumerate(self.keys) if key in keys]
        self.recently_deleted += [
            (position, self.keys[position]) for position in reversed(positions)
        ]
        self.keys = [key for key in self.keys if key not in keys]
        for key in keys:
            self.rows.pop(key, None)

    def list_lagging_keys(self) -> list[str]:
        """Return the keys of a replica without the latest removals."""
        keys, present = self.keys.copy(), set(self.keys)
        for position, key in reversed(self.recently_deleted):
            if key not in present:
                present.add(key)
                keys.insert(position, key)
        return keys


class RemoteDirectory:
    """What ScaiKey really has. Rows are created and changed in bulk, picked by seeds."""

    def __init__(self, size: Size) -> None:
        self.lists = {name: Listing() for name in COLLECTIONS}
        self.members: dict[str, Listing] = {}
        self.deleted: dict[tuple[str, str], dict[str, Any]] = {}
        self._numbers = dict.fromkeys(COLLECTIONS, 0)
        random = Random(size.seed)
        for name, number in (("partner", size.partners), ("tenant", size.tenants)):
            for _ in range(number):
                DIRECTORY_CHANGES[f"add_{name}"](self, random, 1)
        _add_people(self, random, size.people)
        for _ in range(size.groups):
            _add_group(self, random, size.members)

    def collect_facts(self) -> set[Fact]:
        partners, tenants, users, groups = (self.lists[name].rows for name in COLLECTIONS)
        facts: set[Fact] = set()
        for key, row in partners.items():
            facts |= {("partner", key), ("partner status", key, row["status"])}
        for key, row in tenants.items():
            facts |= {("tenant", key), ("tenant status", key, row["status"])}
            facts.add(("tenant of", key, row["partner_id"]))
        for key, row in users.items():
            facts.add(("person", row["tenant_id"], key))
            facts.add(("person status", row["tenant_id"], key, row["status"]))
            facts.update(("role", row["tenant_id"], key, role) for role in row["roles"])
        facts.update(("group", row["tenant_id"], key) for key, row in groups.items())
        facts.update(
            ("member", group, member_id)
            for group in groups
            for member_id in self.members[group].rows
        )
        return facts

    def apply(self, change: DirectoryChange) -> None:
        DIRECTORY_CHANGES[change.name](self, Random(change.seed), change.number)

    def update_replicas(self) -> None:
        """Remove the recently deleted rows from lagging replicas, too."""
        for listing in (*self.lists.values(), *self.members.values()):
            listing.recently_deleted.clear()

    def new_id(self, collection: str) -> str:
        self._numbers[collection] += 1
        prefix = {"partners": "prt", "tenants": "tnt", "users": "usr", "groups": "grp"}[collection]
        return f"{prefix}_{self._numbers[collection]}"

    def list_contained(self, collection: str, tenant_id: str) -> list[str]:
        rows = self.lists[collection].rows
        return [key for key, row in rows.items() if row["tenant_id"] == tenant_id]

    def change(self, collection: str, keys: Collection[str], **fields: Any) -> None:
        listing = self.lists[collection]
        for key in keys:
            listing.put(key, {**listing.rows[key], **fields})

    def remove(self, collection: str, keys: Collection[str], *, soft: bool) -> None:
        """Remove records with what they contain; with `soft` a look-up returns them as DELETED."""
        listing, ids = self.lists[collection], set(keys)
        for inner, column in CONTAINED.get(collection, ()):
            rows = self.lists[inner].rows
            self.remove(inner, [key for key, row in rows.items() if row[column] in ids], soft=soft)
        if soft:
            self.deleted |= {(collection, key): listing.rows[key] for key in ids}
        listing.delete(ids)
        self.leave_groups(ids)
        for key in ids:
            self.members.pop(key, None)

    def leave_groups(self, ids: Collection[str]) -> None:
        for listing in self.members.values():
            if removed := [key for key in listing.rows if key in ids]:
                listing.delete(set(removed))

    def add_group(self, tenant: str, members: Collection[str], position: float = 1.0) -> str:
        key = self.new_id("groups")
        row = {"id": key, "name": f"Group {key}", "tenant_id": tenant, "group_type": "SECURITY"}
        self.lists["groups"].put(key, row, position)
        self.members[key] = Listing()
        for member_id in members:
            self.join(key, member_id)
        return key

    def join(self, group: str, member_id: str, position: float = 1.0) -> None:
        row = {"user_id": member_id, "membership_type": "DIRECT"}
        if not is_person(member_id):
            row = {"member_group_id": member_id}
        self.members[group].put(member_id, row, position)


def is_person(key: str) -> bool:
    return key.startswith("usr_")


def _sample(random: Random, keys: Collection[str], number: int) -> list[str]:
    return random.sample(list(keys), min(number, len(keys)))


def _add_partner(directory: RemoteDirectory, random: Random, number: int) -> None:
    for _ in range(number):
        key = directory.new_id("partners")
        row = {"id": key, "name": f"Partner {key}", "slug": f"p-{key[4:]}", "status": "ACTIVE"}
        directory.lists["partners"].put(key, row, random.random())


def _add_tenant(directory: RemoteDirectory, random: Random, number: int) -> None:
    for _ in range(number):
        key = directory.new_id("tenants")
        row = {"id": key, "name": f"Tenant {key}", "slug": f"t-{key[4:]}", "status": "ACTIVE"}
        row["partner_id"] = random.choice(list(directory.lists["partners"].rows))
        directory.lists["tenants"].put(key, row, random.random())


def _add_people(directory: RemoteDirectory, random: Random, number: int) -> None:
    tenants = list(directory.lists["tenants"].rows)
    for _ in range(number if tenants else 0):
        key = directory.new_id("users")
        row = {"id": key, "display_name": f"Person {key[4:]}", "email": f"{key}@example.org"}
        row |= {"tenant_id": random.choice(tenants), "status": "ACTIVE"}
        directory.lists["users"].put(key, row | {"roles": random.choice(ROLES)}, random.random())


def _change_people(directory: RemoteDirectory, random: Random, number: int) -> None:
    for key in _sample(random, directory.lists["users"].rows, number):
        directory.change("users", [key], display_name=f"Renamed {random.randrange(1000)}")


def _change_roles(directory: RemoteDirectory, random: Random, number: int) -> None:
    for key in _sample(random, directory.lists["users"].rows, number):
        directory.change("users", [key], roles=random.choice(ROLES))


def _move_people(directory: RemoteDirectory, random: Random, number: int) -> None:
    """Move people to another tenant, which ends their memberships."""
    moving = set(_sample(random, directory.lists["users"].rows, number))
    directory.leave_groups(moving)
    tenants = list(directory.lists["tenants"].rows)
    for key in sorted(moving):
        directory.change("users", [key], tenant_id=random.choice(tenants))


def _revive_people(directory: RemoteDirectory, random: Random, number: int) -> None:
    """Undo soft deletions."""
    tenants = directory.lists["tenants"].rows
    for key in [key for collection, key in directory.deleted if collection == "users"][:number]:
        row = directory.deleted.pop(("users", key))
        if row["tenant_id"] in tenants:
            directory.lists["users"].put(key, row, random.random())


def _add_group(directory: RemoteDirectory, random: Random, members: int) -> None:
    if not (tenants := list(directory.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    people = _sample(random, directory.list_contained("users", tenant), members)
    groups = _sample(random, directory.list_contained("groups", tenant), random.randrange(2))
    directory.add_group(tenant, [*groups, *people], random.random())


def _add_members(directory: RemoteDirectory, random: Random, number: int) -> None:
    for group in _sample(random, directory.lists["groups"].rows, 2):
        tenant = directory.lists["groups"].rows[group]["tenant_id"]
        people = directory.list_contained("users", tenant)
        candidates = [*people, *directory.list_contained("groups", tenant)]
        for member_id in _sample(random, candidates, number):
            if member_id not in directory.members[group].rows:
                directory.join(group, member_id, random.random())


def _remove_members(directory: RemoteDirectory, random: Random, number: int) -> None:
    for group in _sample(random, directory.lists["groups"].rows, 2):
        directory.members[group].delete(set(_sample(random, directory.members[group].rows, number)))


def _hand_over_tenant(directory: RemoteDirectory, random: Random, number: int) -> None:
    for key in _sample(random, directory.lists["tenants"].rows, number):
        partner = random.choice(list(directory.lists["partners"].rows))
        directory.change("tenants", [key], partner_id=partner)


def _make_remover(collection: str, *, soft: bool) -> Callable[[RemoteDirectory, Random, int], None]:
    def remove(directory: RemoteDirectory, random: Random, number: int) -> None:
        """Remove records, but never the last tenant or partner."""
        rows = directory.lists[collection].rows
        maximum = len(rows) - 1 if collection in ("partners", "tenants") else len(rows)
        directory.remove(collection, _sample(random, rows, max(0, min(number, maximum))), soft=soft)

    return remove


def _leave_tenant(directory: RemoteDirectory, random: Random, number: int) -> None:
    """Remove many people of one tenant."""
    if not (tenants := list(directory.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    directory.remove(
        "users", _sample(random, directory.list_contained("users", tenant), number), soft=False
    )


def _make_status_setter(
    collection: str, status: str
) -> Callable[[RemoteDirectory, Random, int], None]:
    def change(directory: RemoteDirectory, random: Random, number: int) -> None:
        rows = directory.lists[collection].rows
        others = [key for key, row in rows.items() if row["status"] != status]
        directory.change(collection, _sample(random, others, number), status=status)

    return change


DIRECTORY_CHANGES: dict[str, Callable[[RemoteDirectory, Random, int], None]] = {
    "change_people": _change_people,
    "add_people": _add_people,
    "delete_people": _make_remover("users", soft=False),
    "soft_delete_people": _make_remover("users", soft=True),
    "leave_tenant": _leave_tenant,
    "move_people": _move_people,
    "remove_members": _remove_members,
    "add_members": _add_members,
    "add_group": _add_group,
    "delete_groups": _make_remover("groups", soft=False),
    "soft_delete_groups": _make_remover("groups", soft=True),
    "revive_people": _revive_people,
    "change_roles": _change_roles,
    "suspend_people": _make_status_setter("users", "SUSPENDED"),
    "activate_people": _make_status_setter("users", "ACTIVE"),
    "add_tenant": _add_tenant,
    "delete_tenants": _make_remover("tenants", soft=False),
    "soft_delete_tenants": _make_remover("tenants", soft=True),
    "suspend_tenants": _make_status_setter("tenants", "SUSPENDED"),
    "activate_tenants": _make_status_setter("tenants", "ACTIVE"),
    "hand_over_tenant": _hand_over_tenant,
    "add_partner": _add_partner,
    "delete_partners": _make_remover("partners", soft=False),
    "soft_delete_partners": _make_remover("partners", soft=True),
    "suspend_partners": _make_status_setter("partners", "SUSPENDED"),
    "activate_partners": _make_status_setter("partners", "ACTIVE"),
}


class ServedPage(NamedTuple):
    """One page that was returned."""

    page: int
    keys: tuple[str, ...]
    total: int | None


def serve_page(
    listing: Listing, behaviour: ListBehaviour, *, page: int, per_page: int, request_number: int
) -> ServedPage:
    """Return a page of the list, after `request_number` other requests."""
    keys = _list_replica_keys(
        listing, behaviour, _is_second_replica(behaviour, page, request_number)
    )
    total = len(keys)
    if total:
        keys = _add_repeats(_order(keys, behaviour, request_number), behaviour)
    size = min(per_page, behaviour.caps[request_number % len(behaviour.caps)])
    page_keys = keys[(page - 1) * size : page * size]
    if behaviour.repeat == "echo":
        page_keys += page_keys[:1]
    return ServedPage(page, tuple(page_keys), _choose_total(total, behaviour, request_number))


def _is_second_replica(behaviour: ListBehaviour, page: int, request_number: int) -> bool:
    if behaviour.replicas == "parity":
        return page % 2 == 0
    return behaviour.replicas == "alternate" and request_number % 2 == 1


def _list_replica_keys(listing: Listing, behaviour: ListBehaviour, second: bool) -> list[str]:
    if not second:
        return listing.list_lagging_keys() if behaviour.lagging else listing.keys.copy()
    if behaviour.offset:
        return _rotate(listing.keys, behaviour.offset)
    keys = listing.keys.copy()
    Random(behaviour.seed).shuffle(keys)
    return keys


def _rotate(keys: list[str], rows: int) -> list[str]:
    turn = rows % len(keys) if keys else 0
    return keys[turn:] + keys[:turn]


def _order(keys: list[str], behaviour: ListBehaviour, request_number: int) -> list[str]:
    match behaviour.order:
        case "rotate":
            return _rotate(keys, behaviour.step * request_number)
        case "jump":
            return _jump(keys, behaviour.seed, request_number)
        case "reverse":
            return keys[::-1] if request_number % 2 else keys
        case "shuffle" if request_number:
            Random(behaviour.seed + request_number).shuffle(keys)
    return keys


def _jump(keys: list[str], seed: int, times: int) -> list[str]:
    """Move ten rows from anywhere to the front, each time."""
    front: dict[str, None] = {}
    for time in range(times, 0, -1):
        front |= dict.fromkeys(_sample(Random(seed + time), keys, JUMPING_ROWS))
    return [*front, *(key for key in keys if key not in front)]


def _add_repeats(keys: list[str], behaviour: ListBehaviour) -> list[str]:
    first, second = (Random(behaviour.seed + step).randrange(len(keys)) for step in (0, 1))
    match behaviour.repeat:
        case "again":
            return [*keys, keys[first]]
        case "instead":
            keys[first] = keys[second]
    return keys


def _choose_total(real: int, behaviour: ListBehaviour, request_number: int) -> int | None:
    """Return the total to report; a bare list has none."""
    if behaviour.envelope == "bare":
        return None
    part = max(1, real // 10)
    match behaviour.totals:
        case "right":
            return real
        case "low":
            return max(0, real - part)
        case "high":
            return real + part
        case "half":
            return real // 2
        case "random":
            return Random(behaviour.seed + request_number).randint(0, 2 * real)
    return None


def find_omitted_members(served: list[ServedPage], members: set[str]) -> set[str]:
    """Return the members that two complete reads with different page sizes omitted.

    No client with these responses could know that they are still members. A read is complete if it
    continues to an empty page, repeats no one, and each reported total equals the number of rows.
    Its page size is that of the returned pages, not the requested one: two reads whose pages are
    capped equally are the same read twice.
    """
    complete = [read for read in _split_reads(served) if _is_complete(read)]
    omitted: set[str] = set()
    for first, second in combinations(complete, 2):
        if _get_page_size(first) != _get_page_size(second):
            omitted |= members - _collect_keys(first).union(_collect_keys(second))
    return omitted


def _split_reads(served: list[ServedPage]) -> Iterator[list[ServedPage]]:
    read: list[ServedPage] = []
    for page in served:
        if page.page == 1 and read:
            yield read
            read = []
        read.append(page)
    yield read


def _is_complete(read: list[ServedPage]) -> bool:
    pages = {page.page: page for page in read}
    end = next((number for number in range(1, len(read) + 1) if not _has_rows(pages, number)), None)
    if end is None or end not in pages:
        return False
    whole = [pages[number] for number in range(1, end + 1)]
    row_count = sum(len(page.keys) for page in whole)
    totals = {page.total for page in whole} - {None}
    return row_count == len(_collect_keys(whole)) and totals <= {row_count}


def _has_rows(pages: dict[int, ServedPage], page: int) -> bool:
    return page in pages and bool(pages[page].keys)


def _get_page_size(read: list[ServedPage]) -> int:
    return max(len(page.keys) for page in read)


def _collect_keys(read: list[ServedPage]) -> set[str]:
    return {key for page in read for key in page.keys}


@dataclass
class _RunState:
    """The state of the server during a run."""

    script: Script
    unchanged: set[Fact]
    requests: dict[str, int] = field(default_factory=dict)
    request_number: dict[str, int] = field(default_factory=dict)
    served: dict[str, list[ServedPage]] = field(default_factory=dict)


class ScriptedScaiKey:
    """Serves in background threads as a context manager; `begin_run` sets the script of a run."""

    client_id, client_secret = "scripted", "a-secret"

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), self)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.directory = RemoteDirectory(Size())
        self.past_facts: set[Fact] = set()
        self.problems: list[BaseException | None] = []
        self._state = _RunState(Script(), set())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def load(self, directory: RemoteDirectory) -> None:
        """Start over with this directory."""
        with self._lock:
            self.directory, self.past_facts = directory, set()

    def begin_run(self, script: Script) -> None:
        """Start a run, and record which facts stay unchanged during it.

        `past_facts` has all facts at the beginning of a run or during one since `load`.
        """
        with self._lock:
            self._state = _RunState(script, self.directory.collect_facts())
            self.past_facts |= self._state.unchanged

    @property
    def unchanged(self) -> set[Fact]:
        """The facts that have been true since the run began."""
        with self._lock:
            return set(self._state.unchanged)

    def find_undetectable_facts(self) -> set[Fact]:
        """Return the memberships that two complete reads of this run omitted."""
        with self._lock:
            return {
                ("member", group, member_id)
                for group, served in self._state.served.items()
                if group in self.directory.members
                for member_id in find_omitted_members(
                    served, set(self.directory.members[group].rows)
                )
            }

    def respond(self, method: str, target: str, *, is_authenticated: bool) -> tuple[int, bytes]:
        """Respond to one request; `is_authenticated` is true if it has a token."""
        path, _, query = target.partition("?")
        with self._lock:
            if method == "POST" and path == TOKEN:
                return 200, self._build_token()
            if path == DISCOVERY and not self._state.script.without_discovery:
                return 200, msgspec.json.encode({"token_endpoint": self.url + TOKEN})
            if path.startswith(ADMIN) and not is_authenticated:
                return 401, _encode_detail("Not authenticated")
            parts = [unquote(part) for part in path.split("/")]
            return self._route(parts, dict(parse_qsl(query))) or (404, _encode_detail("Not found"))

    def _route(self, parts: list[str], params: dict[str, str]) -> tuple[int, bytes] | None:
        match parts:
            case ["", "api", "v1", "admin", name, ""] if name in COLLECTIONS:
                return self._respond_with_list(name, "", params)
            case ["", "api", "v1", "admin", "groups", group, "members"]:
                return self._respond_with_list("members", group, params)
            case ["", "api", "v1", "admin", name, key] if name in COLLECTIONS:
                return self._respond_with_item(name, key)
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups"]:
                return self._respond_with_scim(tenant, params)
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups", group]:
                return self._respond_with_scim_item(tenant, group)
        return None

    def _build_token(self) -> bytes:
        claims = {"app_scope": "GLOBAL", "client_id": self.client_id, "platform_token": True}
        parts = (msgspec.json.encode({"alg": "RS256"}), msgspec.json.encode(claims), b"signature")
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        if not self._state.script.token_with_claims:
            token = "an-opaque-token"
        grant = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        return msgspec.json.encode(grant)

    def _interrupt(self, name: str) -> None:
        """Apply the changes of the script before the response to this request."""
        state = self._state
        number = state.requests[name] = state.requests.get(name, 0) + 1
        for list_name, request_number, change in state.script.interruptions:
            if (list_name, request_number) == (name, number):
                self.directory.apply(change)
                facts = self.directory.collect_facts()
                state.unchanged &= facts
                self.past_facts |= facts

    def _respond_with_list(
        self, name: str, group: str, params: dict[str, str]
    ) -> tuple[int, bytes]:
        per_page, page = int(params.get("per_page", 25)), int(params.get("page", 1))
        if per_page > 100 and self._state.script.strict_pages:
            problem = {"loc": ["query", "per_page"], "type": "less_than_equal"}
            message = "Input should be less than or equal to 100"
            return 422, msgspec.json.encode({"detail": [problem | {"msg": message}]})
        self._interrupt(name)
        if name == "members" and group not in self.directory.members:
            return 404, _encode_detail("Not found")
        listing = self.directory.members[group] if name == "members" else self.directory.lists[name]
        behaviour = self._state.script.get_behaviour(name, group)
        request_number = self._count(f"{name} {group}", page, behaviour)
        served = serve_page(
            listing, behaviour, page=page, per_page=per_page, request_number=request_number
        )
        if name == "members":
            self._state.served.setdefault(group, []).append(served)
        stale = behaviour.stale and not _is_second_replica(behaviour, page, request_number)
        rows = [
            (listing.previous.get(key) if stale else None) or listing.encoded[key]
            for key in served.keys
        ]
        return 200, _encode_page(rows, served.total, page, behaviour)

    def _count(self, list_name: str, start: int, behaviour: ListBehaviour) -> int:
        """Return how many pages of this list were requested before, in this read or in all.

        A read begins with the first page, or row.
        """
        if start == 1 and not behaviour.continuing:
            self._state.request_number[list_name] = 0
        request_number = self._state.request_number.get(list_name, 0)
        self._state.request_number[list_name] = request_number + 1
        return request_number

    def _respond_with_item(self, name: str, key: str) -> tuple[int, bytes]:
        self._interrupt("items")
        listing = self.directory.lists[name]
        if key in listing.rows:
            return 200, listing.encoded[key]
        if row := self.directory.deleted.get((name, key)):
            return 200, msgspec.json.encode(row | {"status": "DELETED"})
        return 404, _encode_detail("Not found")

    def _respond_with_scim(self, tenant: str, params: dict[str, str]) -> tuple[int, bytes]:
        """Return correct groups with their members by SCIM, in a list that behaves like theirs."""
        if not self._state.script.scim or tenant not in self.directory.lists["tenants"].rows:
            return 404, _encode_detail("Not found")
        self._interrupt("scim")
        behaviour = self._state.script.groups
        start, count = int(params.get("startIndex", 1)), int(params.get("count", 100))
        request_number = self._count(f"scim {tenant}", start, behaviour)
        groups = _order(self.directory.list_contained("groups", tenant), behaviour, request_number)
        count = min(count, behaviour.caps[request_number % len(behaviour.caps)])
        resources = [self._build_resource(key) for key in groups[start - 1 : start - 1 + count]]
        total = _choose_total(len(groups), behaviour, request_number)
        document = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(groups) if total is None else total,
            "startIndex": start,
            "itemsPerPage": len(resources),
            "Resources": resources,
        }
        return 200, msgspec.json.encode(document)

    def _respond_with_scim_item(self, tenant: str, group: str) -> tuple[int, bytes]:
        row = self.directory.lists["groups"].rows.get(group)
        if not self._state.script.scim or row is None or row["tenant_id"] != tenant:
            return 404, _encode_detail("Not found")
        self._interrupt("scim")
        if group not in self.directory.lists["groups"].rows:
            return 404, _encode_detail("Not found")
        return 200, msgspec.json.encode(self._build_resource(group))

    def _build_resource(self, group: str) -> dict[str, Any]:
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "id": group,
            "displayName": self.directory.lists["groups"].rows[group]["name"],
            "members": [
                {"value": member_id, "type": "User" if is_person(member_id) else "Group"}
                for member_id in self.directory.members[group].keys
            ],
        }


def _encode_detail(text: str) -> bytes:
    return msgspec.json.encode({"detail": text})


def _encode_page(
    rows: list[bytes], total: int | None, page: int, behaviour: ListBehaviour
) -> bytes:
    body = b"[%b]" % b",".join(rows)
    if behaviour.envelope == "bare":
        return body
    totals = {"page": page} | ({} if total is None else {"total": total})
    total_json = b'"%b":%b' % (behaviour.total_position.encode(), msgspec.json.encode(totals))
    if behaviour.total_position == "top":
        total_json = msgspec.json.encode(totals)[1:-1]
    return b'{"%b":%b,%b}' % (behaviour.envelope.encode(), body, total_json)


class _Connection(socketserver.StreamRequestHandler):
    """The connection of one client, with all its requests."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.connections.add(self.request)
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline(65536):
                self._serve(line.decode("latin-1").split(" "))
        self.server.connections.discard(self.request)

    def _serve(self, words: list[str]) -> None:
        length, is_authenticated = 0, False
        while (header := self.rfile.readline(65536)).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            is_authenticated = is_authenticated or name.lower() == b"authorization"
        self.rfile.read(length)
        status, body = self.server.scaikey.respond(
            words[0], words[1], is_authenticated=is_authenticated
        )
        head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n"
        self.request.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], scaikey: ScriptedScaiKey) -> None:
        super().__init__(address, _Connection)
        self.scaikey = scaikey
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Save the error for the test, which would otherwise see only a network failure."""
        self.scaikey.problems.append(sys.exception())

    def close_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
