"""How the lists of a scripted ScaiKey behave during one run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

ORDERS = ("steady", "rotate", "jump", "reverse", "shuffle")
REPLICAS = ("one", "parity", "alternate")
REPEATS = ("none", "echo", "again", "instead")
TOTALS = ("right", "missing", "low", "high", "half", "random")
TOTAL_PLACES = ("top", "meta", "pagination")
ENVELOPES = ("data", "items", "bare")


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


CURSORS = ("none", "honest", "ignored", "repeated", "short", "expired once", "expired")
"""`ignored`: the server offers cursors and pages by index. `short`: the first page has no cursor,
and no total. `expired`: no cursor of a second page is accepted."""


@dataclass(frozen=True, repr=False)
class Script(CompactRepr):
    """How the server behaves during one run.

    `interruptions` are changes of the directory: the list during which they happen, the number of
    the request to it before which they happen, and the change. `members` are for the lists of
    members in turn. With `scim` the groups are available by SCIM too, and behave like their list.
    `scim_cursors` is one of CURSORS: how the cursors behave that the server offers, if any.
    `failures` is the share of all requests that end with a 500, picked by `failure_seed`.
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
    scim_cursors: str = "none"
    failures: float = 0.0
    failure_seed: int = 0

    def get_behaviour(self, name: str, group_id: str) -> ListBehaviour:
        if name != "members":
            return getattr(self, name)  # type: ignore[no-any-return]
        return self.members[int(group_id.rpartition("_")[2]) % len(self.members)]
