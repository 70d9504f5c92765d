"""Exports of other systems, written from the documentation of their formats, and conversions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rooms.bundle.reader import read_bundle
from rooms.conversion.convert_rooms import ConversionOptions, convert_rooms
from rooms.conversion.room_writer import WrittenRoom
from scaiwave.core.report import Report

Json = dict[str, Any]
Tree = Mapping[str, Any]
"""Contents by the names of files: texts, bytes, or values to write as JSON."""


def encode(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


def write_tree(directory: Path, tree: Tree) -> Path:
    for name, content in tree.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(content))
    return directory


def write_zip(path: Path, tree: Tree) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, encode(content))
    return path


@dataclass(frozen=True)
class Converted:
    """The output of a conversion: manifests and files by the names of rooms."""

    directory: Path
    result: Report

    @property
    def report(self) -> Json:
        report: Json = json.loads((self.directory / "conversion.json").read_text())
        return report

    @property
    def rooms(self) -> list[WrittenRoom]:
        return [WrittenRoom(**row) for row in self.result.figures["rooms"]]

    def path(self, room: str) -> Path:
        (found,) = (each.file for each in self.rooms if each.name == room)
        return self.directory / found

    def manifest(self, room: str) -> Json:
        with zipfile.ZipFile(self.path(room)) as archive:
            manifest: Json = json.loads(archive.read("manifest.json"))
        return manifest

    def events(self, room: str) -> list[Json]:
        events: list[Json] = self.manifest(room)["events"]
        return events

    def bodies(self, room: str) -> list[str]:
        return [event["content"]["body"] for event in self.messages(room)]

    def messages(self, room: str) -> list[Json]:
        return [e for e in self.events(room) if e["event_type"] == "swp.room.message"]

    def media(self, room: str) -> dict[str, bytes]:
        """Return the bytes by the names of the attachments."""
        with zipfile.ZipFile(self.path(room)) as archive:
            names = [name for name in archive.namelist() if name.startswith("media/")]
            return {name.rpartition("/")[2]: archive.read(name) for name in names}

    def senders(self, room: str) -> dict[str, str]:
        """Return the names by ID."""
        senders = self.manifest(room)["senders"]
        return {key: sender["display_name"] for key, sender in senders.items()}

    def losses(self) -> dict[str, int]:
        return {row["loss"]: row["count"] for row in self.result.figures["reported"]}

    def notes(self) -> dict[str, int]:
        return {row["loss"]: row["count"] for row in self.result.figures["notes"]}

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.directory.iterdir())}


def convert(
    system: str, source: Path, directory: Path, *, only: Iterable[str] = (), **options: Any
) -> Converted:
    """Convert, and check the bundles and the account."""
    converted = Converted(
        directory,
        convert_rooms(
            system=system,
            source=source,
            directory=directory,
            options=ConversionOptions(only=frozenset(only), **options),
        ),
    )
    assert_accounted(converted.report)
    for room in converted.rooms:
        with (directory / room.file).open("rb") as file, read_bundle(file, max_bytes=2**30) as read:
            assert read.counts.events == room.events
            assert read.counts.kept == room.events
            assert read.signature is not None
            assert read.signature.signature is None
    return converted


def assert_converts(system: str, source: Path, directory: Path) -> None:
    """Check the bundles and the account, whatever the source contains."""
    convert(system, source, directory)


def assert_accounted(report: Json) -> None:
    kinds = report["totals"]
    for counts in (kinds, *({k: v for k, v in f.items() if k != "file"} for f in report["files"])):
        for kind, count in counts.items():
            outcomes = count["written"] + count["merged"] + count["reported"]
            assert count["read"] == outcomes, (kind, count)
    for kind, count in kinds.items():
        rows = [row for row in report["reported"] if row["kind"] == kind]
        assert sum(row["count"] for row in rows) == count["reported"]
        assert all(row["example"] for row in rows)


# Slack.


def make_slack_user(user_id: str, name: str, **fields: Any) -> Json:
    profile = {"display_name": name, "email": f"{name.lower()}@example.com"}
    return {"id": user_id, "team_id": "T1", "name": name.lower(), "profile": profile, **fields}


ANNA, BEN = make_slack_user("U1", "Anna"), make_slack_user("U2", "Ben")


def make_slack_message(number: int, text: str = "", **fields: Any) -> Json:
    given = {"type": "message", "user": "U1", "text": text, "ts": f"{1704103200 + number}.000100"}
    return {key: value for key, value in {**given, **fields}.items() if value is not None}


def make_slack_tree(*messages: Any, **files: Any) -> dict[str, Any]:
    """Return an export with one channel, #general. Keys of `files` have no `.json`."""
    tree = {
        "users.json": [ANNA, BEN],
        "channels.json": [{"id": "C1", "name": "general", "created": 1577836800, "creator": "U1"}],
        "general/2024-01-01.json": list(messages),
    }
    return {**tree, **{f"{name}.json": value for name, value in files.items()}}


