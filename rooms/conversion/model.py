"""What a reader of an export yields: people, rooms and events, with the places they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from rooms.conversion.accounts import Place

MESSAGE, MEMBER = "swp.room.message", "swp.room.member"
NAME, TOPIC, REACTION = "swp.room.name", "swp.room.topic", "swp.room.reaction"
MAX_TIME = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""
TEXT, SYSTEM, MEDIA = "swp.text", "swp.system", "swp.media"


class SourcePerson(Struct, eq=False):
    """An author, or someone who reacted. `id` is unique in the source.

    `avatar_path` is the name of the picture in `SourceFiles`; None if the export lacks it.
    """

    id: str
    name: str
    email: str = ""
    avatar_url: str = ""
    is_bot: bool = False
    avatar_path: str | None = None


class SourceFile(Struct, eq=False):
    """An attachment. `path` is its name in `SourceFiles`; None if the export lacks it.

    `lost` is why it can't be there, such as a deletion. `size` in bytes is 0 if it is unknown.
    With `is_elsewhere` another service has it, at `url`. `preview` is its text, or the beginning.
    """

    id: str
    name: str
    path: str | None = None
    mime_type: str = ""
    size: int = 0
    lost: str = ""
    url: str = ""
    is_elsewhere: bool = False
    preview: str = ""


class Reaction(NamedTuple):
    """`at` is in microseconds since 1970; None if the source has no time."""

    emoji: str
    person: str
    at: int | None = None


class SourceEvent(Struct, eq=False):
    """A message or another event. Times are in microseconds since 1970.

    `id` is unique in the room. Where a system has no IDs, `variant` differs between events that got
    the same one. `reply_to` is the ID of the message that it answers, which was sent at `reply_at`
    and has the variant `reply_variant`; with `has_root` it is certainly in the export. `mentions`
    and `author` are IDs of people. With `is_patch` the event only changes the event with its ID: it
    was edited or deleted later.
    """

    id: str
    at: int
    author: str
    place: Place
    body: str = ""
    kind: str = MESSAGE
    content: dict[str, Any] = {}
    msgtype: str = TEXT
    reply_to: str | None = None
    reply_at: int = 0
    thread: str | None = None
    edited_at: int | None = None
    redacted_at: int | None = None
    original: str | None = None
    variant: int = 0
    reply_variant: int = 0
    has_root: bool = False
    mentions: list[str] = []
    reactions: list[Reaction] = []
    files: list[SourceFile] = []
    pinned_by: str | None = None
    is_patch: bool = False

    @property
    def has_time(self) -> bool:
        return 0 <= self.at <= MAX_TIME


@dataclass(eq=False)
class SourceRoom:
    """`room_type` is as in a bundle; `created_at` is in microseconds, None if it is unknown.

    `since` and `until` are the period of a partial export, in microseconds. `names` are further
    names that `--only` accepts. `place` is where the source lists the room, if it does.
    """

    id: str
    name: str
    topic: str = ""
    room_type: str = "group"
    is_archived: bool = False
    creator: str | None = None
    created_at: int | None = None
    since: int | None = None
    until: int | None = None
    names: frozenset[str] = field(default_factory=frozenset)
    place: Place | None = None

    def matches(self, names: frozenset[str]) -> bool:
        """Return whether one of the names is one of its own, or no names are given."""
        return not names or not names.isdisjoint({self.id, self.name, *self.names})


Portion = Iterator[tuple[SourceRoom, SourceEvent]]
"""The events of some rooms, in any order: no other portion has events of these rooms."""
