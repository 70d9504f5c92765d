"""A scripted ScaiKey over HTTP on loopback: a truth, and lists that misbehave as they are told.

An answer by id is always true. A list may be in another order for each page, come from two
replicas, repeat rows, cap its pages and tell a wrong total; and the truth may change while a list
is read. It shares nothing with the sandbox, so that an error of one does not hide in the other.
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
PLACES = ("top", "meta", "pagination")
ENVELOPES = ("data", "items", "bare")
JUMPING = 10
INSIDE = {
    "partners": (("tenants", "partner_id"),),
    "tenants": (("groups", "tenant_id"), ("users", "tenant_id")),
}
ROLES: tuple[list[str], ...] = ([], ["editors"], ["editors", "auditors"], ["tenant_admin"])
ADMIN = "/api/v1/admin/"
DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"
TOKEN = "/api/v1/platform/oauth/token"

Fact = tuple[str, ...]
"""Something that is so, such as ("member", group, who): a run may not end it while it stays so."""


class Act(NamedTuple):
    """A change of the truth: which, of how many things, and the seed that picks them."""

    name: str
    number: int = 1
    seed: int = 0


class Brief:
    """For dataclasses: shows the fields alone that are not as they are by default."""

    def __repr__(self) -> str:
        shown = [
            f"{each.name}={value!r}"
            for each in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, each.name)) != each.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis prints it."""
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Size(Brief):
    """How much there is at first; `members` is the most that a group has."""

    seed: int = 0
    partners: int = 1
    tenants: int = 1
    people: int = 1
    groups: int = 0
    members: int = 0


@dataclass(frozen=True, repr=False)
class Manner(Brief):
    """How one list behaves.

    `order` is applied before each page but the first of a walk, by `step` rows or by `seed`;
    `continuing` does not begin afresh with the next walk. Of two `replicas`, taken by the parity
    of the page or by turns, the second is rotated by `apart` rows, or shuffled if that is 0. The
    first replica, with `lagging`, still shows what was removed since the last run, and with
    `stale` each row as it was before its last change. `caps` limit the pages in turn.
    """

    order: str = "steady"
    step: int = 0
    seed: int = 0
    continuing: bool = False
    replicas: str = "one"
    apart: int = 9
    lagging: bool = False
    stale: bool = False
    repeat: str = "none"
    caps: tuple[int, ...] = (100,)
    totals: str = "right"
    place: str = "top"
    envelope: str = "data"


@dataclass(frozen=True, repr=False)
class Script(Brief):
    """How the server behaves during one run.

    `interruptions` are changes of the truth: the list during which, before the how-manieth
    request for a page of it in this run, and what. `members` are for the lists of members in turn.
    With `scim` the groups are answered that way too, in the manner of their list.
    """

    partners: Manner = Manner()
    tenants: Manner = Manner()
    users: Manner = Manner()
    groups: Manner = Manner()
    members: tuple[Manner, ...] = (Manner(),)
    interruptions: tuple[tuple[str, int, Act], ...] = ()
    strict_pages: bool = False
    undiscovered: bool = False
    telling_token: bool = False
    scim: bool = False

    def manner_of(self, name: str, group_id: str) -> Manner:
        if name != "members":
            return getattr(self, name)  # type: ignore[no-any-return]
        return self.members[int(group_id.rpartition("_")[2]) % len(self.members)]