def convert_slack(tmp_path: Path, *messages: Any, **files: Any) -> Converted:
    source = write_tree(tmp_path / "slack", make_slack_tree(*messages, **files))
    return convert("slack", source, tmp_path / "out")


# Mattermost.


def make_mattermost_lines(*rows: tuple[str, Any]) -> str:
    """Return an export with a channel and two people, and these lines."""
    given: list[tuple[str, Any]] = [
        ("channel", {"team": "core", "name": "square", "display_name": "Square", "type": "O"}),
        ("user", {"username": "anna", "email": "anna@example.com", "nickname": "Anna"}),
        ("user", {"username": "ben", "first_name": "Ben", "last_name": "Berg"}),
    ]
    lines: list[Json] = [{"type": "version", "version": 1}]
    lines += ({"type": kind, kind: value} for kind, value in (*given, *rows))
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def make_post(number: int, message: str = "", **fields: Any) -> tuple[str, Json]:
    given: Json = {"team": "core", "channel": "square", "user": "anna", "message": message,
             "create_at": 1704103200000 + number}  # fmt: skip
    return "post", {**given, **fields}


def convert_mattermost(tmp_path: Path, *rows: tuple[str, Any], **files: Any) -> Converted:
    tree = {"import.jsonl": make_mattermost_lines(*rows), **files.get("tree", {})}
    return convert("mattermost", write_tree(tmp_path / "mm", tree), tmp_path / "out")


# Discord.

FIRST_ID = 1191316172800000000 & ~0x3FFFFF
CHANNEL_ID = "333333333333333333"


def make_discord_user(number: int, name: str, **fields: Any) -> Json:
    given: Json = {
        "id": f"10000000000000000{number}", "name": name.lower(), "discriminator": "0000",
        "nickname": name, "color": None, "isBot": False, "roles": [],
        "avatarUrl": f"https://cdn.example.com/{number}.png?size=512",
    }  # fmt: skip
    return {**given, **fields}


DORA, EMIL = make_discord_user(1, "Dora"), make_discord_user(2, "Emil")


def make_discord_message(number: int, content: str = "", **fields: Any) -> Json:
    given: Json = {"id": str(FIRST_ID + (number << 32)), "type": "Default",
             "timestamp": "2024-01-01T12:00:00.123+02:00", "timestampEdited": None,
             "callEndedTimestamp": None, "isPinned": False, "content": content, "author": DORA,
             "attachments": [], "embeds": [], "stickers": [], "reactions": [], "mentions": [],
             "inlineEmojis": []}  # fmt: skip
    return {**given, **fields}


def make_discord_file(*messages: Any, **changes: Any) -> Json:
    channel = {"id": CHANNEL_ID, "type": "GuildTextChat", "categoryId": "4", "category": "Text",
               "name": "general", "topic": "All of it"}  # fmt: skip
    return {
        "guild": {"id": "222222222222222222", "name": "Guild", "iconUrl": "icon.png"},
        "channel": {**channel, **changes.get("channel", {})},
        "dateRange": changes.get("dates", {"after": None, "before": None}),
        "exportedAt": "2024-02-01T00:00:00+00:00",
        "messages": list(messages),
        "messageCount": len(messages),
    }


def convert_discord(tmp_path: Path, *messages: Any, **files: Any) -> Converted:
    tree = {"general.json": make_discord_file(*messages), **files.get("tree", {})}
    return convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "out")
