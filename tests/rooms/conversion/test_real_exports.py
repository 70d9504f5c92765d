"""Exports as the systems write them: no loss without a report, and each room can be used."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.transcribe_room import transcribe_bundle
from rooms.transcripts.wording import Clock
from tests.rooms.conversion.factories import Converted, convert, write_tree, write_zip
from tests.rooms.conversion.real_exports import read_export
from tests.rooms.round_trip import find_differences, read_bundle
from tests.rooms.test_round_trip import a_home, export_bytes, import_bytes, target
from tests.scaiwave.row_factories import NOW

LOSSES: dict[str, dict[str, int]] = {
    "slack": {
        "file that was deleted": 1, "file hidden by the limit of a free plan": 1,
        "file of another service": 1, "file that is not in the export": 3,
        "file that the export may not contain": 1, "canvas, to which the export only links": 2,
        "entry in the log of apps": 1, "room without messages": 1,
    },
    "mattermost": {
        "file that is not in the export": 1, "line of the type emoji": 1,
        "line of the type role": 1, "line of the type scheme": 1, "line of the type team": 1,
        "line of the type wiki": 1, "picture of an emoji": 1,
        "picture of a person that no room shows": 1,
    },
    "discord": {
        "file that is not in the export": 1, "icon of an embed": 1, "picture of a server": 4,
        "picture of a person that no room shows": 3, "picture of an emoji": 2,
        "reaction without its author": 2,
    },
}  # fmt: skip
NOTES: dict[str, dict[str, int]] = {
    "slack": {
        "block of the type static_select, of which only known texts are carried": 1,
        "custom or unknown emoji, carried as its name": 1, "membership of a room, left out": 13,
        "person who is not in the list of people": 1, "pin, carried as a text": 1,
        "pin of a file, or of a message that is not in the export": 1,
        "reply to a message that is not in the export": 1, "small picture of a preview": 1,
    },
    "mattermost": {
        "mark of a person (saved or followed), left out": 2, "membership of a room, left out": 3,
        "message of the type custom_calls, carried as text": 1,
        "message of the type custom_llmbot, carried as text": 1,
        "message of the type custom_matterpoll, carried as text": 1,
        "message of the type page, carried as text": 1, "message without a text": 1,
        "picture of a person that is not in the export": 1, "pin, carried as a text": 1,
    },
    "discord": {
        "custom or unknown emoji, carried as its name": 1, "pin, carried as a text": 1,
        "picture of an embed that is not in the export": 1,
        "reference to a message of another channel": 1,
    },
}  # fmt: skip
TEXTS = {
    "slack": [
        "Hi @here, @S0CREW and @crew see #quay by 1 January", "Two lists\na | b", "But this can",
        "🫨#ff0000@Ben[site](https://a.example.com)`x = 1`\n3. third\n> quoted\n```\nprint()\n```",
        "**Release 7**\n**Passed** 🎉\n**Branch**\nmain\n[[image: ok]](https://img.example.com/ok.png)"
        "\nby @Ben\n---\n[[Open]](https://ci.example.com/7)\n"
        "[[call: Stand-up]](https://calls.example.com/j/1)",
        "> Ben Harbour\n> shared text\n> Posted in #quay\n"
        "[file that is not in the export: plan 8.pdf, 2.0 KiB]",
        "[file that is not in the export: Mail, 2.0 KiB]\n```\nDear *all*\n```",
        "in another directory",
        "Huddle, 10 minutes, with Anna, Ben", "*sets sail*", "New chat", "new words",
    ],
    "mattermost": [
        "root for @ben and @all in ~quay 🎉 `:tada: @ben`", "with a card\n> More **about** it",
        "Poll\n> Polls\n> **Where to?**\n> **Total votes**: 2\n> [North] "
        "[[image]](https://img.example.com/a.png)\n> **North**: 2\n> f",
        "Files\n[file that is not in the export: gone.bin]", "*waves*",
    ],
    "discord": [
        "Hi @Ben @Crew :parrot: *u* ||s||",
        "Forwarded:\n> forwarded words", "*Ben used /ping*\npong",
        "> [Desk](https://desk.example.com)\n> [**News**](https://news.example.com)\n"
        "> By @Ben :parrot:\n> [[image]](https://img.example.com/a.png)\n> **Who**: @Anna\n> foot\n"
        "[[Open]](https://o.example.com)", "Boosted the server.", "second part",
        "Started a thread. #quay / plan",
        "Results of a poll:\n> **poll_question_text**: North?",
    ],
}  # fmt: skip
MAIN = {"slack": "quay", "mattermost": "Quay", "discord": "quay"}


@pytest.fixture(params=MAIN)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def converted(system: str, tmp_path: Path) -> Converted:
    source = write_zip(tmp_path / "export.zip", read_export(system))
    return convert(system, source, tmp_path / "out")


def test_success_nothing_is_lost_without_a_report(system: str, converted: Converted) -> None:
    assert converted.losses() == LOSSES[system]
    assert converted.notes() == NOTES[system]
    bodies = converted.bodies(MAIN[system])
    assert [text for text in TEXTS[system] if text not in bodies] == []
    for name, content in converted.files().items():
        assert b"secret" not in content, name


def test_success_channels_of_several_workspaces(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "export.zip", read_export("slack"))
    converted = convert("slack", source, tmp_path / "out")
    rooms = {room.source_id: room.name for room in converted.rooms}
    assert rooms == {
        "C0QUAY0001": "quay", "C0TEAM0001": "general", "teams/Harbour/new": "new",
        "teams/Other/new": "new", "G0CREW0001": "crew", "C0GROUP001": "Anna, Ben, U0CATO0001",
        "D0ANNABEN1": "Anna, Ben", "C0CANVAS01": "FC:F0FILE0006:Agenda",
    }  # fmt: skip


def test_success_pictures_of_people(system: str, converted: Converted) -> None:
    manifest = converted.manifest(MAIN[system])
    names = {row["media_id"]: row["name"] for row in manifest["media"]}
    urls = {
        sender["display_name"]: names.get(str(sender["avatar_url"]).removeprefix("media:"))
        or sender["avatar_url"]
        for sender in manifest["senders"].values()
    }
    expected: dict[str, dict[str, Any]] = {
        "slack": {"Ben": "https://avatars.example.com/x_72.png",
                  "Sam Stranger": "https://avatars.example.com/s.png"},
        "mattermost": {"Anna Harbour": "image.png", "Ben Harbour": None},
        "discord": {"Anna": "anna-0A1B2.png", "Ben": "ben-0A1B2.png"},
    }  # fmt: skip
    assert urls.items() >= expected[system].items()


@pytest.mark.django_db(transaction=True)
def test_success_imported_exported_and_transcribed(converted: Converted, tmp_path: Path) -> None:
    home = a_home()
    for number, room in enumerate(converted.rooms):
        path = converted.directory / room.file
        bundle = path.read_bytes()
        first = read_bundle(bundle)
        again = read_bundle(export_bytes(home, import_bytes(home, bundle)))
        del first.manifest["source"], first.files["signature.json"]
        del again.files["signature.json"]
        assert list(find_differences(first, again, target(home))) == []
        transcript = transcribe_bundle(
            path=path, key=None, descriptor=None, options=TranscriptOptions("text", Clock(UTC)),
            max_bytes=2**30, target=tmp_path / f"transcript{number}", overwrite=False, now=NOW,
        )  # fmt: skip
        assert transcript.document()


def test_success_directory(system: str, converted: Converted, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "export", read_export(system))
    other = convert(system, source, tmp_path / "other")
    assert other.events(MAIN[system]) == converted.events(MAIN[system])
    assert (other.losses(), other.notes()) == (converted.losses(), converted.notes())
