"""Compare a bundle with an export of the room that was imported from it.

Written from the page about the format alone: what an import keeps, strips and rewrites.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from typing import Any

Json = dict[str, Any]

COMPARED_ROOM_KEYS = ("name", "topic", "created_at", "visibility", "read_role_slugs", "is_public")
COMPARED_EVENT_KEYS = (
    "event_type", "origin_ts", "created_at", "edited_at", "redacted_at", "event_uuid",
)  # fmt: skip
REFERENCE = {
    "swp.room.message": "reply_to_event_id",
    "swp.room.reaction": "event_id",
    "swp.room.redaction": "event_id",
}
SENDER = "_imported_sender"


@dataclass(frozen=True)
class ReadBundle:
    """A bundle as read by Python's own zipfile and json. `files` are the bytes by name of entry."""

    manifest: Json
    files: dict[str, bytes]

    @property
    def events(self) -> list[Json]:
        events: list[Json] = self.manifest["events"]
        return events


def read_bundle(data: bytes) -> ReadBundle:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    # As numbers are written, for 1e308 is equal to the integer that PostgreSQL writes for it.
    return ReadBundle(json.loads(files.pop("manifest.json"), parse_float=Decimal), files)


@dataclass(frozen=True)
class Target:
    """Where the first bundle was imported, as far as that is known.

    `workspace` has keys of the manifest's `room.workspace`, and `importer` of its `senders`.
    """

    workspace: Json
    importer_id: str
    importer: Json = field(default_factory=dict)


def find_differences(first: ReadBundle, second: ReadBundle, target: Target) -> Iterator[str]:
    """What the second has and should not have, or the other way round."""
    return Comparison(first, second, target).all()


