"""Exports of Slack: every detail of the format that a conversion could lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rooms.errors import SourceUnreadable
from tests.rooms.conversion.factories import (
    ANNA,
    BEN,
    Json,
    convert,
    convert_slack,
    make_slack_message,
    make_slack_tree,
    make_slack_user,
    write_tree,
    write_zip,
)

ROOT = "1704103200.000100"


def test_success_message(tmp_path: Path) -> None:
    edited = {"user": "U1", "ts": "1704103300.000000"}
    message = make_slack_message(0, "Hello &amp; *bye*", edited=edited, client_msg_id="x")
    converted = convert_slack(tmp_path, message)
    (event,) = converted.events("general")
    manifest = converted.manifest("general")
    ((sender_id, sender),) = manifest["senders"].items()
    assert event["sender_id"] == sender_id
    assert (sender["fqid"], sender["display_name"]) == ("@U1:t1.slack", "Anna")
    assert event["content"] == {
        "msgtype": "swp.text", "body": "Hello & **bye**",
        "_source": {"system": "slack", "id": ROOT, "time": 1704103200000100},
    }  # fmt: skip
    assert event["created_at"] == "2024-01-01T10:00:00.000100Z"
    assert event["edited_at"] == "2024-01-01T10:01:40.000000Z"
    assert manifest["source"]["system"] == "slack"
    assert manifest["source"]["workspace"] == "T1"
    assert manifest["room"]["created_at"] == "2020-01-01T00:00:00.000000Z"
    assert manifest["room"]["creator_id"] == sender_id


def test_success_order_below_a_second(tmp_path: Path) -> None:
    messages = [make_slack_message(0, f"No. {n}", ts=f"1704103200.00{n:02}00") for n in (3, 1, 2)]
    converted = convert_slack(tmp_path, *messages)
    assert converted.bodies("general") == ["No. 1", "No. 2", "No. 3"]


def test_success_threads(tmp_path: Path) -> None:
    """A reply on a later day, one that is in the channel too, and one whose root is missing."""
    days = {
        "general/2024-01-02": [
            make_slack_message(86400, "later", user="U2", thread_ts=ROOT, parent_user_id="U1"),
            make_slack_message(86401, "orphan", thread_ts="1600000000.000000"),
        ]
    }
    converted = convert_slack(
        tmp_path,
        make_slack_message(0, "root", thread_ts=ROOT, reply_count=2, replies=[{"user": "U2"}]),
        make_slack_message(1, "both", subtype="thread_broadcast", thread_ts=ROOT, root={}),
        **days,
    )
    root, both, later, orphan = converted.events("general")
    assert later["content"]["reply_to_event_id"] == root["id"]
    assert both["content"]["reply_to_event_id"] == root["id"]
    assert "reply_to_event_id" not in root["content"] | orphan["content"]
    assert orphan["content"]["_source"]["thread"] == "1600000000.000000"
    assert converted.notes() == {"reply to a message that is not in the export": 1}


def test_success_duplicates_are_merged(tmp_path: Path) -> None:
    message = make_slack_message(0, "once", reactions=[{"name": "tada", "users": ["U2", "U2"]}])
    converted = convert_slack(tmp_path, message, message)
    assert len(converted.events("general")) == 2
    assert converted.result.figures["totals"]["messages"]["merged"] == 1
    assert converted.result.figures["totals"]["reactions"]["merged"] == 3


def test_success_reactions(tmp_path: Path) -> None:
    reactions = [
        {"name": "clap::skin-tone-2", "users": ["U2"], "count": 1},
        {"name": "party-parrot", "users": ["U1", "UGONE"], "count": 5},
        {"name": "flag-nl", "users": ["U2"]},
    ]
    converted = convert_slack(tmp_path, make_slack_message(0, "x", reactions=reactions))
    message, *reacted = converted.events("general")
    assert {e["content"]["event_id"] for e in reacted} == {message["id"]}
    assert all(e["sender_id"] == e["content"]["sender_id"] for e in reacted)
    names = converted.senders("general")
    assert sorted((e["content"]["emoji"], names[e["sender_id"]]) for e in reacted) == [
        (":party-parrot:", "Anna"), (":party-parrot:", "UGONE"), ("🇳🇱", "Ben"), ("👏🏻", "Ben"),
    ]  # fmt: skip
    assert converted.losses() == {"reaction without its author": 3}


def test_success_authors(tmp_path: Path) -> None:
    profile = {
        "real_name": "Guest of another team",
        "team": "T2",
        "image_72": "https://a.example.com/c?t=x",
    }
    converted = convert_slack(
        tmp_path,
        make_slack_message(0, "shared", user="W9", user_profile=profile),
        make_slack_message(1, "bot", user=None, bot_id="B1", username="Jenkins",
                           subtype="bot_message"),
        make_slack_message(2, "bot", user=None, bot_id="B1", bot_profile={"name": "CI"}),
        make_slack_message(3, "name only", user=None, username="Hook", subtype="bot_message"),
        make_slack_message(4, "system", user="USLACKBOT"),
        make_slack_message(5, "A file was commented on", user="U1", subtype="file_comment",
                           comment={"user": "U2", "comment": "a *comment*"}),
        make_slack_message(6, "no one", user=None),
        make_slack_message(7, "zero", user="U00"),
    )  # fmt: skip
    senders = converted.manifest("general")["senders"]
    authors = [senders[event["sender_id"]] for event in converted.events("general")]
    assert [(author["display_name"], author["fqid"]) for author in authors] == [
        ("Guest of another team", "@W9:t1.slack"), ("Jenkins", "@B1=3aJenkins:t1.slack"),
        ("CI", "@B1:t1.slack"), ("Hook", "@bot=3aHook:t1.slack"),
        ("Slackbot", "@USLACKBOT:t1.slack"),
        ("Ben", "@U2:t1.slack"), ("Unknown", "@bot:t1.slack"), ("U00", "@U00:t1.slack"),
    ]  # fmt: skip
    assert authors[0]["avatar_url"] == "https://a.example.com/c"
    assert converted.bodies("general")[5] == "A file was commented on\na **comment**"


@pytest.mark.parametrize(
    ("fields", "event_type", "content"),
    [
        ({"subtype": "channel_join", "inviter": "U2"}, "swp.room.member", {"membership": "join"}),
        ({"subtype": "group_leave"}, "swp.room.member", {"membership": "leave"}),
        ({"subtype": "channel_topic", "topic": "T"}, "swp.room.topic", {"topic": "T"}),
        ({"subtype": "group_name", "name": "new"}, "swp.room.name", {"name": "new"}),
        ({"subtype": "channel_topic"}, "swp.room.message", {"body": "what happened"}),
        ({"subtype": "channel_purpose"}, "swp.room.message", {"msgtype": "swp.system"}),
        ({"subtype": "channel_archive"}, "swp.room.message", {"msgtype": "swp.system"}),
        ({"subtype": "pinned_item"}, "swp.room.message", {"msgtype": "swp.system"}),
        ({"subtype": "me_message"}, "swp.room.message", {"body": "*what happened*"}),
        ({"subtype": "brand_new"}, "swp.room.message",
         {"msgtype": "swp.system", "body": "what happened"}),
        ({"type": "unheard_of"}, "swp.room.message", {"body": "what happened"}),
        ({"subtype": 7}, "swp.room.message", {"body": "what happened"}),
    ],
)  # fmt: skip
def test_success_subtypes(
    tmp_path: Path, fields: Json, event_type: str, content: dict[str, str]
) -> None:
    converted = convert_slack(tmp_path, make_slack_message(0, "what happened", **fields))
    (event,) = converted.events("general")
    assert event["event_type"] == event_type
    assert event["content"].items() >= content.items()


def test_success_huddle(tmp_path: Path) -> None:
    room = {"created_by": "U2", "date_start": 1704103200, "date_end": 1704103861,
            "participant_history": ["U1", "U2"]}  # fmt: skip
    message = make_slack_message(
        0, "", user="USLACKBOT", subtype="huddle_thread", room=room, thread_ts=ROOT
    )
    converted = convert_slack(tmp_path, message)
    assert converted.bodies("general") == ["Huddle, 12 minutes, with Anna, Ben"]
    assert list(converted.senders("general").values()) == ["Ben"]


def test_success_deleted_root_of_a_thread(tmp_path: Path) -> None:
    tombstone = make_slack_message(0, "This message was deleted.", user="USLACKBOT", hidden=True,
                                   subtype="tombstone", thread_ts=ROOT)  # fmt: skip
    converted = convert_slack(tmp_path, tombstone, make_slack_message(1, "re", thread_ts=ROOT))
    root, reply = converted.events("general")
    assert (root["content"]["body"], "redacted_at" in root) == ("", True)
    assert reply["content"]["reply_to_event_id"] == root["id"]


def test_success_edits_with_originals_and_deletions(tmp_path: Path) -> None:
    def change(number: int, text: str, before: str) -> Json:
        return {"type": "message", "subtype": "message_changed", "hidden": True,
                "ts": f"{1704103300 + number}.0",
                "message": {"user": "U1", "text": text, "ts": ROOT},
                "previous_message": {"user": "U1", "text": before, "ts": ROOT}}  # fmt: skip

    deleted = {"type": "message", "subtype": "message_deleted", "ts": "1704103400.0",
               "deleted_ts": "1704103201.000100",
               "previous_message": {"text": "secret", "ts": "1704103201.000100"}}  # fmt: skip
    converted = convert_slack(
        tmp_path,
        make_slack_message(0, "one"),
        make_slack_message(1, "secret"),
        change(1, "two", "one"),
        change(2, "*three*", "two"),
        deleted,
    )
    edited, gone = converted.events("general")
    assert edited["content"]["body"] == "**three**"
    assert edited["original_content"]["body"] == "one"
    assert edited["edited_at"] == "2024-01-01T10:01:42.000000Z"
    assert (gone["content"]["body"], gone["redacted_at"]) == ("", "2024-01-01T10:03:20.000000Z")
    assert converted.result.figures["totals"]["messages"] == {
        "read": 5, "written": 2, "merged": 3, "reported": 0
    }  # fmt: skip


def test_success_logs_of_edits_and_deletions(tmp_path: Path) -> None:
    """Slack calls the message before an edit or a deletion `original`."""
    edited = make_slack_message(0, "new", edited={"user": "U1", "ts": "1704103300.000000"},
                                original={"user": "U1", "text": "*old*", "ts": ROOT})  # fmt: skip
    deleted = {"type": "message", "subtype": "message_deleted", "ts": "1704103400.000000",
               "original": make_slack_message(1, "secret")}  # fmt: skip
    converted = convert_slack(tmp_path, edited, deleted)
    first, second = converted.events("general")
    assert first["original_content"]["body"] == "**old**"
    assert (second["content"]["body"], second["redacted_at"]) == ("", "2024-01-01T10:03:20.000000Z")


def test_success_edit_without_a_time(tmp_path: Path) -> None:
    edit = {
        "type": "message",
        "subtype": "message_changed",
        "ts": "soon",
        "message": {"user": "U1", "text": "new", "ts": ROOT, "edited": {"ts": 2**70}},
    }
    converted = convert_slack(tmp_path, make_slack_message(0, "old"), edit)
    (event,) = converted.events("general")
    assert (event["content"]["body"], event["original_content"]["body"]) == ("new", "old")
    assert "edited_at" not in event


def test_success_all_parts_of_a_deleted_message(tmp_path: Path) -> None:
    files = [{"id": f"F1000{n}", "name": f"{n}.txt"} for n in range(3)]
    deleted = {"subtype": "message_deleted", "ts": "1704103400.0", "deleted_ts": ROOT}
    tree = make_slack_tree(
        make_slack_message(0, "secret " * 9000, files=files, pinned_to=["C1"]),
        make_slack_message(1, "stays"),
        deleted,
    )
    tree |= {f"__uploads/F1000{n}/{n}.txt": str(n) for n in range(3)}
    converted = convert("slack", write_tree(tmp_path / "x", tree), tmp_path / "out")
    assert converted.bodies("general") == ["", "stays"]


def test_success_bots_whose_text_is_elsewhere(tmp_path: Path) -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Deploy_1"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*ok* <@U2>"},
         "fields": [{"type": "mrkdwn", "text": "_a_"}], "accessory": {}},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "image", "alt_text": "cat"},
                                         {"type": "plain_text", "text": "by :tada:"}]},
        {"type": "actions", "elements": [{"type": "button", "url": "https://x.org",
                                          "text": {"type": "plain_text", "text": "Open"}}]},
        {"type": "future", "text": "still here"},
        "not a block",
    ]  # fmt: skip
    card = {"pretext": "Look", "title": "T", "title_link": "https://x.org/?q=1", "text": "*b*",
            "fields": [{"title": "F", "value": "v"}], "footer": "f", "fallback": "unused",
            "files": [{"id": "F1", "name": "in a card"}]}  # fmt: skip
    converted = convert_slack(
        tmp_path,
        make_slack_message(0, "", blocks=blocks),
        make_slack_message(1, "", attachments=[card, {"fallback": "only this"}]),
    )
    first, second = converted.bodies("general")
    assert first == (
        "**Deploy_1**\n**ok** @Ben\n*a*\n---\n[image: cat] by 🎉\n[[Open]](https://x.org)\n"
        "still here"
    )
    assert second == (
        "Look\n> [**T**](https://x.org/?q=1)\n> **b**\n> **F**: v\n> f\n> only this\n"
        "[file that is not in the export: in a card]"
    )
    assert converted.notes() == {
        "block of an unknown form": 1,
        "block of the type future, of which only known texts are carried": 1,
        "picture of a block that is not in the export": 1,
    }


def test_success_tables_accessories_and_pictures(tmp_path: Path) -> None:
    cell = {"type": "rich_text", "elements": [
        {"type": "rich_text_section", "elements": [{"type": "text", "text": "1"}]}]}  # fmt: skip
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": "Go"},
        "url": "https://x.org",
    }
    picture = "https://x.org/i.png?token=secret"
    blocks = [
        {"type": "table", "rows": [[{"type": "raw_text", "text": "A_b"}, cell], "odd"]},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*ok*"}, "accessory": button},
        {"type": "image", "image_url": picture, "alt_text": "cat"},
    ]
    converted = convert_slack(
        tmp_path, make_slack_message(0, "", blocks=blocks, attachments=[{"image_url": picture}])
    )
    (body,) = converted.bodies("general")
    assert body == (
        "A_b | 1\n**ok**\n[[Go]](https://x.org)\n[[image: cat]](https://x.org/i.png)\n"
        "> [[image]](https://x.org/i.png)"
    )
    assert converted.notes() == {"block of an unknown form": 1}


def test_success_rich_text(tmp_path: Path) -> None:
    """It repeats the text, so it counts only where the text is missing."""

    def section(*elements: Json) -> Json:
        return {"type": "rich_text_section", "elements": list(elements)}

    elements = [
        section({"type": "text", "text": "Hi ", "style": {"bold": True}},
                {"type": "user", "user_id": "U2"}, {"type": "emoji", "name": "tada"},
                {"type": "link", "url": "https://x.org", "text": "x"},
                {"type": "channel", "channel_id": "C1"}, {"type": "broadcast", "range": "here"},
                {"type": "text", "text": "a*b", "style": {"code": True}}),
        {"type": "rich_text_list", "style": "ordered", "indent": 1,
         "elements": [section({"type": "text", "text": "one"}),
                      section({"type": "text", "text": "two"})]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x *y*"}]},
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "q"}]},
    ]  # fmt: skip
    blocks = [{"type": "rich_text", "elements": elements}]
    converted = convert_slack(
        tmp_path,
        make_slack_message(0, "", blocks=blocks),
        make_slack_message(1, "text", blocks=blocks),
    )
    assert converted.bodies("general") == [
        "**Hi** @Ben🎉[x](https://x.org)#general@here`a*b`\n    1. one\n    2. two\n"
        "```\nx *y*\n```\n> q",
        "text",
    ]


def test_success_files(tmp_path: Path) -> None:
    files: list[Json] = [
        {"id": "F11111", "name": "a.txt", "mimetype": "text/plain", "size": 2,
         "url_private": "https://files.slack.com/a.txt?t=xoxe-secret"},
        {"id": "F22222", "title": "plan", "mimetype": "application/vnd.slack-docs"},
        {"id": "F33333", "mode": "tombstone"},
        {"id": "F44444", "name": "old", "mode": "hidden_by_limit"},
        {"id": "F55555", "name": "no", "file_access": "access_denied"},
        {"id": "F66666", "name": "doc", "mode": "external", "size": 5_000_000,
         "url_private": "https://me:pw@docs.example.com/d?usp=sharing#x"},
        {"id": "F77777", "name": "elsewhere.txt"},
    ]  # fmt: skip
    tree = make_slack_tree(make_slack_message(0, "Files", files=files))
    tree |= {"__uploads/F11111/a.txt": "hi", "attachments/F22222-plan.html": "<p>"}
    source = write_zip(tmp_path / "export.zip", tree)
    extra = write_tree(tmp_path / "extra", {"x/F77777/elsewhere.txt": "far"})
    converted = convert("slack", source, tmp_path / "out", files=extra)
    assert converted.media("general") == {"a.txt": b"hi", "plan": b"<p>", "elsewhere.txt": b"far"}
    first = converted.messages("general")[0]["content"]
    assert first["body"].split("\n") == [
        "Files", "[file that was deleted: F33333]",
        "[file hidden by the limit of a free plan: old]",
        "[file that the export may not contain: no]",
        "[[file of another service: doc, 4.8 MiB]](https://docs.example.com/d)",
    ]  # fmt: skip
    assert first["_source"]["files"][3] == {
        "id": "F66666", "name": "doc", "size": 5_000_000, "missing": "file of another service",
        "url": "https://docs.example.com/d",
    }  # fmt: skip
    for content in converted.files().values():
        assert b"xoxe" not in content
        assert b"pw@" not in content
    assert converted.result.figures["totals"]["attachments"] == {
        "read": 7, "written": 3, "merged": 0, "reported": 4
    }  # fmt: skip


def test_success_pins(tmp_path: Path) -> None:
    """A channel lists them, and a message may."""
    channel = {"id": "C1", "name": "general", "pins": [{"id": ROOT, "type": "C", "user": "U2"}, 1]}
    tree = make_slack_tree(
        make_slack_message(0, "one"),
        make_slack_message(1, "two", pinned_to=["C1"], pinned_info={"pinned_by": "U1"}),
    )
    source = write_tree(tmp_path / "x", {**tree, "channels.json": [channel]})
    converted = convert("slack", source, tmp_path / "out")
    one, first, two, second = converted.messages("general")
    assert first["content"]["reply_to_event_id"] == one["id"]
    assert second["content"]["reply_to_event_id"] == two["id"]
    names = converted.senders("general")
    assert [names[notice["sender_id"]] for notice in (first, second)] == ["Ben", "Anna"]


def test_success_private_and_direct_rooms(tmp_path: Path) -> None:
    hello = [make_slack_message(0, "hello")]
    tree = {
        **make_slack_tree(),
        "groups.json": [{"id": "G1", "name": "secret", "is_archived": True,
                         "purpose": {"value": "why"}}],
        "dms.json": [{"id": "D1", "members": ["U1", "U2"]}, {"id": "D2", "members": ["U1"]},
                     {"id": "D3", "members": ["U1", "U2"]}],
        "mpims.json": [{"id": "G2", "name": "mpdm-anna--ben-1", "members": ["U1", "U2"]},
                       {"id": "G3", "name": "mpdm-anna--ben-2", "members": ["U1", "U2"]}],
        "secret/2024-01-01.json": hello, "D1/2024-01-01.json": hello, "D2/2024-01-01.json": hello,
        "mpdm-anna--ben-1/2024-01-01.json": hello, "mpdm-anna--ben-2/2024-01-01.json": hello,
        "FC:F1:Canvas/2024-01-01.json": hello, "チャネル/2024-01-01.json": hello,
    }  # fmt: skip
    converted = convert("slack", write_zip(tmp_path / "x.zip", tree), tmp_path / "out")
    rooms = {room.source_id: room.name for room in converted.rooms}
    assert rooms == {
        "G1": "secret", "D1": "Anna, Ben", "D2": "Anna", "G2": "Anna, Ben", "G3": "Anna, Ben",
        "FC:F1:Canvas": "FC:F1:Canvas", "チャネル": "チャネル",
    }  # fmt: skip
    room = converted.manifest("secret")["room"]
    assert (room["state"], room["topic"], room["room_type"]) == ("archived", "why", "group")
    assert converted.manifest("Anna")["room"]["room_type"] == "dm"
    assert converted.losses() == {"room without messages": 2}


def test_success_public_rooms_only_on_request(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "slack", make_slack_tree(make_slack_message(0, "x")))
    converted = convert("slack", source, tmp_path / "out")
    public = convert("slack", source, tmp_path / "public", public=True)
    assert converted.manifest("general")["room"]["room_type"] == "group"
    assert public.manifest("general")["room"]["room_type"] == "public"


def test_success_grid_export_in_a_directory_of_the_archive(tmp_path: Path) -> None:
    tree = {
        "top/org_users.json": [ANNA, make_slack_user("W1", "Wim")],
        "top/channels.json": [{"id": "C9", "name": "org"}],
        "top/org/2024-01-01.json": [make_slack_message(0, "everyone")],
        "top/teams/one/channels.json": [{"id": "C1", "name": "general"}],
        "top/teams/one/general/2024-01-01.json": [make_slack_message(0, "one", user="W1")],
        "top/teams/two/channels.json": [{"id": "C2", "name": "general"}],
        "top/teams/two/general/2024-01-01.json": [make_slack_message(0, "two")],
        "__MACOSX/top/._channels.json": b"\0",
    }
    converted = convert("slack", write_zip(tmp_path / "x.zip", tree), tmp_path / "out")
    assert {room.source_id for room in converted.rooms} == {"C1", "C2", "C9"}
    assert converted.losses() == {}


@pytest.mark.parametrize(
    "rows",
    [
        [None, 1, "x", [], {}],
        [{"ts": None}, {"ts": "x"}, {"ts": 1.5e300}, {"ts": "9" * 40}, {"ts": -1}],
        [{"ts": ROOT, "reactions": "x", "files": {}, "blocks": "x", "attachments": [1]}],
        [{"ts": ROOT, "reactions": [{"users": "U1", "count": "many"}, {"users": [1, None, {}]}]}],
        [{"ts": ROOT, "user": {"id": 1}, "edited": "x", "user_profile": [], "bot_profile": 3}],
        [{"ts": ROOT, "subtype": "message_changed"}, {"ts": ROOT, "subtype": "message_deleted"}],
        [{"ts": ROOT, "subtype": "huddle_thread", "room": 5, "text": {"a": 1}}],
        [{"ts": ROOT, "files": [{"id": None, "size": "x", "name": ["a"]}, {}], "text": "\0"}],
    ],
)
def test_success_rows_of_any_form(tmp_path: Path, rows: list[Any]) -> None:
    """Nothing stops a conversion, and `convert` checks that each row is accounted for."""
    converted = convert_slack(tmp_path, *rows)
    assert converted.result.figures["totals"]["messages"]["read"] == len(rows)


def test_success_damaged_files(tmp_path: Path) -> None:
    days = {
        "2024-01-01": '[{"ts": "1704103200.1", "user": "U1", "text": "before"}, {"ts": "17',
        "2024-01-02": "<html>", "2024-01-03": "", "2024-01-04": '{"ok": false}', "2024-01-05": "[]",
        "2024-01-06": '[{"ts": "1704503200.1", "user": "U1", "text": "a", "text": "b"}, nan]',
    }  # fmt: skip
    tree = make_slack_tree() | {f"general/{day}.json": text for day, text in days.items()}
    converted = convert("slack", write_tree(tmp_path / "slack", tree), tmp_path / "out")
    assert converted.bodies("general") == ["before", "b"]
    assert converted.losses() == {"unreadable rest of a file": 4, "unreadable row": 1}


@pytest.mark.parametrize("tree", [{"x.json": "[]"}, {"general/2024-01-01.json": "[]"}])
def test_fail_not_an_export(tmp_path: Path, tree: dict[str, str]) -> None:
    with pytest.raises(SourceUnreadable, match="is not an export of Slack"):
        convert("slack", write_tree(tmp_path / "slack", tree), tmp_path / "out")


def test_success_people_of_the_report(tmp_path: Path) -> None:
    bad = [None, {"name": "no ID"}, BEN, BEN]
    tree = make_slack_tree(make_slack_message(0, "x")) | {"users.json": [ANNA, *bad]}
    converted = convert("slack", write_tree(tmp_path / "slack", tree), tmp_path / "out")
    assert converted.report["people"] == [
        {"id": "U1", "name": "Anna", "email": "anna@example.com", "is_bot": False},
        {"id": "U2", "name": "Ben", "email": "ben@example.com", "is_bot": False},
    ]
    assert converted.losses() == {"person without an ID": 2}
