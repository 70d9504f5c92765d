"""Read bulk exports of Mattermost: JSONL, alone or in a ZIP file with the attachments.

Mattermost's page "Bulk loading data" describes the fields. A post has no ID: it is identified by
its channel, author and time, and by its text if these are equal. Texts are CommonMark, as ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import Any

import msgspec

from rooms.conversion import model
from rooms.conversion.accounts import MERGED, READ, WRITTEN, Place, RowKind
from rooms.conversion.event_encoder import get_variant
from rooms.conversion.json_rows import UNREADABLE, clean_text, decode, get_object
from rooms.conversion.markdown import (
    escape,
    format_attachment,
    format_card,
    get_emoji,
    join_lines,
    replace_emoji,
    split_code,
    strip_query,
)
from rooms.conversion.model import Portion, SourceEvent, SourceFile, SourcePerson, SourceRoom
from rooms.conversion.reader import Reader
from rooms.conversion.spool import GroupedSpool
from rooms.errors import SourceUnreadable

_KINDS = {
    "post": RowKind.MESSAGES,
    "direct_post": RowKind.MESSAGES,
    "user": RowKind.PEOPLE,
    "bot": RowKind.PEOPLE,
    "channel": RowKind.ROOMS,
    "direct_channel": RowKind.ROOMS,
}
_MENTION = re.compile(r"(?<![\w@])@([A-Za-z0-9][A-Za-z0-9._-]*)")
_JOINS = {"system_join_channel", "system_join_team", "system_guest_join_channel"}
_LEAVES = {"system_leave_channel", "system_leave_team"}
_ADDS = {"system_add_to_channel", "system_add_guest_to_chan", "system_add_to_team"}
_REMOVES = {"system_remove_from_channel", "system_remove_from_team"}
_MAX_ID_CHARS = 200
_PLACE = Struct(">II")


class _PostHead(msgspec.Struct):
    team: Any = None
    channel: Any = None
    channel_members: Any = None


class _LineHead(msgspec.Struct):
    type: Any = None
    post: _PostHead | None = None
    direct_post: _PostHead | None = None


_decode_head = msgspec.json.Decoder(_LineHead).decode


class MattermostReader(Reader):
    """One portion for each room. The posts of all rooms are in one file, in any order."""

    system = "mattermost"

    def _open(self) -> None:
        files = self._files
        names = sorted(name for name in files.sizes if name.lower().endswith(".jsonl"))
        # Those in deeper directories are attachments.
        depth = min((name.count("/") for name in names), default=0)
        self._names = [name for name in names if name.count("/") == depth]
        if not self._names and len(files.sizes) == 1:
            self._names = list(files.sizes)
        if not self._names:
            raise SourceUnreadable(
                f"{files.file_name} is not an export of Mattermost: it has no JSONL file."
            )
        self._is_recognised = False

    def iter_portions(self) -> Iterator[Portion]:
        with GroupedSpool() as posts:
            for name in self._names:
                for place, line in self.iter_lines(name):
                    self._read_line(place, line, posts)
            posts.flush()
            if not self._is_recognised:
                raise SourceUnreadable(
                    f"{self._files.file_name} is not an export of Mattermost: no line has a type."
                )
            # The smallest room first, to have something to show early.
            for room_id in sorted(posts.sizes, key=lambda room_id: (posts.sizes[room_id], room_id)):
                yield self._iter_posts(self.rooms.get(room_id), posts.iter_group(room_id))
        for person in self.people.values():
            if person.avatar_path:
                self._files.lose(person.avatar_path, "picture of a person that no room shows")

    def _read_line(self, place: Place, line: bytes, posts: GroupedSpool) -> None:
        """Read a person, a room or another line, but only find the room of a post."""
        try:
            head = _decode_head(line)
            kind, value = head.type, head.post if head.type == "post" else head.direct_post
        except (msgspec.MsgspecError, ValueError, RecursionError):
            kind, value = None, None
        if value is None or kind not in ("post", "direct_post"):
            kind, value = self._read_row(place, line)
        if value is None:
            return
        self._is_recognised = True
        self._accounts.count(place.file, RowKind.MESSAGES, READ)
        room = (
            self._find_channel(value.team, value.channel)
            if kind == "post"
            else self._find_direct(value.channel_members)
        )
        posts.add(room.id if room else "", _PLACE.pack(*place) + line)

    def _iter_posts(self, room: SourceRoom | None, records: Iterator[bytes]) -> Portion:
        for record in records:
            place = Place(*_PLACE.unpack_from(record))
            try:
                row = decode(record[_PLACE.size :])
            except (ValueError, RecursionError):
                self._accounts.report(place, RowKind.MESSAGES, UNREADABLE)
                continue
            yield from self._read_post(place, row[row["type"]], room)

    def _read_row(self, place: Place, line: bytes) -> tuple[Any, _PostHead | None]:
        """Read any line; return its kind, and the room of a post that `_decode_head` can't read."""
        try:
            row = decode(line)
        except (ValueError, RecursionError):
            self._accounts.lose(place, RowKind.OTHER, UNREADABLE)
            return None, None
        kind = row.get("type") if isinstance(row, dict) else None
        value = row.get(kind) if isinstance(kind, str) else None
        self._is_recognised |= kind == "version" or isinstance(value, dict)
        counted = _KINDS.get(kind, RowKind.OTHER) if isinstance(kind, str) else RowKind.OTHER
        if counted == RowKind.MESSAGES and isinstance(value, dict):
            names = (value.get(key) for key in ("team", "channel", "channel_members"))
            return kind, _PostHead(*names)
        self._accounts.count(place.file, counted, READ)
        if kind == "version":
            self._accounts.count(place.file, RowKind.OTHER, WRITTEN)
        elif counted != RowKind.OTHER and isinstance(value, dict):
            self._read_person_or_room(place, str(kind), value)
        else:
            image = value.get("image") if kind == "emoji" and isinstance(value, dict) else None
            if path := self._find_path(place, image):
                self._files.lose(path, "picture of an emoji")
            loss = f"line of the type {clean_text(kind, 50) or 'unknown'}"
            self._accounts.report(place, counted, loss)
        return None, None

    def _read_person_or_room(self, place: Place, kind: str, value: dict[str, Any]) -> None:
        match kind:
            case "user" | "bot":
                self._add_person(place, value, is_bot=kind == "bot")
            case "channel":
                self._add_channel(place, value)
            case _:
                people = value.get("members") or [
                    participant.get("username")
                    for participant in self.list_objects(
                        place, value, "participants", RowKind.OTHER
                    )
                ]
                if self._find_direct(people, place, clean_text(value.get("header"))) is None:
                    self._accounts.report(place, RowKind.ROOMS, "direct channel without members")

    # People and rooms.

    def _add_person(self, place: Place, value: dict[str, Any], *, is_bot: bool) -> None:
        username = _id(value.get("username"))
        if not username:
            self._accounts.report(place, RowKind.PEOPLE, "person without a name")
            return
        full = f"{clean_text(value.get('first_name'))} {clean_text(value.get('last_name'))}".strip()
        name = clean_text(value.get("nickname")) or clean_text(value.get("display_name")) or full
        outcome = MERGED if username in self.people else WRITTEN
        self._accounts.count(place.file, RowKind.PEOPLE, outcome)
        person = SourcePerson(username, name or username, clean_text(value.get("email"), 320))
        person.is_bot = is_bot
        person.avatar_path = self._find_path(place, value.get("profile_image"))
        self.people[username] = person
        if value.get("profile_image") and person.avatar_path is None:
            self._accounts.note(place, "picture of a person that is not in the export")
        for team in self.list_objects(place, value, "teams", RowKind.OTHER):
            if channels := self.list_objects(place, team, "channels", RowKind.OTHER):
                self._accounts.note(place, "membership of a room, left out", len(channels))

    def _add_channel(self, place: Place, value: dict[str, Any]) -> None:
        room = self._find_channel(value.get("team"), value.get("name"))
        if room is None:
            self._accounts.report(place, RowKind.ROOMS, "channel without a name")
            return
        if room.place is not None:
            self._accounts.count(place.file, RowKind.ROOMS, MERGED)
            return
        room.place = place
        room.name = clean_text(value.get("display_name")) or room.name
        topics = (clean_text(value.get("header")), clean_text(value.get("purpose")))
        room.topic = join_lines(*topics)
        room.room_type = "public" if value.get("type") == "O" else "group"
        room.is_archived = bool(value.get("deleted_at") or value.get("delete_at"))

    def _find_channel(self, team: object, channel: object) -> SourceRoom | None:
        if not (name := _id(channel)):
            return None
        room_id = f"{_id(team)}/{name}"
        if (room := self.rooms.get(room_id)) is None:
            room = self.rooms[room_id] = SourceRoom(room_id, name, names=frozenset({name}))
        return room

    def _find_direct(
        self, members: object, place: Place | None = None, topic: str = ""
    ) -> SourceRoom | None:
        """Return the room of a set of members: direct channels have no ID."""
        names = sorted({_id(name) for name in members} if isinstance(members, list) else ())
        if not any(names):
            return None
        room_id = "direct/" + ",".join(names)
        if (room := self.rooms.get(room_id)) is None:
            shown = ", ".join(self.people[n].name if n in self.people else n for n in names)
            kind = "dm" if len(names) <= 2 else "group"
            room = self.rooms[room_id] = SourceRoom(room_id, shown, topic, kind)
        if place is not None and room.place is None:
            room.place, room.topic = place, topic
        elif place is not None:
            self._accounts.count(place.file, RowKind.ROOMS, MERGED)
        return room

    # Posts.

    def _read_post(self, place: Place, value: dict[str, Any], room: SourceRoom | None) -> Portion:
        replies = self.list_objects(place, value, "replies", RowKind.MESSAGES)
        self._accounts.count(place.file, RowKind.MESSAGES, READ, len(replies))
        if room is None or not room.matches(self._only):
            loss = "message without a channel" if room is None else "message that --only leaves out"
            self._accounts.report(place, RowKind.MESSAGES, loss, 1 + len(replies))
            for post in (value, *replies):
                for kind, key in (
                    (RowKind.REACTIONS, "reactions"),
                    (RowKind.ATTACHMENTS, "attachments"),
                ):
                    if parts := self.list_objects(place, post, key, kind):
                        self._accounts.lose(place, kind, f"part of a {loss}", len(parts))
            return
        root = self._build_event(place, value, "", 0)
        yield room, root
        for reply in replies:
            event = self._build_event(place, reply, root.id, root.variant)
            event.reply_to, event.reply_at, event.thread = root.id, root.at, root.id
            event.reply_variant, event.has_root = root.variant, root.has_time
            yield room, event

    def _build_event(
        self, place: Place, value: dict[str, Any], root: str, root_variant: int
    ) -> SourceEvent:
        user, stamp = _id(value.get("user")), value.get("create_at")
        at = stamp * 1000 if isinstance(stamp, int) else -1
        message = clean_text(value.get("message"))
        props = get_object(value, "props")
        files = self.list_objects(place, value, "attachments", RowKind.ATTACHMENTS)
        paths = [clean_text(file.get("path")) for file in files]
        event = SourceEvent(
            id="/".join(filter(None, (root, user, str(stamp)[:20]))),
            at=at,
            author=self._get_author(user, props),
            place=place,
            variant=get_variant(str(root_variant), message, *paths),
            files=[self._build_file(place, path) for path in paths],
            edited_at=_to_time(value.get("edit_at")),
        )
        for reaction in self.list_objects(place, value, "reactions", RowKind.REACTIONS):
            name = clean_text(reaction.get("emoji_name"), 100)
            emoji = self._show_emoji(place, name, get_emoji(name))
            person, reacted_at = _id(reaction.get("user")), _to_time(reaction.get("create_at"))
            event.reactions.append(model.Reaction(emoji, person, reacted_at))
        self._set_body(event, value, message, props)
        if value.get("is_pinned") is True:
            event.pinned_by = event.author
        if deleted := _to_time(value.get("delete_at")):
            event.redacted_at, event.body, event.kind = deleted, "", model.MESSAGE
            event.content = {}
            if event.files:
                loss = "attachment of a deleted message"
                self._accounts.lose(place, RowKind.ATTACHMENTS, loss, len(event.files))
                event.files = []
        for key in ("flagged_by", "thread_followers"):
            if value.get(key):
                self._accounts.note(place, "mark of a person (saved or followed), left out")
        return event

    def _set_body(
        self, event: SourceEvent, value: dict[str, Any], message: str, props: dict[str, Any]
    ) -> None:
        kind = clean_text(value.get("type"))
        if kind.startswith("system_"):
            event.msgtype = model.SYSTEM
            self._set_system_event(event, kind, props)
        event.body = self._convert_text(message, event.mentions)
        attachments = self.list_objects(event.place, props, "attachments", RowKind.OTHER)
        cards = [self._format_card(card, event) for card in attachments]
        if isinstance(card := props.get("card"), str):
            cards.append(format_card(text=self._convert_text(clean_text(card), event.mentions)))
        event.body = join_lines(event.body, *cards)
        if kind.startswith("custom_") and not event.body:
            event.body = join_lines(
                *(escape(clean_text(props.get(key))) for key in ("title", "meeting_topic")),
                strip_query(props.get("meeting_link")),
            )
        if kind == "me":
            event.body = f"*{event.body.strip('*')}*"
        elif kind and kind != "slack_attachment" and event.msgtype != model.SYSTEM:
            self._accounts.note(event.place, f"message of the type {kind[:50]}, carried as text")
        self._note_emptiness(event)

    def _set_system_event(self, event: SourceEvent, kind: str, props: dict[str, Any]) -> None:
        member = event.author
        if kind in _ADDS | _REMOVES:
            member = _id(props.get("addedUsername") or props.get("removedUsername")) or member
        if kind in _JOINS | _LEAVES | _ADDS | _REMOVES:
            event.kind = model.MEMBER
            # The encoder replaces the IDs of people.
            event.content = {
                "participant_id": member,
                "membership": "join" if kind in _JOINS | _ADDS else "leave",
                "changed_by": event.author,
            }
        elif kind == "system_header_change":
            event.kind = model.TOPIC
            event.content = {"topic": clean_text(props.get("new_header"), 10_000)}
        elif kind == "system_displayname_change":
            event.kind = model.NAME
            event.content = {"name": clean_text(props.get("new_displayname"), 300)}

    def _get_author(self, user: str, props: dict[str, Any]) -> str:
        """Return the author; a webhook posts under any name."""
        name = clean_text(props.get("override_username") or props.get("webhook_display_name"), 200)
        if not name or props.get("from_webhook") not in ("true", True):
            return user
        key = f"{user}:{name}"
        self.people.setdefault(key, SourcePerson(key, name, is_bot=True))
        return key

    def _convert_text(self, text: str, mentions: list[str]) -> str:
        if ":" not in text and "@" not in text:
            return text
        parts = []
        for is_code, part in split_code(text):
            parts.append(part if is_code else replace_emoji(part))
            if is_code:
                continue
            for match in _MENTION.finditer(part):
                name = match[1].lower()
                while name and name not in self.people and name[-1] in ".-_":
                    name = name[:-1]
                if name in self.people:
                    mentions.append(name)
        return "".join(parts)

    def _format_card(self, card: dict[str, Any], event: SourceEvent) -> str:
        def convert(text: object) -> str:
            return self._convert_text(clean_text(text), event.mentions)

        text = convert(card.get("text"))
        if not text and not card.get("title") and not card.get("fields"):
            text = convert(card.get("fallback"))
        return format_attachment(card, text, convert)

    def _build_file(self, place: Place, path: str) -> SourceFile:
        found, size = self._find_path(place, path), 0
        if found:
            self._files.number(found)
            size = self._files.get_size(found)
        return SourceFile(path[:_MAX_ID_CHARS], path.rpartition("/")[2], found, size=size)

    def _find_path(self, place: Place, path: object) -> str | None:
        """Return a file that a line names; paths are relative to the JSONL file or to data/."""
        if not (text := clean_text(path).removeprefix("./")):
            return None
        directory = self._accounts.names[place.file].rpartition("/")[0]
        bases = (directory, f"{directory}/data", "", "data")
        return self._files.find(*(f"{base}/{text}".lstrip("/") for base in bases))


def _id(value: object) -> str:
    return clean_text(value, _MAX_ID_CHARS)


def _to_time(value: object) -> int | None:
    """Return microseconds; None for a time that is not set."""
    return value * 1000 if isinstance(value, int) and value > 0 else None
