"""Read the JSON exports of DiscordChatExporter: one file, or several parts, for each channel.

Its class `JsonMessageWriter` shows the fields. A thread is a channel of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from rooms.bundle.json_stream import JsonStream
from rooms.conversion import model
from rooms.conversion.accounts import READ, Place, RowKind
from rooms.conversion.discord_text import DiscordText
from rooms.conversion.json_rows import clean_text, decode, get_number, get_object, only_objects
from rooms.conversion.markdown import escape, format_card, join_lines, link, quote, strip_query
from rooms.conversion.model import Portion, SourceEvent, SourceFile, SourcePerson, SourceRoom
from rooms.conversion.reader import Reader
from rooms.conversion.source_files import FileDamaged
from rooms.errors import SourceUnreadable
from scaiwave.core.strict_json import StrictJSONError

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d(?::\d\d)?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DISCORD_EPOCH_MS = 1_420_070_400_000
_SNOWFLAKE = re.compile(r"\d{15,20}")
_MAX_ID_CHARS = 40
_MAX_KEYS = 100
_MESSAGE_TYPES = {"Default", "Reply", "20", "23", "ChatInputCommand", "ContextMenuCommand",
                  "ThreadStarterMessage", ""}  # fmt: skip
_SYSTEM_TYPES = {"Call", "ChannelNameChange", "ChannelIconChange", "ChannelPinnedMessage",
                 "GuildMemberJoin", "ThreadCreated", "RecipientAdd", "RecipientRemove"}  # fmt: skip
# What the exporter has no names for, by https://docs.discord.com/developers/resources/message.
_NUMBERED_TYPES = {
    "8": "Boosted the server.", "9": "Boosted the server to level 1.",
    "10": "Boosted the server to level 2.", "11": "Boosted the server to level 3.",
    "12": "Followed a channel:", "21": "The thread began with a message of its channel.",
    "22": "Invited to add people.",
    "24": "Blocked by a rule of moderation:", "25": "Subscribed to a role:",
    "27": "Started a stage:", "28": "Ended a stage:", "29": "Became a speaker.",
    "31": "Changed the topic of a stage:", "46": "Results of a poll:",
}  # fmt: skip
_DIRECT = {"DirectTextChat": "dm"}


class DiscordReader(Reader):
    """One portion for each channel, with all of its parts."""

    system = "discord"

    def _open(self) -> None:
        self._roles: dict[str, str] = {}
        self._text = DiscordText(self._get_name, self._get_channel, self._roles)
        self._parts: dict[str, list[str]] = {}
        # The file that is read, its people, and whether it gave their roles.
        self._source = ""
        self._seen: set[tuple[str, bool]] = set()
        # Files that no bundle contains, unless something else refers to them.
        self._left_out: dict[str, str] = {}
        guilds: set[str] = set()
        for name in sorted(self._files.sizes):
            if name.lower().endswith(".json") or len(self._files.sizes) == 1:
                self._read_head(name, guilds)
        if not self.rooms:
            raise SourceUnreadable(
                f"{self._files.file_name} is not an export of DiscordChatExporter: no JSON file "
                "has a guild and a channel."
            )
        # Exports of several servers are one source: their people are the same.
        if len(guilds) == 1:
            self.workspace = self.workspace or guilds.pop()

    def _read_head(self, name: str, guilds: set[str]) -> None:
        """Read what comes before the messages."""
        head: dict[str, Any] = {}
        stream = JsonStream(self._files.peek_chunks(name), max_bytes=2**20)
        try:
            for key in stream.iter_keys(max_keys=_MAX_KEYS):
                if key == "messages":
                    break
                head[key] = decode(stream.read_value())
        except (StrictJSONError, FileDamaged, ValueError, RecursionError):
            pass  # The messages are read, and a damaged file is reported, later.
        guild, channel = head.get("guild"), head.get("channel")
        if not isinstance(guild, dict) or not isinstance(channel, dict):
            # It may be an attachment.
            self._left_out[name] = "file that is not an export of a channel"
            return
        self._source = name
        for value, loss in ((guild, "picture of a server"), (channel, "picture of a channel")):
            self._lose_picture(value.get("iconUrl"), loss)
        guilds.add(clean_text(guild.get("id"), _MAX_ID_CHARS))
        channel_id = clean_text(channel.get("id"), _MAX_ID_CHARS) or name
        self._parts.setdefault(channel_id, []).append(name)
        place = Place(self._files.number(name), 0)
        if channel_id in self.rooms:
            room = self.rooms[channel_id]
        else:
            self._accounts.count(place.file, RowKind.ROOMS, READ)
            room = self.rooms[channel_id] = _build_room(channel_id, channel, place)
        _widen_period(
            room, get_object(head, "dateRange"), is_first=len(self._parts[channel_id]) == 1
        )

    def iter_portions(self) -> Iterator[Portion]:
        for channel_id in self._files.sort_groups(self._parts):
            yield self._iter_events(self.rooms[channel_id], self._parts[channel_id])
        for path, loss in self._left_out.items():
            self._files.lose(path, loss)

    def _iter_events(self, room: SourceRoom, names: list[str]) -> Portion:
        for name in names:
            self._source = name
            self._seen.clear()
            for place, row in self._select(room, self._iter_messages(name)):
                yield room, self._build_event(place, row, room)

    def _iter_messages(self, name: str) -> Iterator[tuple[Place, Any]]:
        stream = self.open_stream(name)
        file = self._files.number(name)
        try:
            for key in stream.iter_keys(max_keys=_MAX_KEYS):
                if key != "messages":
                    stream.skip_value()
                    continue
                is_complete = yield from self.iter_items(stream, name, RowKind.MESSAGES)
                if not is_complete:
                    return
        except (StrictJSONError, FileDamaged):
            self._accounts.lose(Place(file, 0), RowKind.OTHER, "unreadable rest of a file")

    # Messages.

    def _build_event(self, place: Place, row: dict[str, Any], room: SourceRoom) -> SourceEvent:
        message_id = clean_text(row.get("id"), _MAX_ID_CHARS)
        kind = clean_text(row.get("type"), 60)
        if (at := parse_snowflake(message_id)) is None:
            at = parse_time(row.get("timestamp"))
        author = self._add_person(row.get("author"))
        event = SourceEvent(message_id or str(at), at, author, place)
        if row.get("mentions"):
            people = self.list_objects(place, row, "mentions", RowKind.OTHER)
            event.mentions = [self._add_person(person) for person in people]
        if (edited := parse_time(row.get("timestampEdited"))) > 0:
            event.edited_at = edited
        if row.get("isPinned") is True:
            event.pinned_by = author
        event.files = self._list_files(place, row)
        if row.get("reactions"):
            event.reactions = self._list_reactions(place, row)
        self._set_reference(event, row, room, kind)
        event.body = self._build_body(event, row)
        self._set_kind(event, row, kind)
        self._note_emptiness(event)
        return event

    def _set_reference(
        self, event: SourceEvent, row: dict[str, Any], room: SourceRoom, kind: str
    ) -> None:
        reference = row.get("reference")
        if not isinstance(reference, dict) or row.get("forwardedMessage"):
            return
        channel = clean_text(reference.get("channelId"), _MAX_ID_CHARS)
        target = clean_text(reference.get("messageId"), _MAX_ID_CHARS)
        at = parse_snowflake(target)
        if target and at is not None and channel in ("", room.id):
            event.reply_to, event.reply_at = target, at
        elif target:
            self._accounts.note(event.place, "reference to a message of another channel")

    def _set_kind(self, event: SourceEvent, row: dict[str, Any], kind: str) -> None:
        members = {"RecipientAdd": "join", "RecipientRemove": "leave", "GuildMemberJoin": "join"}
        if kind in members:
            people = event.mentions if kind != "GuildMemberJoin" else []
            event.kind = model.MEMBER
            event.content = {
                "participant_id": people[0] if people else event.author,
                "membership": members[kind],
                "changed_by": event.author,
            }
        elif kind in _SYSTEM_TYPES:
            event.msgtype = model.SYSTEM
            event.body = event.body or kind
            if kind == "ThreadCreated":
                thread = clean_text(get_object(row, "reference").get("channelId"))
                event.body += f" #{escape(self._get_channel(thread) or thread)}" if thread else ""
        elif kind in _NUMBERED_TYPES:
            event.msgtype = model.SYSTEM
            event.body = join_lines(_NUMBERED_TYPES[kind], event.body)
        elif kind not in _MESSAGE_TYPES:
            event.msgtype = model.SYSTEM
            event.body = event.body or f"Message of the type {escape(kind)}"
            self._accounts.note(event.place, f"message of the type {kind}, carried as text")

    def _build_body(self, event: SourceEvent, row: dict[str, Any]) -> str:
        place = event.place
        parts = [self._convert(clean_text(row.get("content")), event)]
        self._lose_emoji(row.get("inlineEmojis"))
        interaction = row.get("interaction")
        if isinstance(interaction, dict):
            person = self._add_person(interaction.get("user"))
            command = escape(clean_text(interaction.get("name"), 100))
            parts.insert(0, f"*{escape(self._get_name(person))} used /{command}*")
        if row.get("embeds"):
            parts += self._describe_embeds(event, row)
        forwarded = row.get("forwardedMessage")
        if isinstance(forwarded, dict):
            inner = [self._convert(clean_text(forwarded.get("content")), event)]
            inner += self._describe_embeds(event, forwarded)
            event.files += self._list_files(place, forwarded)
            parts.append("Forwarded:\n" + quote(join_lines(*inner)))
        if row.get("components"):
            parts += self._describe_components(place, row, 0)
        if isinstance(poll := row.get("poll"), dict):
            parts.append(self._describe_poll(place, poll))
        return join_lines(*parts)

    def _describe_embeds(self, event: SourceEvent, row: dict[str, Any]) -> list[str]:
        place, texts = event.place, []
        for embed in self.list_objects(place, row, "embeds", RowKind.OTHER):
            author, footer = embed.get("author"), embed.get("footer")
            image = embed.get("image")
            picture = ""
            if isinstance(image, dict) and self._find_file(image.get("url")) is None:
                address = strip_query(image.get("canonicalUrl") or image.get("url"))
                picture = link(address, "[image]") if address else ""
            for value in only_objects([author, footer]):
                self._lose_picture(value.get("iconUrl"), "icon of an embed")
            self._lose_emoji(embed.get("inlineEmojis"))
            fields = self.list_objects(place, embed, "fields", RowKind.OTHER)
            url = clean_text(embed.get("url"), 2000)
            title = self._convert(clean_text(embed.get("title")), event)
            if not title and url and url in clean_text(row.get("content")):
                url = ""
            texts.append(
                format_card(
                    author=link(_get(author, "url"), escape(_get(author, "name"))),
                    title=title,
                    url=url,
                    text="\n".join(
                        filter(None, (self._convert(_get(embed, "description"), event), picture))
                    ),
                    fields=[
                        (
                            self._convert(_get(field, "name"), event),
                            self._convert(_get(field, "value"), event),
                        )
                        for field in fields
                    ],
                    footer=escape(_get(footer, "text")),
                )
            )
        return texts

    def _describe_components(self, place: Place, row: dict[str, Any], depth: int) -> list[str]:
        labels = []
        for component in self.list_objects(place, row, "components", RowKind.OTHER):
            if label := clean_text(component.get("label"), 200):
                labels.append(link(clean_text(component.get("url"), 2000), f"[{escape(label)}]"))
            self._lose_emoji([component.get("emoji")])
            if depth < 10:
                labels += self._describe_components(place, component, depth + 1)
        return [" ".join(labels)] if labels else []

    def _describe_poll(self, place: Place, poll: dict[str, Any]) -> str:
        question = poll.get("question")
        lines = [f"**{escape(_get(question, 'text') or clean_text(question))}**"]
        for answer in self.list_objects(place, poll, "answers", RowKind.OTHER):
            text = clean_text(answer.get("text")) or _get(answer.get("answer"), "text")
            votes = answer.get("count", answer.get("voteCount", answer.get("votes")))
            count = f": {votes:,}" if isinstance(votes, int) else ""
            lines.append(f"- {escape(text)}{count}")
        self._accounts.note(place, "poll, carried as text")
        return "\n".join(lines)

    def _convert(self, text: str, event: SourceEvent) -> str:
        return self._text.convert(text, event.mentions)

    def _add_person(self, value: object) -> str:
        user = value if isinstance(value, dict) else {}
        person = clean_text(user.get("id"), _MAX_ID_CHARS)
        if (key := (person, "roles" in user)) in self._seen:
            return person
        self._seen.add(key)
        for role in only_objects(user.get("roles")):
            self._roles[_get(role, "id")] = escape(_get(role, "name")[:100])
        address = user.get("avatarUrl")
        # Each file may have pictures of its own, with other copies.
        self._lose_picture(address, "picture of a person that no room shows")
        if person not in self.people:
            name = clean_text(user.get("nickname"), 200) or clean_text(user.get("name"), 200)
            self.people[person] = SourcePerson(
                person, name or person or "Unknown", "", strip_query(address),
                user.get("isBot") is True, self._find_file(address),
            )  # fmt: skip
        return person

    def _list_reactions(self, place: Place, row: dict[str, Any]) -> list[model.Reaction]:
        reactions = []
        for reaction in self.list_objects(place, row, "reactions", RowKind.REACTIONS):
            emoji = reaction.get("emoji")
            label = _get(emoji, "name")[:100]
            self._lose_emoji([emoji])
            is_custom = _get(emoji, "id") not in ("", "0") or label.isascii()
            users = self.list_objects(place, reaction, "users", RowKind.REACTIONS)
            shown = self._show_emoji(place, label, None if is_custom else label, len(users))
            people = [self._add_person(user) for user in users]
            reactions += self._build_reactions(place, shown, people, reaction.get("count"))
        return reactions

    def _list_files(self, place: Place, row: dict[str, Any]) -> list[SourceFile]:
        files = []
        for file in self.list_objects(place, row, "attachments", RowKind.ATTACHMENTS):
            file_name = clean_text(file.get("fileName"))
            files.append(self._build_file(file, file_name, file.get("url")))
            files[-1].size = get_number(file, "fileSizeBytes")
        for sticker in self.list_objects(place, row, "stickers", RowKind.ATTACHMENTS):
            label = f"Sticker {clean_text(sticker.get('name'), 100)}"
            files.append(self._build_file(sticker, label, sticker.get("sourceUrl")))
        return files + self._list_pictures(place, row)

    def _list_pictures(self, place: Place, row: dict[str, Any]) -> list[SourceFile]:
        """Return the pictures of embeds that the export contains; note the others."""
        found: dict[str, SourceFile] = {}
        lost: set[str] = set()
        for embed in only_objects(row.get("embeds")):
            pictures = [embed.get(key) for key in ("image", "thumbnail", "video")]
            for picture in only_objects([*pictures, *only_objects(embed.get("images"))]):
                file = self._build_file({}, "", picture.get("url"))
                if file.path is not None:
                    file.name = file.path.rpartition("/")[2]
                    found.setdefault(file.path, file)
                elif file.url:
                    lost.add(file.url)
        if lost:
            loss = "picture of an embed that is not in the export"
            self._accounts.note(place, loss, len(lost))
        return list(found.values())

    def _find_file(self, url: object) -> str | None:
        """Return the file of an address: with `--media` it is relative to the JSON file."""
        address = clean_text(url, 2000)
        if not address or "://" in address:
            return None
        relative = address.replace("\\", "/").removeprefix("./")
        directory = self._source.rpartition("/")[0]
        paths = [f"{directory}/{each}".lstrip("/") for each in (relative, unquote(relative))]
        return self._files.find(*paths, relative, unquote(relative))

    def _lose_emoji(self, emojis: object) -> None:
        for emoji in only_objects(emojis):
            self._lose_picture(emoji.get("imageUrl"), "picture of an emoji")

    def _lose_picture(self, url: object, loss: str) -> None:
        """Remember a picture that no bundle contains, to report it if nothing else refers to it."""
        if path := self._find_file(url):
            self._left_out.setdefault(path, loss)

    def _build_file(self, file: dict[str, Any], name: str, url: object) -> SourceFile:
        file_id = clean_text(file.get("id"), _MAX_ID_CHARS)
        address = clean_text(url, 2000)
        path = self._find_file(address)
        if path is None and file_id:
            path = self._files.find_by_id(file_id)
        return SourceFile(file_id, name or "file", path, url=address)


def parse_time(value: object) -> int:
    """Return microseconds since 1970 of a time with any offset; -1 for anything else."""
    if not isinstance(value, str) or not (match := _TIME.fullmatch(value)):
        return -1
    try:
        moment = datetime.fromisoformat(match[1] + (match[3] or "Z"))
    except ValueError:
        return -1
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000 + int((match[2] or "0")[:6].ljust(6, "0"))


def parse_snowflake(text: str) -> int | None:
    """Return microseconds since 1970, which keep the order of IDs; None for another ID."""
    if not _SNOWFLAKE.fullmatch(text):
        return None
    number = int(text)
    return ((number >> 22) + _DISCORD_EPOCH_MS) * 1000 + (number & 0x3FFFFF) * 1000 // 2**22


def _build_room(channel_id: str, channel: dict[str, Any], place: Place) -> SourceRoom:
    kind = clean_text(channel.get("type"), 60)
    name = clean_text(channel.get("name"), 200) or channel_id
    parent = clean_text(channel.get("category"), 200)
    # The parent of a thread is its channel.
    shown = f"{parent} / {name}" if parent and kind.endswith("Thread") else name
    return SourceRoom(
        channel_id, shown, clean_text(channel.get("topic")), _DIRECT.get(kind, "group"),
        created_at=parse_snowflake(channel_id), names=frozenset({name}), place=place,
    )  # fmt: skip


def _widen_period(room: SourceRoom, dates: dict[str, Any], *, is_first: bool) -> None:
    """Let the period of the room contain the period of one of its parts, in whole seconds."""
    since, until = parse_time(dates.get("after")), parse_time(dates.get("before"))
    bounds = (
        since // 1_000_000 * 1_000_000 if since > 0 else None,
        -(-until // 1_000_000) * 1_000_000 if until > 0 else None,
    )
    if is_first:
        room.since, room.until = bounds
        return
    room.since = None if None in (room.since, bounds[0]) else min(room.since or 0, bounds[0] or 0)
    room.until = None if None in (room.until, bounds[1]) else max(room.until or 0, bounds[1] or 0)


def _get(value: object, key: str) -> str:
    return clean_text(value.get(key)) if isinstance(value, dict) else ""