def is_same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(
                is_same_json(one[key], other[key]) for key in one
            )
        case list(), list():
            return len(one) == len(other) and all(map(is_same_json, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


class Comparison:
    def __init__(self, first: ReadBundle, second: ReadBundle, target: Target) -> None:
        self.first = first
        self.second = second
        self.target = target
        self.exported_events = select_exported_events(first.events)
        after = second.events
        pairs = zip(self.exported_events, after, strict=False)
        self.new_ids = {old["id"]: new["id"] for old, new in pairs}
        by_hash = {media["sha256"]: media["media_id"] for media in second.manifest["media"]}
        self.new_media = {
            media["media_id"]: by_hash.get(media["sha256"]) for media in first.manifest["media"]
        }

    def all(self) -> Iterator[str]:
        for part in (self.head(), self.room(), self.senders(), self.events(), self.media()):
            yield from part

    def differ(self, where: str, expected: Any, found: Any) -> Iterator[str]:
        if not is_same_json(expected, found):
            yield f"{where}: {found!r} instead of {expected!r}"

    def head(self) -> Iterator[str]:
        manifest = self.second.manifest
        yield from self.differ("keys", list(self.first.manifest), list(manifest))
        for key in ("format", "version"):
            yield from self.differ(key, self.first.manifest[key], manifest.get(key))
        yield from self.differ("window", None, manifest.get("window"))

    def room(self) -> Iterator[str]:
        before, after = self.first.manifest["room"], self.second.manifest["room"]
        expected = {key: before[key] for key in COMPARED_ROOM_KEYS} | {
            "room_type": "public" if before["room_type"] == "public" else "group",
            "scope_kind": None,
            "state": "open",
            "is_federated": False,
            "room_alias": "",
            "creator_id": self.target.importer_id,
        }
        for key, value in expected.items():
            yield from self.differ(f"room.{key}", value, after.get(key))
        yield from self.differ("room's keys", list(before), list(after))
        known = {key: after["workspace"].get(key) for key in self.target.workspace}
        yield from self.differ("room.workspace", self.target.workspace, known)
        keys = list(before["workspace"]), list(after["workspace"])
        yield from self.differ("keys of room.workspace", *keys)
        if after["id"] == before["id"]:
            yield "room.id: the same"

    def senders(self) -> Iterator[str]:
        senders = self.second.manifest["senders"]
        expected = [self.target.importer_id] if self.exported_events else []
        yield from self.differ("senders", expected, list(senders))
        keys = {tuple(sender) for sender in self.first.manifest["senders"].values()}
        for sender in senders.values():
            if tuple(sender) not in keys:
                yield f"sender's keys: {', '.join(sender)}"
            known = {key: sender.get(key) for key in self.target.importer}
            yield from self.differ("sender", self.target.importer, known)

    def events(self) -> Iterator[str]:
        after = self.second.events
        yield from self.differ("number of events", len(self.exported_events), len(after))
        if len(set(self.new_ids.values()) - {event["id"] for event in self.first.events}) != len(
            self.exported_events
        ):
            yield "ids of events: some are old, or not unique"
        positions = [event["stream_position"] for event in after]
        if positions and positions != list(range(positions[0], positions[0] + len(after))):
            yield "positions of events: not one after the other"
        for number, (old, new) in enumerate(zip(self.exported_events, after, strict=False)):
            yield from self.differ(f"events[{number}]", self.rewritten(old, new), new)

    def rewritten(self, old: Json, new: Json) -> Json:
        """Return the expected new event, with the id and position of the actual one."""
        event = {key: old[key] for key in COMPARED_EVENT_KEYS if key in old} | {
            "id": new["id"],
            "stream_position": new["stream_position"],
            "sender_id": self.target.importer_id,
            "do_not_index": True,
            "content": self.followed(old, "content", new),
        }
        if "original_content" in old:
            event["original_content"] = self.followed(old, "original_content", new)
        if SENDER not in old["content"]:
            sender = self.first.manifest["senders"][old["sender_id"]]
            imported_sender = {key: sender[key] for key in ("display_name", "avatar_url", "fqid")}
            kind, _, picture = str(sender["avatar_url"]).partition(":")
            if kind == "media":
                found = new["content"][SENDER]["avatar_url"].removeprefix("media:")
                imported_sender["avatar_url"] = f"media:{self.media_id(picture, found)}"
            event["content"][SENDER] = imported_sender
        return event

    def followed(self, old: Json, place: str, new: Json) -> Json:
        content = dict(old[place])
        reference = REFERENCE.get(old["event_type"])
        if reference and content.get(reference) is not None:
            if content[reference] in self.new_ids:
                content[reference] = self.new_ids[content[reference]]
            else:
                del content[reference]
        for key in ("media_id", "thumbnail_id"):
            if key in content:
                content[key] = self.media_id(content[key], new.get(place, {}).get(key))
        return content

    def media_id(self, old: str, found: Any) -> Any:
        """Missing media has an id that is the same each time and that no other object has."""
        expected = self.new_media.get(old)
        if expected is None and found != old and found not in self.new_media.values():
            self.new_media[old] = expected = found
        return expected

    def media(self) -> Iterator[str]:
        rows = self.first.manifest["media"]
        before = [media for media in rows if media["missing"] in {None, "infected"}]
        after = self.second.manifest["media"]
        yield from self.differ("media", _list_media(before), _list_media(after))
        ids = {media["media_id"] for media in after}
        if ids & self.new_media.keys():
            yield "ids of media: some are old"
        if len(ids) != len({media["sha256"] for media in after}):
            yield "ids of media: not one for the same bytes"
        yield from self.differ("files", _hashes(self.first.files), _hashes(self.second.files))
        for name, content in self.second.files.items():
            if name.startswith("media/") and name.split("/")[1] != sha256(content).hexdigest():
                yield f"{name}: other bytes"


def select_exported_events(events: list[Json]) -> list[Json]:
    """Return the events that an import does not strip because of their type or a missing target."""
    left = [event for event in events if not _is_stripped(event["event_type"])]
    while True:
        ids = {event["id"] for event in left}
        fewer = [event for event in left if not _needs_another(event, ids)]
        if len(fewer) == len(left):
            return left
        left = fewer


def _is_stripped(event_type: str) -> bool:
    return event_type == "swp.room.read_marker" or event_type.startswith("swp.sidekick.")


def _needs_another(event: Json, ids: set[str]) -> bool:
    if event["event_type"] not in {"swp.room.reaction", "swp.room.redaction"}:
        return False
    target = event["content"].get("event_id")
    return target is not None and target not in ids


def _list_media(media: list[Json]) -> list[Json]:
    """Return media in an order that does not depend on ids."""
    rows = ({key: each[key] for key in each if key != "media_id"} for each in media)
    return sorted(rows, key=lambda each: (each["sha256"], each["name"]))


def _hashes(files: dict[str, bytes]) -> list[str]:
    return sorted(name.split("/")[1] for name in files if name.startswith("media/"))
