"""Any generated workspace: counts, order, IDs, equal bytes, and what an import makes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from rooms.conversion.markdown import split_code
from rooms.conversion.slack_text import SlackText
from tests.rooms.conversion.factories import (
    CHANNEL_ID,
    Converted,
    Json,
    convert,
    make_discord_file,
    make_discord_message,
    make_discord_user,
    make_mattermost_lines,
    make_slack_message,
    make_slack_tree,
    write_tree,
    write_zip,
)
from tests.rooms.round_trip import find_differences, read_bundle
from tests.rooms.test_round_trip import a_home, export_bytes, import_bytes, target
from tests.tools import count_examples

ROOMS = {"slack": "general", "mattermost": "Square", "discord": "general"}
texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("*_`~<>@#:|&\\[]()\n \0"),
    max_size=80,
)
EMOJI = ("tada", "+1", "party-parrot", "heart")


@dataclass
class Message:
    """`time` is in milliseconds after the first one; `reply_to` is the index of an earlier one."""

    time: int
    author: int
    text: str
    reply_to: int | None
    edited: bool
    reactions: list[tuple[int, str]]
    attachment: int | None


@dataclass
class Workspace:
    messages: list[Message] = field(default_factory=list)


@st.composite
def workspaces(draw: st.DrawFn) -> Workspace:
    messages: list[Message] = []
    for number in range(draw(st.integers(0, 12))):
        reply_to = draw(st.none() | st.integers(0, number - 1)) if number else None
        if reply_to is not None and messages[reply_to].reply_to is not None:
            reply_to = messages[reply_to].reply_to
        messages.append(
            Message(
                draw(st.integers(0, 30_000)),
                draw(st.integers(0, 4)),
                draw(texts),
                reply_to,
                draw(st.booleans()),
                draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(EMOJI)), max_size=3)),
                draw(st.none() | st.integers(0, 2)),
            )
        )
    return Workspace(messages)


def make_slack(workspace: Workspace) -> dict[str, Any]:
    rows = []
    stamps = [f"{1704103200 + m.time // 1000}.{n:06}" for n, m in enumerate(workspace.messages)]
    for number, message in enumerate(workspace.messages):
        row = make_slack_message(0, message.text, ts=stamps[number], user=f"U{message.author}")
        if message.reply_to is not None:
            row["thread_ts"] = stamps[message.reply_to]
        if message.edited:
            row["edited"] = {"ts": "1704203200.0"}
        row["reactions"] = [
            {"name": emoji, "users": [f"U{person}"], "count": 1}
            for person, emoji in message.reactions
        ]
        if message.attachment is not None:
            row["files"] = [{"id": f"F1000{message.attachment}", "name": "a.txt"}]
        rows.append(row)
    return {**make_slack_tree(*rows), "__uploads/F10000/a.txt": "0", "__uploads/F10001/a.txt": "1"}


def make_mattermost(workspace: Workspace) -> dict[str, Any]:
    posts: dict[int, Json] = {}
    for number, message in enumerate(workspace.messages):
        post = {
            "team": "core", "channel": "square", "user": f"u{message.author}",
            "message": message.text, "create_at": 1704103200000 + message.time, "replies": [],
            "edit_at": 1704203200000 if message.edited else 0,
            "reactions": [
                {"user": f"u{person}", "emoji_name": emoji, "create_at": 1704103200000}
                for person, emoji in message.reactions
            ],
            "attachments": None if message.attachment is None
            else [{"path": f"{message.attachment}.txt"}],
        }  # fmt: skip
        if message.reply_to is None:
            posts[number] = post
        else:
            posts[message.reply_to]["replies"].append(post)
    lines = make_mattermost_lines(*(("post", post) for post in posts.values()))
    return {"import.jsonl": lines, "data/0.txt": "0", "data/1.txt": "1"}


def make_discord(workspace: Workspace) -> dict[str, Any]:
    rows: list[Json] = []
    for number, message in enumerate(workspace.messages):
        row = make_discord_message(number, message.text)
        row["author"] = make_discord_user(message.author, f"P{message.author}")
        if message.reply_to is not None:
            target_id = rows[message.reply_to]["id"]
            row |= {"type": "Reply", "reference": {"messageId": target_id, "channelId": CHANNEL_ID}}
        if message.edited:
            row["timestampEdited"] = "2024-02-01T00:00:00+00:00"
        row["reactions"] = [
            {"emoji": {"id": "", "name": emoji}, "count": 1,
             "users": [make_discord_user(person, f"P{person}")]}
            for person, emoji in message.reactions
        ]  # fmt: skip
        if message.attachment is not None:
            name = f"{message.attachment}.txt"
            row["attachments"] = [{"id": f"{number}", "url": name, "fileName": name}]
        rows.append(row)
    half = len(rows) // 2
    return {
        "a.json": make_discord_file(*rows[half:]), "b.json": make_discord_file(*rows[:half]),
        "0.txt": "0", "1.txt": "1",
    }  # fmt: skip


MAKERS = {"slack": make_slack, "mattermost": make_mattermost, "discord": make_discord}


def assert_converted(converted: Converted, workspace: Workspace, room: str) -> None:
    totals = converted.result.figures["totals"]
    assert totals["messages"]["read"] == len(workspace.messages)
    assert totals["messages"]["reported"] == 0
    reactions = sum(len(message.reactions) for message in workspace.messages)
    assert totals["reactions"]["read"] == reactions
    assert totals["reactions"]["reported"] == 0
    attachments = [m.attachment for m in workspace.messages if m.attachment is not None]
    assert totals["attachments"]["read"] == len(attachments)
    assert totals["attachments"]["reported"] == attachments.count(2)
    if not workspace.messages:
        assert converted.rooms == []
        return
    events = converted.events(room)
    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids)
    assert [e["stream_position"] for e in events] == list(range(1, len(events) + 1))
    times = [event["created_at"] for event in events]
    assert times == sorted(times)
    replies = sum("reply_to_event_id" in event["content"] for event in events)
    if not totals["messages"]["merged"]:
        expected = sum(message.reply_to is not None for message in workspace.messages)
        # A reply that is older than its root can't refer to it.
        assert (
            replies + converted.notes().get("reply to a message that is not in the export", 0)
            == expected
        )


@pytest.mark.parametrize("system", MAKERS)
@property_settings(
    max_examples=count_examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(workspace=workspaces())
def test_success_any_workspace(system: str, workspace: Workspace) -> None:
    tree = MAKERS[system](workspace)
    with TemporaryDirectory() as name:
        directory = Path(name)
        first = convert(system, write_tree(directory / "source", tree), directory / "1")
        second = convert(system, directory / "source", directory / "2")
        assert first.files() == second.files()
        assert_converted(first, workspace, ROOMS[system])
        archive = convert(system, write_zip(directory / "x.zip", tree), directory / "3")
        if workspace.messages:
            assert archive.events(ROOMS[system]) == first.events(ROOMS[system])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("system", MAKERS)
@property_settings(
    max_examples=count_examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(workspace=workspaces())
def test_success_imported_and_exported_again(system: str, workspace: Workspace) -> None:
    home = a_home()
    with TemporaryDirectory() as name:
        source = write_tree(Path(name) / "source", MAKERS[system](workspace))
        converted = convert(system, source, Path(name) / "out")
        for room in converted.rooms:
            bundle = (converted.directory / room.file).read_bytes()
            first = read_bundle(bundle)
            again = read_bundle(export_bytes(home, import_bytes(home, bundle)))
            del first.manifest["source"], first.files["signature.json"]
            del again.files["signature.json"]
            assert list(find_differences(first, again, target(home))) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["1704103200.1", "U1", "https://x.org", "rich_text", "section"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SLACK_KEYS = st.sampled_from(
    ["ts", "user", "text", "subtype", "files", "reactions", "blocks", "attachments", "thread_ts",
     "edited", "room", "comment", "message", "previous_message", "bot_profile", "pinned_to"]
)  # fmt: skip


@property_settings(max_examples=count_examples(150))
@given(rows=st.lists(st.dictionaries(SLACK_KEYS, JSON_VALUES) | JSON_VALUES, max_size=5))
def test_success_rows_of_any_form(rows: list[Any]) -> None:
    """No form of a row stops a conversion, and each row is accounted for."""
    text = json.dumps(rows)
    with TemporaryDirectory() as name:
        directory = Path(name)
        tree = {**make_slack_tree(), "general/2024-01-01.json": text}
        converted = convert("slack", write_tree(directory / "slack", tree), directory / "1")
        assert converted.result.figures["totals"]["messages"]["read"] == len(rows)
        file = {**make_discord_file(), "messages": rows}
        convert("discord", write_tree(directory / "dc", {"x.json": file}), directory / "2")
        lines = make_mattermost_lines(*(("post", row) for row in rows))
        convert("mattermost", write_tree(directory / "mm", {"x.jsonl": lines}), directory / "3")


@property_settings(max_examples=count_examples(300))
@given(text=texts)
def test_success_code_stays_as_it_is(text: str) -> None:
    parts = split_code(text)
    assert "".join(part for _, part in parts) == text
    code = "a*b_c~d <x> :tada: \\ [y](z)"
    converted = SlackText(lambda person: "", lambda room: "").convert(
        f"{text.replace('`', '')} `{code.replace('<', '&lt;').replace('>', '&gt;')}`", []
    )
    assert f"`{code}`" in converted