class Listing:
    """One list as it is in truth: rows in an order, encoded once, and what left it lately."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.encoded: dict[str, bytes] = {}
        self.former: dict[str, bytes] = {}
        self.lately: list[tuple[int, str]] = []

    def put(self, key: str, row: dict[str, Any], place: float = 1.0) -> None:
        """Add a row between the first place (0.0) and the last (1.0), or change it."""
        if key in self.rows:
            self.former[key] = self.encoded[key]
        else:
            self.keys.insert(round(place * len(self.keys)), key)
        self.rows[key] = row
        self.encoded[key] = msgspec.json.encode(row)

    def drop(self, keys: Collection[str]) -> None:
        places = [place for place, key in enumerate(self.keys) if key in keys]
        self.lately += [(place, self.keys[place]) for place in reversed(places)]
        self.keys = [key for key in self.keys if key not in keys]
        for key in keys:
            self.rows.pop(key, None)

    def seen_late(self) -> list[str]:
        """The keys as a replica has them that has not heard of the latest removals."""
        keys, known = self.keys.copy(), set(self.keys)
        for place, key in reversed(self.lately):
            if key not in known:
                known.add(key)
                keys.insert(place, key)
        return keys


class Truth:
    """Who there really is. Rows are made and changed in bulk, picked by seeds."""

    def __init__(self, size: Size) -> None:
        self.lists = {name: Listing() for name in COLLECTIONS}
        self.members: dict[str, Listing] = {}
        self.deleted: dict[tuple[str, str], dict[str, Any]] = {}
        self._numbers = dict.fromkeys(COLLECTIONS, 0)
        random = Random(size.seed)
        for name, number in (("partner", size.partners), ("tenant", size.tenants)):
            for _ in range(number):
                ACTS[f"add_{name}"](self, random, 1)
        _add_people(self, random, size.people)
        for _ in range(size.groups):
            _add_group(self, random, size.members)

    def facts(self) -> set[Fact]:
        partners, tenants, users, groups = (self.lists[name].rows for name in COLLECTIONS)
        found: set[Fact] = set()
        for key, row in partners.items():
            found |= {("partner", key), ("partner status", key, row["status"])}
        for key, row in tenants.items():
            found |= {("tenant", key), ("tenant status", key, row["status"])}
            found.add(("tenant of", key, row["partner_id"]))
        for key, row in users.items():
            found.add(("person", row["tenant_id"], key))
            found.add(("person status", row["tenant_id"], key, row["status"]))
            found.update(("role", row["tenant_id"], key, role) for role in row["roles"])
        found.update(("group", row["tenant_id"], key) for key, row in groups.items())
        found.update(("member", group, who) for group in groups for who in self.members[group].rows)
        return found

    def perform(self, act: Act) -> None:
        ACTS[act.name](self, Random(act.seed), act.number)

    def forget_lately(self) -> None:
        """All replicas have heard of the removals so far."""
        for listing in (*self.lists.values(), *self.members.values()):
            listing.lately.clear()

    def new_id(self, collection: str) -> str:
        self._numbers[collection] += 1
        prefix = {"partners": "prt", "tenants": "tnt", "users": "usr", "groups": "grp"}[collection]
        return f"{prefix}_{self._numbers[collection]}"

    def inside(self, collection: str, tenant_id: str) -> list[str]:
        rows = self.lists[collection].rows
        return [key for key, row in rows.items() if row["tenant_id"] == tenant_id]

    def change(self, collection: str, keys: Collection[str], **fields: Any) -> None:
        listing = self.lists[collection]
        for key in keys:
            listing.put(key, {**listing.rows[key], **fields})

    def remove(self, collection: str, keys: Collection[str], *, soft: bool) -> None:
        """Remove things with what is in them; softly, their ids answer with DELETED."""
        listing, ids = self.lists[collection], set(keys)
        for inner, column in INSIDE.get(collection, ()):
            rows = self.lists[inner].rows
            self.remove(inner, [key for key, row in rows.items() if row[column] in ids], soft=soft)
        if soft:
            self.deleted |= {(collection, key): listing.rows[key] for key in ids}
        listing.drop(ids)
        self.leave_groups(ids)
        for key in ids:
            self.members.pop(key, None)

    def leave_groups(self, ids: Collection[str]) -> None:
        for listing in self.members.values():
            if gone := [key for key in listing.rows if key in ids]:
                listing.drop(set(gone))

    def add_group(self, tenant: str, members: Collection[str], place: float = 1.0) -> str:
        key = self.new_id("groups")
        row = {"id": key, "name": f"Group {key}", "tenant_id": tenant, "group_type": "SECURITY"}
        self.lists["groups"].put(key, row, place)
        self.members[key] = Listing()
        for who in members:
            self.join(key, who)
        return key

    def join(self, group: str, who: str, place: float = 1.0) -> None:
        row = {"user_id": who, "membership_type": "DIRECT"}
        if not is_person(who):
            row = {"member_group_id": who}
        self.members[group].put(who, row, place)


def is_person(key: str) -> bool:
    return key.startswith("usr_")


def _some(random: Random, keys: Collection[str], number: int) -> list[str]:
    return random.sample(list(keys), min(number, len(keys)))


def _add_partner(truth: Truth, random: Random, number: int) -> None:
    for _ in range(number):
        key = truth.new_id("partners")
        row = {"id": key, "name": f"Partner {key}", "slug": f"p-{key[4:]}", "status": "ACTIVE"}
        truth.lists["partners"].put(key, row, random.random())


def _add_tenant(truth: Truth, random: Random, number: int) -> None:
    for _ in range(number):
        key = truth.new_id("tenants")
        row = {"id": key, "name": f"Tenant {key}", "slug": f"t-{key[4:]}", "status": "ACTIVE"}
        row["partner_id"] = random.choice(list(truth.lists["partners"].rows))
        truth.lists["tenants"].put(key, row, random.random())


def _add_people(truth: Truth, random: Random, number: int) -> None:
    tenants = list(truth.lists["tenants"].rows)
    for _ in range(number if tenants else 0):
        key = truth.new_id("users")
        row = {"id": key, "display_name": f"Person {key[4:]}", "email": f"{key}@example.org"}
        row |= {"tenant_id": random.choice(tenants), "status": "ACTIVE"}
        truth.lists["users"].put(key, row | {"roles": random.choice(ROLES)}, random.random())


def _change_people(truth: Truth, random: Random, number: int) -> None:
    for key in _some(random, truth.lists["users"].rows, number):
        truth.change("users", [key], display_name=f"Renamed {random.randrange(1000)}")


def _change_roles(truth: Truth, random: Random, number: int) -> None:
    for key in _some(random, truth.lists["users"].rows, number):
        truth.change("users", [key], roles=random.choice(ROLES))


def _move_people(truth: Truth, random: Random, number: int) -> None:
    """Move people to another tenant, which ends their memberships."""
    moving = set(_some(random, truth.lists["users"].rows, number))
    truth.leave_groups(moving)
    tenants = list(truth.lists["tenants"].rows)
    for key in sorted(moving):
        truth.change("users", [key], tenant_id=random.choice(tenants))


def _revive_people(truth: Truth, random: Random, number: int) -> None:
    """Undo soft deletions."""
    tenants = truth.lists["tenants"].rows
    for key in [key for collection, key in truth.deleted if collection == "users"][:number]:
        row = truth.deleted.pop(("users", key))
        if row["tenant_id"] in tenants:
            truth.lists["users"].put(key, row, random.random())


def _add_group(truth: Truth, random: Random, members: int) -> None:
    if not (tenants := list(truth.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    people = _some(random, truth.inside("users", tenant), members)
    groups = _some(random, truth.inside("groups", tenant), random.randrange(2))
    truth.add_group(tenant, [*groups, *people], random.random())


def _add_members(truth: Truth, random: Random, number: int) -> None:
    for group in _some(random, truth.lists["groups"].rows, 2):
        tenant = truth.lists["groups"].rows[group]["tenant_id"]
        inside = [*truth.inside("users", tenant), *truth.inside("groups", tenant)]
        for who in _some(random, inside, number):
            if who not in truth.members[group].rows:
                truth.join(group, who, random.random())


def _remove_members(truth: Truth, random: Random, number: int) -> None:
    for group in _some(random, truth.lists["groups"].rows, 2):
        truth.members[group].drop(set(_some(random, truth.members[group].rows, number)))


def _hand_over_tenant(truth: Truth, random: Random, number: int) -> None:
    for key in _some(random, truth.lists["tenants"].rows, number):
        partner = random.choice(list(truth.lists["partners"].rows))
        truth.change("tenants", [key], partner_id=partner)


def _remover(collection: str, *, soft: bool) -> Callable[[Truth, Random, int], None]:
    def remove(truth: Truth, random: Random, number: int) -> None:
        """One tenant and one partner stay, so that there is something to tell of."""
        rows = truth.lists[collection].rows
        most = len(rows) - 1 if collection in ("partners", "tenants") else len(rows)
        truth.remove(collection, _some(random, rows, max(0, min(number, most))), soft=soft)

    return remove


def _leave_tenant(truth: Truth, random: Random, number: int) -> None:
    """Many people of one tenant are gone."""
    if not (tenants := list(truth.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    truth.remove("users", _some(random, truth.inside("users", tenant), number), soft=False)


def _setter(collection: str, status: str) -> Callable[[Truth, Random, int], None]:
    def change(truth: Truth, random: Random, number: int) -> None:
        others = [k for k, row in truth.lists[collection].rows.items() if row["status"] != status]
        truth.change(collection, _some(random, others, number), status=status)

    return change


ACTS: dict[str, Callable[[Truth, Random, int], None]] = {
    "change_people": _change_people,
    "add_people": _add_people,
    "delete_people": _remover("users", soft=False),
    "soft_delete_people": _remover("users", soft=True),
    "leave_tenant": _leave_tenant,
    "move_people": _move_people,
    "remove_members": _remove_members,
    "add_members": _add_members,
    "add_group": _add_group,
    "delete_groups": _remover("groups", soft=False),
    "soft_delete_groups": _remover("groups", soft=True),
    "revive_people": _revive_people,
    "change_roles": _change_roles,
    "suspend_people": _setter("users", "SUSPENDED"),
    "activate_people": _setter("users", "ACTIVE"),
    "add_tenant": _add_tenant,
    "delete_tenants": _remover("tenants", soft=False),
    "soft_delete_tenants": _remover("tenants", soft=True),
    "suspend_tenants": _setter("tenants", "SUSPENDED"),
    "activate_tenants": _setter("tenants", "ACTIVE"),
    "hand_over_tenant": _hand_over_tenant,
    "add_partner": _add_partner,
    "delete_partners": _remover("partners", soft=False),
    "soft_delete_partners": _remover("partners", soft=True),
    "suspend_partners": _setter("partners", "SUSPENDED"),
    "activate_partners": _setter("partners", "ACTIVE"),
}


class Served(NamedTuple):
    """One page that was answered."""

    page: int
    keys: tuple[str, ...]
    total: int | None


def page_of(listing: Listing, manner: Manner, *, page: int, per_page: int, nth: int) -> Served:
    """What the list answers to the request after `nth` others."""
    keys = _of_replica(listing, manner, _is_second(manner, page, nth))
    real = len(keys)
    if real:
        keys = _with_repeats(_ordered(keys, manner, nth), manner)
    size = min(per_page, manner.caps[nth % len(manner.caps)])
    shown = keys[(page - 1) * size : page * size]
    if manner.repeat == "echo":
        shown += shown[:1]
    return Served(page, tuple(shown), _total(real, manner, nth))


def _is_second(manner: Manner, page: int, nth: int) -> bool:
    if manner.replicas == "parity":
        return page % 2 == 0
    return manner.replicas == "alternate" and nth % 2 == 1


def _of_replica(listing: Listing, manner: Manner, second: bool) -> list[str]:
    if not second:
        return listing.seen_late() if manner.lagging else listing.keys.copy()
    if manner.apart:
        return _rotated(listing.keys, manner.apart)
    keys = listing.keys.copy()
    Random(manner.seed).shuffle(keys)
    return keys


def _rotated(keys: list[str], rows: int) -> list[str]:
    turn = rows % len(keys) if keys else 0
    return keys[turn:] + keys[:turn]


def _ordered(keys: list[str], manner: Manner, nth: int) -> list[str]:
    match manner.order:
        case "rotate":
            return _rotated(keys, manner.step * nth)
        case "jump":
            return _jumped(keys, manner.seed, nth)
        case "reverse":
            return keys[::-1] if nth % 2 else keys
        case "shuffle" if nth:
            Random(manner.seed + nth).shuffle(keys)
    return keys


def _jumped(keys: list[str], seed: int, times: int) -> list[str]:
    """Each time ten rows, from anywhere, have jumped to the front."""
    front: dict[str, None] = {}
    for time in range(times, 0, -1):
        front |= dict.fromkeys(_some(Random(seed + time), keys, JUMPING))
    return [*front, *(key for key in keys if key not in front)]


def _with_repeats(keys: list[str], manner: Manner) -> list[str]:
    one, other = (Random(manner.seed + n).randrange(len(keys)) for n in (0, 1))
    match manner.repeat:
        case "again":
            return [*keys, keys[one]]
        case "instead":
            keys[one] = keys[other]
    return keys


def _total(real: int, manner: Manner, nth: int) -> int | None:
    """The total that is told; a bare list has no place for one."""
    if manner.envelope == "bare":
        return None
    part = max(1, real // 10)
    match manner.totals:
        case "right":
            return real
        case "low":
            return max(0, real - part)
        case "high":
            return real + part
        case "half":
            return real // 2
        case "random":
            return Random(manner.seed + nth).randint(0, 2 * real)
    return None


def left_out(served: list[Served], members: set[str]) -> set[str]:
    """Members whom two whole walks of different page sizes left out, so that no client that saw
    these could know that they are still members.

    A walk is whole if it goes on to an empty page, repeats nobody, and each total that it was told
    is the number of rows that came. Its page size is that of the pages that came, not the one that
    was asked for: two walks whose pages are capped alike are the same walk twice.
    """
    whole = [walk for walk in _walks(served) if _is_whole(walk)]
    found: set[str] = set()
    for one, other in combinations(whole, 2):
        if _page_size(one) != _page_size(other):
            found |= members - _keys(one).union(_keys(other))
    return found


def _walks(served: list[Served]) -> Iterator[list[Served]]:
    walk: list[Served] = []
    for answer in served:
        if answer.page == 1 and walk:
            yield walk
            walk = []
        walk.append(answer)
    yield walk


def _is_whole(walk: list[Served]) -> bool:
    pages = {answer.page: answer for answer in walk}
    end = next((page for page in range(1, len(walk) + 1) if not _shows(pages, page)), None)
    if end is None or end not in pages:
        return False
    seen = [pages[page] for page in range(1, end + 1)]
    number = sum(len(answer.keys) for answer in seen)
    told = {answer.total for answer in seen} - {None}
    return number == len(_keys(seen)) and told <= {number}


def _shows(pages: dict[int, Served], page: int) -> bool:
    return page in pages and bool(pages[page].keys)


def _page_size(walk: list[Served]) -> int:
    return max(len(answer.keys) for answer in walk)


def _keys(walk: list[Served]) -> set[str]:
    return {key for answer in walk for key in answer.keys}


@dataclass
class _State:
    """What the server knows of the run that is on."""

    script: Script
    steady: set[Fact]
    requests: dict[str, int] = field(default_factory=dict)
    nth: dict[str, int] = field(default_factory=dict)
    served: dict[str, list[Served]] = field(default_factory=dict)


class ScriptedScaiKey:
    """Serves in background threads as a context manager; `begin` says what the next run meets."""

    client_id, client_secret = "scripted", "a-secret"

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), self)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.truth = Truth(Size())
        self.ever: set[Fact] = set()
        self.problems: list[BaseException | None] = []
        self._state = _State(Script(), set())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def load(self, truth: Truth) -> None:
        """Begin afresh with this truth."""
        with self._lock:
            self.truth, self.ever = truth, set()

    def begin(self, script: Script) -> None:
        """A run begins: from here on it is written down what stays as it is. `ever` has what has
        been so at the beginning of a run or in the midst of it, since the truth was loaded."""
        with self._lock:
            self._state = _State(script, self.truth.facts())
            self.ever |= self._state.steady

    @property
    def steady(self) -> set[Fact]:
        """What has been so since the run began."""
        with self._lock:
            return set(self._state.steady)

    def unknowable(self) -> set[Fact]:
        """The memberships of which this run has been told twice, wholly, that they are none."""
        with self._lock:
            return {
                ("member", group, who)
                for group, served in self._state.served.items()
                if group in self.truth.members
                for who in left_out(served, set(self.truth.members[group].rows))
            }

    def answer(self, method: str, target: str, *, known: bool) -> tuple[int, bytes]:
        """Answer one request; `known` says whether it shows our token."""
        path, _, query = target.partition("?")
        with self._lock:
            if method == "POST" and path == TOKEN:
                return 200, self._token()
            if path == DISCOVERY and not self._state.script.undiscovered:
                return 200, msgspec.json.encode({"token_endpoint": self.url + TOKEN})
            if path.startswith(ADMIN) and not known:
                return 401, _detail("Not authenticated")
            parts = [unquote(part) for part in path.split("/")]
            return self._find(parts, dict(parse_qsl(query))) or (404, _detail("Not found"))

    def _find(self, parts: list[str], params: dict[str, str]) -> tuple[int, bytes] | None:
        match parts:
            case ["", "api", "v1", "admin", name, ""] if name in COLLECTIONS:
                return self._list(name, "", params)
            case ["", "api", "v1", "admin", "groups", group, "members"]:
                return self._list("members", group, params)
            case ["", "api", "v1", "admin", name, key] if name in COLLECTIONS:
                return self._item(name, key)
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups"]:
                return self._scim(tenant, params)
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups", group]:
                return self._scim_item(tenant, group)
        return None

    def _token(self) -> bytes:
        claims = {"app_scope": "GLOBAL", "client_id": self.client_id, "platform_token": True}
        parts = (msgspec.json.encode({"alg": "RS256"}), msgspec.json.encode(claims), b"signature")
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        if not self._state.script.telling_token:
            token = "an-opaque-token"
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        return msgspec.json.encode(answer)

    def _interrupt(self, name: str) -> None:
        """Change the truth as the script says before this request is answered."""
        state = self._state
        number = state.requests[name] = state.requests.get(name, 0) + 1
        for during, before, act in state.script.interruptions:
            if (during, before) == (name, number):
                self.truth.perform(act)
                facts = self.truth.facts()
                state.steady &= facts
                self.ever |= facts

    def _list(self, name: str, group: str, params: dict[str, str]) -> tuple[int, bytes]:
        per_page, page = int(params.get("per_page", 25)), int(params.get("page", 1))
        if per_page > 100 and self._state.script.strict_pages:
            problem = {"loc": ["query", "per_page"], "type": "less_than_equal"}
            message = "Input should be less than or equal to 100"
            return 422, msgspec.json.encode({"detail": [problem | {"msg": message}]})
        self._interrupt(name)
        if name == "members" and group not in self.truth.members:
            return 404, _detail("Not found")
        listing = self.truth.members[group] if name == "members" else self.truth.lists[name]
        manner = self._state.script.manner_of(name, group)
        nth = self._count(f"{name} {group}", page, manner)
        served = page_of(listing, manner, page=page, per_page=per_page, nth=nth)
        if name == "members":
            self._state.served.setdefault(group, []).append(served)
        stale = manner.stale and not _is_second(manner, page, nth)
        rows = [
            (listing.former.get(key) if stale else None) or listing.encoded[key]
            for key in served.keys
        ]
        return 200, _enveloped(rows, served.total, page, manner)

    def _count(self, place: str, begin: int, manner: Manner) -> int:
        """How many pages of this list were asked for before, in this walk or in all of them; a walk
        begins with the first page, or row."""
        if begin == 1 and not manner.continuing:
            self._state.nth[place] = 0
        nth = self._state.nth.get(place, 0)
        self._state.nth[place] = nth + 1
        return nth

    def _item(self, name: str, key: str) -> tuple[int, bytes]:
        self._interrupt("items")
        listing = self.truth.lists[name]
        if key in listing.rows:
            return 200, listing.encoded[key]
        if row := self.truth.deleted.get((name, key)):
            return 200, msgspec.json.encode(row | {"status": "DELETED"})
        return 404, _detail("Not found")

    def _scim(self, tenant: str, params: dict[str, str]) -> tuple[int, bytes]:
        """Groups with their members in the standard form: each is true, their list behaves as that
        of the groups does."""
        if not self._state.script.scim or tenant not in self.truth.lists["tenants"].rows:
            return 404, _detail("Not found")
        self._interrupt("scim")
        manner = self._state.script.groups
        start, count = int(params.get("startIndex", 1)), int(params.get("count", 100))
        nth = self._count(f"scim {tenant}", start, manner)
        groups = _ordered(self.truth.inside("groups", tenant), manner, nth)
        count = min(count, manner.caps[nth % len(manner.caps)])
        shown = [self._resource(key) for key in groups[start - 1 : start - 1 + count]]
        total = _total(len(groups), manner, nth)
        answer = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(groups) if total is None else total,
            "startIndex": start,
            "itemsPerPage": len(shown),
            "Resources": shown,
        }
        return 200, msgspec.json.encode(answer)

    def _scim_item(self, tenant: str, group: str) -> tuple[int, bytes]:
        row = self.truth.lists["groups"].rows.get(group)
        if not self._state.script.scim or row is None or row["tenant_id"] != tenant:
            return 404, _detail("Not found")
        self._interrupt("scim")
        if group not in self.truth.lists["groups"].rows:
            return 404, _detail("Not found")
        return 200, msgspec.json.encode(self._resource(group))

    def _resource(self, group: str) -> dict[str, Any]:
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "id": group,
            "displayName": self.truth.lists["groups"].rows[group]["name"],
            "members": [
                {"value": who, "type": "User" if is_person(who) else "Group"}
                for who in self.truth.members[group].keys
            ],
        }


def _detail(text: str) -> bytes:
    return msgspec.json.encode({"detail": text})


def _enveloped(rows: list[bytes], total: int | None, page: int, manner: Manner) -> bytes:
    listed = b"[%b]" % b",".join(rows)
    if manner.envelope == "bare":
        return listed
    figures = {"page": page} | ({} if total is None else {"total": total})
    told = b'"%b":%b' % (manner.place.encode(), msgspec.json.encode(figures))
    if manner.place == "top":
        told = msgspec.json.encode(figures)[1:-1]
    return b'{"%b":%b,%b}' % (manner.envelope.encode(), listed, told)


class _Connection(socketserver.StreamRequestHandler):
    """One client's connection: request after request until it hangs up."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.connections.add(self.request)
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline(65536):
                self._serve(line.decode("latin-1").split(" "))
        self.server.connections.discard(self.request)

    def _serve(self, words: list[str]) -> None:
        length, known = 0, False
        while (header := self.rfile.readline(65536)).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            known = known or name.lower() == b"authorization"
        self.rfile.read(length)
        status, body = self.server.scaikey.answer(words[0], words[1], known=known)
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
        """Kept for the test: a server that breaks looks like a network that does."""
        self.scaikey.problems.append(sys.exception())

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
