"""Read exports of Slack: a ZIP file or directory with a file of messages for each channel and day.

Slack's help page "How to read Slack data exports" describes them. Exports that other programs
write in this form, with attachments in `__uploads/` or `attachments/`, are read too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rooms.conversion import model
from rooms.conversion.accounts import MERGED, WRITTEN, Place, RowKind
from rooms.conversion.json_rows import clean_text, get_list, get_number, get_object, only_objects
from rooms.conversion.markdown import get_emoji, join_lines, strip_query
from rooms.conversion.model import Portion, SourceEvent, SourceFile, SourcePerson, SourceRoom
from rooms.conversion.reader import Reader
from rooms.conversion.slack_text import SlackBlocks, SlackText
from rooms.errors import SourceUnreadable

_LISTS = {"channels.json": "public", "groups.json": "group", "mpims.json": "group",
          "dms.json": "dm", "file_conversations.json": "group"}  # fmt: skip
_LEFT_OUT = {
    "integration_logs.json": "entry in the log of apps",
    "content_flags.json": "flag of a message",
    "huddle_transcripts.json": "transcript of a huddle",
    "canvases.json": "canvas, to which the export only links",
    "canvas_in_the_conversation.json": "canvas, to which the export only links",
    "lists.json": "list, to which the export only links",
}
_PEOPLE = ("users.json", "org_users.json")
_DAY = re.compile(r"(?!.*/__uploads/)(.*)/([^/]+)/\d{4}-\d\d-\d\d\.json", re.DOTALL)
_STAMP = re.compile(r"(\d{1,12})(?:\.(\d{1,6})\d*)?")
_MAX_ID_CHARS, _MAX_PREVIEW_CHARS = 100, 20_000
# What Slack writes instead of the text of blocks.
_PLACEHOLDER = re.compile(r"This content can't be displayed\.")
_JOINS, _LEAVES = {"channel_join", "group_join"}, {"channel_leave", "group_leave"}
_MESSAGES = {
    "", "bot_message", "file_share", "file_comment", "file_mention", "thread_broadcast",
    "reply_broadcast", "me_message", "slackbot_response", "document_mention", "joiner_notification",
    "assistant_app_thread",
}  # fmt: skip
_LOST_FILES = {
    "tombstone": "file that was deleted",
    "hidden_by_limit": "file hidden by the limit of a free plan",
    "external": "file of another service",
    "access_denied": "file that the export may not contain",
    "file_not_found": "file that Slack had lost",
}


class SlackReader(Reader):
    """One portion for each channel."""

    system = "slack"

    def _open(self) -> None:
        self._teams: Counter[str] = Counter()
        names = (*_LISTS, *_PEOPLE)
        self._roots = sorted(
            {
                name.removesuffix(last)
                for name in self._files.sizes
                if (last := name.rpartition("/")[2]) in names
            }
        )
        if not self._roots:
            raise SourceUnreadable(
                f"{self._files.file_name} is not an export of Slack: it has no channels.json or "
                "users.json."
            )
        for root in self._roots:
            for name in _PEOPLE:
                if root + name in self._files.sizes:
                    self._read_people(root + name)
        if self._teams and not self.workspace:
            self.workspace = max(self._teams, key=lambda team: (self._teams[team], team))
        # Who pinned a message, by room and message: channels list them, and messages may.
        self._pins: dict[str, dict[str, str]] = {}
        # The directories of messages, by room.
        self._directories = self._read_rooms()
        self._text = SlackText(self._get_name, self._get_channel)

    def iter_portions(self) -> Iterator[Portion]:
        for room_id in self._files.sort_groups(self._directories):
            yield self._iter_events(self.rooms[room_id], sorted(self._directories[room_id]))
        for name in self._files.sizes:
            if loss := _LEFT_OUT.get(name.rpartition("/")[2]):
                for place, _ in self.iter_array(name, RowKind.OTHER):
                    self._accounts.report(place, RowKind.OTHER, loss)

    # People and rooms.

    def _read_people(self, name: str) -> None:
        for place, user in self.iter_array(name, RowKind.PEOPLE):
            user_id = clean_text(user.get("id"), _MAX_ID_CHARS) if isinstance(user, dict) else ""
            if not user_id:
                self._accounts.report(place, RowKind.PEOPLE, "person without an ID")
                continue
            self._accounts.count(
                place.file, RowKind.PEOPLE, MERGED if user_id in self.people else WRITTEN
            )
            self.people.setdefault(user_id, _build_person(user_id, user, user.get("profile")))
            # People of a Grid organisation belong to several workspaces.
            grid = get_object(user, "enterprise_user").get("enterprise_id")
            team = clean_text(grid or user.get("team_id"), _MAX_ID_CHARS)
            if team and not user.get("is_bot"):
                self._teams[team] += 1

    def _read_rooms(self) -> dict[str, list[str]]:
        listed: dict[str, str] = {}
        for root in self._roots:
            for name, room_type in _LISTS.items():
                if root + name in self._files.sizes:
                    for place, value in self.iter_array(root + name, RowKind.ROOMS):
                        self._add_room(place, value, room_type, root, listed)
        directories: dict[str, list[str]] = {}
        for name in self._files.sizes:
            if not (match := _DAY.fullmatch("/" + name)):
                continue
            directory = name.rpartition("/")[0]
            if (room_id := listed.get(directory)) is None:
                # Two workspaces of an organisation may have channels with the same name.
                room_id = listed[directory] = directory.removeprefix(min(self._roots, key=len))
                self.rooms.setdefault(room_id, SourceRoom(room_id, match[2]))
            directories.setdefault(room_id, []).append(name)
        return directories

    def _add_room(
        self, place: Place, value: Any, room_type: str, root: str, listed: dict[str, str]
    ) -> None:
        room_id = clean_text(value.get("id"), _MAX_ID_CHARS) if isinstance(value, dict) else ""
        if not room_id:
            self._accounts.report(place, RowKind.ROOMS, "channel without an ID")
            return
        name = clean_text(value.get("name"))
        for directory in filter(None, (room_id, name)):
            listed.setdefault(root + directory, room_id)
        if room_id in self.rooms:
            self._accounts.count(place.file, RowKind.ROOMS, MERGED)
            return
        people, created = self._name_people(value, "members"), get_number(value, "created")
        if people:
            self._accounts.note(place, "membership of a room, left out", len(people))
        self.rooms[room_id] = SourceRoom(
            room_id,
            name if name and not name.startswith("mpdm-") else ", ".join(people)[:300] or room_id,
            topic=join_lines(
                *(clean_text(get_object(value, key).get("value")) for key in ("topic", "purpose"))
            ),
            room_type=room_type,
            is_archived=value.get("is_archived") is True,
            creator=clean_text(value.get("creator"), _MAX_ID_CHARS) or None,
            # A channel that was created in 1970 has a placeholder.
            created_at=created * 1_000_000 if created > 86_400 else None,
            names=frozenset({name, *map(clean_text, get_list(value, "previous_names"))}),
            place=place,
        )
        self._pins[room_id] = {
            clean_text(pin.get("id"), 30): clean_text(pin.get("user"), _MAX_ID_CHARS)
            for pin in self.list_objects(place, value, "pins", RowKind.OTHER)
        }

    # Messages.

    def _iter_events(self, room: SourceRoom, names: list[str]) -> Portion:
        pins = self._pins.pop(room.id, {})
        for name in names:
            for place, row in self._select(room, self.iter_array(name, RowKind.MESSAGES)):
                if (event := self._build_event(place, row)) is not None:
                    if (pinned_by := pins.pop(event.id, None)) is not None:
                        event.pinned_by = event.pinned_by or pinned_by or event.author
                    yield room, event
        if pins and room.place is not None and room.matches(self._only):
            loss = "pin of a file, or of a message that is not in the export"
            self._accounts.note(room.place, loss, len(pins))

    def _build_event(self, place: Place, row: dict[str, Any]) -> SourceEvent | None:
        subtype = clean_text(row.get("subtype"), 60)
        stamp = row.get("ts")
        if subtype in ("message_changed", "message_deleted"):
            return self._build_patch(place, row, subtype)
        if subtype == "message_replied":  # which repeats the first message of a thread
            self._accounts.count(place.file, RowKind.MESSAGES, MERGED)
            return None
        ts = clean_text(stamp, 30)
        event = SourceEvent(id=ts, at=parse_stamp(ts), author=self._get_author(row, subtype),
                            place=place)  # fmt: skip
        thread = clean_text(row.get("thread_ts"), 30)
        if thread and thread != ts:
            event.reply_to, event.reply_at, event.thread = thread, parse_stamp(thread), thread
        event.reactions = self._list_reactions(place, row)
        if subtype == "tombstone":
            event.redacted_at = event.at
            return event
        if "edited" in row and (at := _get_stamp(get_object(row, "edited"))) > 0:
            event.edited_at = at
        if original := get_object(row, "original"):
            event.original = self._text.convert(clean_text(original.get("text")), [])
        event.files = self._list_files(place, row)
        event.body = self._convert_body(row, event)
        if subtype:
            self._apply_subtype(event, row, subtype)
        self._note_emptiness(event)
        if row.get("pinned_to"):
            pinned_by = get_object(row, "pinned_info").get("pinned_by")
            event.pinned_by = clean_text(pinned_by, _MAX_ID_CHARS) or event.author
        return event

    def _apply_subtype(self, event: SourceEvent, row: dict[str, Any], subtype: str) -> None:
        topic, name = clean_text(row.get("topic"), 10_000), clean_text(row.get("name"), 300)
        if subtype in _JOINS or subtype in _LEAVES:
            event.kind = model.MEMBER
            event.content = {
                "participant_id": event.author,
                "membership": "join" if subtype in _JOINS else "leave",
                "changed_by": clean_text(row.get("inviter"), _MAX_ID_CHARS) or event.author,
            }
        elif subtype in ("channel_topic", "group_topic") and (topic or "topic" in row):
            event.kind, event.content = model.TOPIC, {"topic": topic}
        elif subtype in ("channel_name", "group_name") and name:
            event.kind, event.content = model.NAME, {"name": name}
        elif subtype == "me_message":
            event.body = f"*{event.body}*"
        elif subtype in ("huddle_thread", "sh_room_created"):
            event.msgtype = model.SYSTEM
            event.body = self._describe_huddle(get_object(row, "room"), event)
        elif subtype not in _MESSAGES:
            event.msgtype = model.SYSTEM
            if not subtype.startswith(("channel_", "group_", "pinned_", "bot_", "reminder")):
                loss = f"message of the type {subtype}, carried as text"
                self._accounts.note(event.place, loss)

    def _convert_body(self, row: dict[str, Any], event: SourceEvent) -> str:
        def note(loss: str) -> None:
            self._accounts.note(event.place, loss)

        raw, blocks = clean_text(row.get("text")), row.get("blocks")
        comment = clean_text(get_object(row, "comment").get("comment"))
        if comment not in raw:
            raw = join_lines(raw, comment)
        raw = raw or clean_text(get_object(row, "assistant_app_thread").get("title"))
        text = self._text.convert(raw, event.mentions)
        kinds = {clean_text(block.get("type"), 40) for block in only_objects(blocks)}
        # Rich text repeats the text. Of other blocks, the text is only a summary.
        if kinds and (not raw or kinds != {"rich_text"}):
            skipped = "rich_text" if raw else ""
            shown = SlackBlocks(self._text, event.mentions, note).convert(blocks, skipped)
            if shown and _PLACEHOLDER.fullmatch(raw):
                text = ""
            text = shown if text in shown else join_lines(text, shown)
        cards = self.list_objects(event.place, row, "attachments", RowKind.OTHER)
        for card in cards:
            converter = SlackBlocks(self._text, event.mentions, note)
            text = join_lines(text, converter.convert_attachment(card))
            event.files += self._list_files(event.place, card)
        return text

    def _name_people(self, row: dict[str, Any], key: str) -> list[str]:
        members = [clean_text(member, _MAX_ID_CHARS) for member in get_list(row, key)]
        return [self._get_name(member) or member for member in members]

    def _describe_huddle(self, room: dict[str, Any], event: SourceEvent) -> str:
        start, end = room.get("date_start"), room.get("date_end")
        minutes = ""
        if isinstance(start, int) and isinstance(end, int) and end > start > 0:
            minutes = f", {(end - start + 59) // 60:,} minutes"
        key = "participant_history" if room.get("participant_history") else "participants"
        names = ", ".join(self._name_people(room, key))
        return join_lines(f"Huddle{minutes}{f', with {names}' if names else ''}", event.body)

    def _build_patch(self, place: Place, row: dict[str, Any], subtype: str) -> SourceEvent | None:
        """Return an edit or a deletion that the export lists as a message of its own."""
        before = get_object(row, "previous_message") or get_object(row, "original")
        message = get_object(row, "message") or before
        ts = clean_text(row.get("deleted_ts") or message.get("ts") or before.get("ts"), 30)
        author = self._get_author(message or before, "")
        at = _get_stamp(row)
        event = SourceEvent(ts, parse_stamp(ts), author, place, is_patch=True)
        if subtype == "message_deleted":
            event.redacted_at = max(at, 0)
            return event
        edited = get_object(message, "edited")
        event.edited_at = _get_stamp(edited) if edited.get("ts") else at
        event.body = self._convert_body(message, event)
        if before:
            event.original = self._text.convert(clean_text(before.get("text")), [])
        return event

    def _get_author(self, row: dict[str, Any], subtype: str) -> str:
        for value in (row.get("comment") if subtype == "file_comment" else None,
                      row.get("room") if subtype == "huddle_thread" else None):  # fmt: skip
            if isinstance(value, dict):
                person = clean_text(value.get("user") or value.get("created_by"), _MAX_ID_CHARS)
                if person:
                    return person
        if user := clean_text(row.get("user"), _MAX_ID_CHARS):
            if user == "USLACKBOT":
                self.people.setdefault(user, SourcePerson(user, "Slackbot", is_bot=True))
            elif isinstance(row.get("user_profile"), dict) and (
                # They may have reacted before they wrote.
                user not in self.people or self.people[user].name == user
            ):
                self.people[user] = _build_person(user, {}, row["user_profile"])
            return user
        profile = get_object(row, "bot_profile")
        bot = clean_text(row.get("bot_id") or profile.get("id"), _MAX_ID_CHARS)
        own_name = clean_text(profile.get("name"), 200)
        name = clean_text(row.get("username"), 200) or own_name
        # An integration posts under any name.
        key = ":".join(filter(None, (bot or "bot", "" if bot and name == own_name else name)))
        if key not in self.people:
            self.people[key] = SourcePerson(key, name or bot or "Unknown", is_bot=True)
        return key

    def _list_reactions(self, place: Place, row: dict[str, Any]) -> list[model.Reaction]:
        reactions = []
        for reaction in self.list_objects(place, row, "reactions", RowKind.REACTIONS):
            name = clean_text(reaction.get("name"), 100)
            people = [clean_text(user, _MAX_ID_CHARS) for user in get_list(reaction, "users")]
            shown = self._show_emoji(place, name, get_emoji(name), len(people))
            reactions += self._build_reactions(place, shown, people, reaction.get("count"))
        return reactions

    def _list_files(self, place: Place, row: dict[str, Any]) -> list[SourceFile]:
        rows = self.list_objects(place, row, "files", RowKind.ATTACHMENTS)
        if not rows and isinstance(row.get("file"), dict):
            rows = [row["file"]]
        return [self._build_file(file) for file in rows]

    def _build_file(self, file: dict[str, Any]) -> SourceFile:
        file_id = clean_text(file.get("id"), _MAX_ID_CHARS)
        name = clean_text(file.get("name")) or clean_text(file.get("title")) or file_id
        path = self._files.find(
            *(f"{root}__uploads/{file_id}/{name}" for root in self._roots if file_id)
        ) or (self._files.find_by_id(file_id) if file_id else None)
        modes = (clean_text(file.get(key)) for key in ("mode", "file_access") if not path)
        lost = next((_LOST_FILES[mode] for mode in modes if mode in _LOST_FILES), "")
        return SourceFile(
            file_id, name, path, clean_text(file.get("mimetype")),
            get_number(file, "size"), lost,
            clean_text(file.get("url_private") or file.get("permalink"), 2000),
            is_elsewhere=file.get("mode") == "external",
            preview=clean_text(file.get("plain_text") or file.get("preview"), _MAX_PREVIEW_CHARS),
        )  # fmt: skip


def parse_stamp(text: str) -> int:
    """Return microseconds since 1970 of a `ts`; -1 for anything else."""
    if not (match := _STAMP.fullmatch(text)):
        return -1
    return int(match[1]) * 1_000_000 + int((match[2] or "0").ljust(6, "0"))


def _build_person(user_id: str, user: dict[str, Any], profile: object) -> SourcePerson:
    details = profile if isinstance(profile, dict) else {}
    names = (details.get("display_name"), details.get("real_name"), user.get("real_name"),
             user.get("name"), details.get("name"))  # fmt: skip
    image = next((details[key] for key in ("image_512", "image_192", "image_72")
                  if details.get(key)), "")  # fmt: skip
    return SourcePerson(
        user_id,
        next(filter(None, (clean_text(name, 300) for name in names)), user_id),
        clean_text(details.get("email"), 320),
        strip_query(image),
        is_bot=user.get("is_bot") is True or user_id == "USLACKBOT",
    )


def _get_stamp(row: dict[str, Any]) -> int:
    return parse_stamp(clean_text(row.get("ts"), 30))
