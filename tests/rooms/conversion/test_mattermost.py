"""Exports of Mattermost: every detail of the format that a conversion could lose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rooms.errors import SourceUnreadable
from tests.rooms.conversion.factories import (
    convert,
    convert_mattermost,
    make_mattermost_lines,
    make_post,
    write_tree,
    write_zip,
)


def test_success_message(tmp_path: Path) -> None:
    converted = convert_mattermost(tmp_path, make_post(7, "Hello **all**", edit_at=1704103299000))
    (event,) = converted.events("Square")
    manifest = converted.manifest("Square")
    (sender,) = manifest["senders"].values()
    assert sender["fqid"] == "@anna:mattermost.mattermost"
    assert manifest["server_name"] == "mattermost.mattermost"
    assert (manifest["room"]["room_type"], manifest["room"]["is_public"]) == ("group", False)
    assert event["content"]["body"] == "Hello **all**"
    assert event["created_at"] == "2024-01-01T10:00:00.007000Z"
    assert event["edited_at"] == "2024-01-01T10:01:39.000000Z"
    assert event["content"]["_source"] == {
        "system": "mattermost", "id": "anna/1704103200007", "time": 1704103200007000
    }  # fmt: skip


def test_success_posts_are_sorted_by_time(tmp_path: Path) -> None:
    numbers = [5, 1, 4, 2, 3]
    converted = convert_mattermost(tmp_path, *(make_post(n, f"No. {n}") for n in numbers))
    assert converted.bodies("Square") == [f"No. {n}" for n in sorted(numbers)]


def test_success_thread(tmp_path: Path) -> None:
    replies = [
        {"user": "ben", "message": "Second", "create_at": 1704103200009},
        {"user": "anna", "message": "First", "create_at": 1704103200005, "edit_at": 1704103200006,
         "reactions": [{"user": "ben", "emoji_name": "heart", "create_at": 1704103200010}]},
    ]  # fmt: skip
    converted = convert_mattermost(tmp_path, make_post(1, "Root", replies=replies))
    root, first, second, reaction = converted.events("Square")
    assert [event["content"].get("body") for event in (root, first, second)] == [
        "Root", "First", "Second",
    ]  # fmt: skip
    for reply in (first, second):
        assert reply["content"]["reply_to_event_id"] == root["id"]
        assert reply["content"]["_source"]["thread"] == "anna/1704103200001"
    assert reaction["content"]["event_id"] == first["id"]
    assert converted.result.figures["totals"]["messages"]["read"] == 3


def test_success_posts_with_the_same_stamp(tmp_path: Path) -> None:
    """They have no IDs: their texts differ, and replies and reactions find their own."""
    reaction = [{"user": "ben", "emoji_name": "+1", "create_at": 1704103200500}]
    posts = [
        make_post(
            1, text, reactions=reaction,
            replies=[{"user": "ben", "message": f"To {text}", "create_at": 1704103200900}],
        )
        for text in ("one", "two", "three")
    ]  # fmt: skip
    converted = convert_mattermost(tmp_path, *posts, make_post(1, "two"))
    events = converted.events("Square")
    ids = {event["content"].get("body"): event["id"] for event in converted.messages("Square")}
    assert len({event["id"] for event in events}) == len(events) == 9
    for event in converted.messages("Square"):
        body = event["content"]["body"]
        if body.startswith("To "):
            assert event["content"]["reply_to_event_id"] == ids[body.removeprefix("To ")]
    reacted = [e["content"]["event_id"] for e in events if "emoji" in e["content"]]
    assert sorted(reacted) == sorted(ids[text] for text in ("one", "two", "three"))
    assert converted.result.figures["totals"]["messages"]["merged"] == 1


def test_success_direct_messages(tmp_path: Path) -> None:
    def direct(number: int, *members: str, text: str) -> tuple[str, Any]:
        return "direct_post", {"channel_members": members, "user": members[0], "message": text,
                               "create_at": 1704103200000 + number}  # fmt: skip

    converted = convert_mattermost(
        tmp_path,
        ("direct_channel", {"members": ["ben", "anna"], "header": "Us"}),
        ("direct_channel", {"participants": [{"username": "anna"}]}),
        ("direct_channel", {"members": list("abcdefgh")}),
        direct(1, "anna", "ben", text="there"),
        direct(2, "ben", "anna", text="and back"),
        direct(3, "anna", "anna", text="to me"),
        direct(4, *"abcdefgh", text="to all"),
    )
    assert converted.bodies("Anna, Ben Berg") == ["there", "and back"]
    room = converted.manifest("Anna, Ben Berg")["room"]
    assert (room["room_type"], room["topic"]) == ("dm", "Us")
    assert converted.bodies("Anna") == ["to me"]
    assert converted.bodies("a, b, c, d, e, f, g, h") == ["to all"]
    assert converted.manifest("a, b, c, d, e, f, g, h")["room"]["room_type"] == "group"
    assert converted.losses() == {"room without messages": 1}  # the channel


def test_success_text_keeps_code(tmp_path: Path) -> None:
    text = (
        "@ben. :tada: `:tada: @anna` ``a ` :tada:`` ~square @here :party-parrot:\n"
        "```\n:tada: @anna\n```\n:+1::skin-tone-2:"
    )
    converted = convert_mattermost(tmp_path, make_post(1, text))
    (event,) = converted.messages("Square")
    assert event["content"]["body"] == (
        "@ben. 🎉 `:tada: @anna` ``a ` :tada:`` ~square @here :party-parrot:\n"
        "```\n:tada: @anna\n```\n👍🏻"
    )
    ben = next(key for key, name in converted.senders("Square").items() if name == "Ben Berg")
    assert event["content"]["mentions"] == [ben]


def test_success_attachments(tmp_path: Path) -> None:
    paths = ["a b.txt", "data/c.txt", "../../etc/passwd", "gone.pdf", "/etc/passwd"]
    post = make_post(1, "Files", attachments=[{"path": path} for path in paths])
    tree = {"data/a b.txt": "one", "data/c.txt": "two", "data/unused.bin": "three"}
    converted = convert_mattermost(tmp_path, post, tree=tree)
    first, second = converted.messages("Square")
    assert converted.media("Square") == {"a b.txt": b"one", "c.txt": b"two"}
    assert first["content"]["msgtype"] == second["content"]["msgtype"] == "swp.media"
    lost = "[file that is not in the export: {}]"
    assert first["content"]["body"].split("\n") == [
        "Files", lost.format("passwd"), lost.format("gone.pdf"), lost.format("passwd")
    ]  # fmt: skip
    assert second["content"]["body"] == "c.txt"
    assert converted.losses() == {
        "file that is not in the export": 3, "file that no message refers to": 1
    }  # fmt: skip


def test_success_same_file_twice(tmp_path: Path) -> None:
    posts = [make_post(n, attachments=[{"path": name}]) for n, name in ((1, "a.txt"), (2, "b.txt"))]
    converted = convert_mattermost(tmp_path, *posts, tree={"a.txt": "x", "b.txt": "x"})
    assert [row["name"] for row in converted.manifest("Square")["media"]] == ["a.txt", "b.txt"]
    assert len(converted.media("Square")) == 1


def test_success_webhooks_and_cards(tmp_path: Path) -> None:
    card = {"pretext": "Look:", "author_name": "CI_bot", "title": "Build", "text": "failed :x:",
            "title_link": "https://ci.example.com/1", "footer": "5 s", "fallback": "no",
            "fields": [{"title": "Branch", "value": "main"}], "actions": [{"name": "Retry"}],
            }  # fmt: skip
    props = {"from_webhook": "true", "override_username": "Jenkins", "attachments": [card]}
    converted = convert_mattermost(tmp_path, make_post(1, "", props=props, type="slack_attachment"))
    assert converted.bodies("Square") == [
        "Look:\n> CI_bot\n> [**Build**](https://ci.example.com/1)\n> failed ❌\n> [Retry]\n"
        "> **Branch**: main\n> 5 s"
    ]
    assert list(converted.senders("Square").values()) == ["Jenkins"]


@pytest.mark.parametrize(
    ("kind", "props", "event_type", "content"),
    [
        ("system_join_channel", {}, "swp.room.member", {"membership": "join"}),
        ("system_leave_channel", {}, "swp.room.member", {"membership": "leave"}),
        ("system_add_to_channel", {"addedUsername": "ben"}, "swp.room.member",
         {"membership": "join"}),
        ("system_remove_from_channel", {"removedUsername": "ben"}, "swp.room.member",
         {"membership": "leave"}),
        ("system_header_change", {"new_header": "New"}, "swp.room.topic", {"topic": "New"}),
        ("system_displayname_change", {"new_displayname": "Name"}, "swp.room.name",
         {"name": "Name"}),
        ("system_channel_deleted", {}, "swp.room.message",
         {"msgtype": "swp.system", "body": "What happened"}),
        ("me", {}, "swp.room.message", {"msgtype": "swp.text", "body": "*What happened*"}),
        ("custom_poll", {}, "swp.room.message", {"msgtype": "swp.text", "body": "What happened"}),
    ],
)  # fmt: skip
def test_success_types(
    tmp_path: Path, kind: str, props: dict[str, str], event_type: str, content: dict[str, str]
) -> None:
    post = make_post(1, "What happened", type=kind, props=props)
    converted = convert_mattermost(tmp_path, post)
    (event,) = converted.events("Square")
    assert event["event_type"] == event_type
    assert event["content"].items() >= content.items()
    if event_type == "swp.room.member":
        name = "Ben Berg" if props else "Anna"
        assert converted.senders("Square")[event["content"]["participant_id"]] == name


def test_success_pins_and_marks(tmp_path: Path) -> None:
    post = make_post(1, "Pinned", is_pinned=True, flagged_by=["ben"])
    converted = convert_mattermost(tmp_path, post)
    pinned, notice = converted.messages("Square")
    assert pinned["content"]["_source"]["pinned"] is True
    assert notice["content"]["reply_to_event_id"] == pinned["id"]
    assert notice["content"]["msgtype"] == "swp.system"
    assert converted.notes() == {
        "pin, carried as a text": 1, "mark of a person (saved or followed), left out": 1
    }  # fmt: skip


def test_success_deleted_post(tmp_path: Path) -> None:
    post = make_post(1, "Secret", delete_at=1704103299000, attachments=[{"path": "a"}])
    converted = convert_mattermost(tmp_path, post)
    (event,) = converted.events("Square")
    assert (event["content"]["body"], event["redacted_at"]) == ("", "2024-01-01T10:01:39.000000Z")
    assert b"Secret" not in converted.path("Square").read_bytes()


def test_success_unknown_lines_and_people(tmp_path: Path) -> None:
    converted = convert_mattermost(
        tmp_path,
        ("emoji", {"name": "parrot", "image": "emoji/parrot.png"}),
        ("role", {"name": "admin"}),
        make_post(1, "Hi", user="ghost", channel="archived"),
        make_post(2, "No channel", channel=None),
        make_post(3, "No time", create_at="yesterday", reactions=[{"user": "ben"}]),
        tree={"data/emoji/parrot.png": "png"},
    )
    assert converted.bodies("archived") == ["Hi"]
    assert list(converted.senders("archived").values()) == ["ghost"]
    assert converted.losses() == {
        "picture of an emoji": 1, "line of the type emoji": 1, "line of the type role": 1,
        "room without messages": 1,
        "message without a channel": 1, "message without a usable time": 1,
        "reaction of a message without a usable time": 1,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [["post"], {"post": 1}, 1, None])
def test_success_line_of_an_odd_type(tmp_path: Path, kind: Any) -> None:
    lines = make_mattermost_lines(make_post(1, "Hi")) + json.dumps({"type": kind}) + "\n"
    source = write_tree(tmp_path / "mm", {"import.jsonl": lines})
    converted = convert("mattermost", source, tmp_path / "out")
    assert converted.bodies("Square") == ["Hi"]
    assert sum(converted.losses().values()) == 1


def test_success_rooms_share_the_digest_of_the_export(tmp_path: Path) -> None:
    lines = make_mattermost_lines(make_post(1, "a"), make_post(2, "b", channel="other"))
    source = write_tree(tmp_path / "mm", {"import.jsonl": lines})
    converted = convert("mattermost", source, tmp_path / "out")
    digests = {converted.manifest(name)["source"]["sha256"] for name in ("Square", "other")}
    assert len(digests) == 1
    source = write_tree(tmp_path / "mm", {"import.jsonl": f"{lines}{{}}\n"})
    changed = convert("mattermost", source, tmp_path / "again")
    assert changed.manifest("other")["source"]["sha256"] not in digests


def test_success_zip_with_data(tmp_path: Path) -> None:
    post = make_post(1, "File", attachments=[{"path": "20240101/team/ü/日本.txt"}])
    tree = {"import.jsonl": make_mattermost_lines(post), "data/20240101/team/ü/日本.txt": "x"}
    converted = convert("mattermost", write_zip(tmp_path / "mm.zip", tree), tmp_path / "out")
    assert converted.media("Square") == {"日本.txt": b"x"}


def test_success_broken_lines(tmp_path: Path) -> None:
    """A long line, a broken one, U+0000, half a surrogate, and bytes that are not UTF-8."""
    good = make_mattermost_lines(make_post(1, "x" * 100_000), make_post(2, "\0a\ud83d"))
    latin = json.dumps({"type": "post", "post": make_post(3, "caf?")[1]}).encode()
    raw = good.encode() + b'{"type": "post", "po\n' + latin.replace(b"?", b"\xe9") + b"\n[1]\n"
    source = write_tree(tmp_path / "mm", {"x.jsonl": raw})
    converted = convert("mattermost", source, tmp_path / "out")
    *pieces, second, third = converted.bodies("Square")
    assert "".join(pieces) == "x" * 100_000
    assert (second, third) == ("\ufffda\ufffd", "caf\ufffd")
    assert converted.losses() == {"unreadable row": 1, "line of the type unknown": 1}
    assert converted.notes() == {"long message, split into several events": 1}


@pytest.mark.parametrize("tree", [{}, {"a.txt": "x"}, {"a.jsonl": "[1]\n"}, {"a.jsonl": ""}])
def test_fail_not_an_export(tmp_path: Path, tree: dict[str, str]) -> None:
    source = write_tree(tmp_path / "mm", tree | {"b.txt": "x"})
    with pytest.raises(SourceUnreadable):
        convert("mattermost", source, tmp_path / "out")
