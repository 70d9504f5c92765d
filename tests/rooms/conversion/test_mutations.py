"""Rows in which one value is replaced: none stops a conversion, and each is accounted for."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rooms.conversion.factories import (
    DORA,
    EMIL,
    Json,
    assert_converts,
    convert,
    make_discord_file,
    make_discord_message,
    make_mattermost_lines,
    make_post,
    make_slack_message,
    make_slack_tree,
    write_tree,
)
from tests.rooms.conversion.real_exports import read_messages

MESSAGES = read_messages()
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 2**70, 1.5, 1e308, "", "x", "\0", "1704103200.000100", "a" * 300, [],
    [None],
    [[]], [1, "x"], [{}], {}, {"id": None}, {"type": {}}, {"a": {"b": []}},
)  # fmt: skip
CARD = {
    "pretext": "p", "author_name": "a", "title": "t", "title_link": "https://x.org", "text": "b",
    "fields": [{"title": "f", "value": "v"}], "footer": "f", "fallback": "z",
    "actions": [{"name": "go", "text": "go"}], "from_url": "https://x.org",
    "message_blocks": [{"message": {"blocks": [{"type": "rich_text", "elements": []}]}}],
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}}],
    "files": [{"id": "F1", "name": "n"}],
}  # fmt: skip
SECTION = {"type": "rich_text_section",
           "elements": [{"type": "text", "text": "x", "style": {"bold": True, "code": False}},
                        {"type": "user", "user_id": "U1"}, {"type": "emoji", "name": "tada"},
                        {"type": "link", "url": "https://x.org", "text": "x"},
                        {"type": "date", "fallback": "f"}]}  # fmt: skip
SLACK_ROWS: list[Json] = [
    make_slack_message(
        0, "a *b* <@U1|x> &gt; <#C1> <!date^1^x|f>", thread_ts="1704103100.1", pinned_to=["C1"],
        pinned_info={"pinned_by": "U2"}, edited={"user": "U1", "ts": "1704103300.0"},
        reactions=[{"name": "tada", "users": ["U2"], "count": 2}], attachments=[CARD],
        files=[{"id": "F1", "name": "n", "title": "t", "mimetype": "m", "size": 3, "mode": "x",
                "url_private": "https://x.org/f?t=1"}],
        blocks=[{"type": "rich_text", "elements": [
            SECTION, {"type": "rich_text_list", "style": "ordered", "indent": 1,
                      "elements": [SECTION]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "c"}]}]},
            {"type": "section", "text": {"type": "mrkdwn", "text": "x"},
             "fields": [{"type": "plain_text", "text": "y"}]},
            {"type": "image", "title": {"type": "plain_text", "text": "t"}, "alt_text": "a"},
            {"type": "actions", "elements": [{"type": "button", "url": "https://x.org",
                                              "text": {"type": "plain_text", "text": "b"}}]}],
    ),
    make_slack_message(1, "", user=None, bot_id="B1", username="n", bot_profile={"name": "m"},
                       subtype="bot_message"),
    make_slack_message(2, "", subtype="huddle_thread", user="USLACKBOT",
                       room={"created_by": "U1", "date_start": 1, "date_end": 99,
                             "participants": ["U1"]}),
    make_slack_message(3, "c", subtype="channel_join", inviter="U2"),
    make_slack_message(4, "c", subtype="channel_topic", topic="t"),
    make_slack_message(5, "c", subtype="channel_name", name="n"),
    make_slack_message(6, "", subtype="message_changed", message=make_slack_message(0, "new"),
                       previous_message=make_slack_message(0, "old")),
    make_slack_message(7, "", subtype="message_deleted", deleted_ts="1704103200.000100"),
    make_slack_message(8, "", subtype="file_comment", comment={"user": "U1", "comment": "c"},
                       file={"id": "F1", "name": "n"}),
    make_slack_message(9, "x", user="U9", user_profile={"real_name": "r", "image_72": "https://x"}),
    *MESSAGES["slack"],
]  # fmt: skip
POST = make_post(
    0, "a @ben :tada: `c`", type="slack_attachment", edit_at=1704103200001, is_pinned=True,
    props={"attachments": [CARD], "from_webhook": "true", "override_username": "w"},
    reactions=[{"user": "ben", "emoji_name": "+1", "create_at": 1704103200002}],
    replies=[{"user": "ben", "message": "re", "create_at": 1704103200003, "props": {},
              "attachments": [{"path": "a.txt"}], "reactions": None}],
    attachments=[{"path": "b.txt"}], flagged_by=["ben"],
)[1]  # fmt: skip
MATTERMOST_ROWS: list[Json] = [
    POST,
    make_post(1, "x", type="system_add_to_channel", props={"addedUsername": "ben"})[1],
    make_post(2, "x", type="system_header_change", props={"new_header": "h"})[1],
    *MESSAGES["mattermost"],
]
DISCORD_ROWS: list[Json] = [
    make_discord_message(
        0, f"<@{DORA['id']}> __u__ >>> q", type="Reply", isPinned=True, mentions=[EMIL],
        timestampEdited="2024-01-02T00:00:00Z",
        reference={"messageId": "1191316172800000000", "channelId": "333333333333333333"},
        reactions=[{"emoji": {"id": "1", "name": "x"}, "count": 2, "users": [EMIL]}],
        attachments=[{"id": "1", "url": "a", "fileName": "f", "fileSizeBytes": 1}],
        stickers=[{"id": "2", "name": "s", "sourceUrl": "https://x/y?z"}],
        embeds=[{"title": "t", "url": "https://x", "description": "d", "author": {"name": "n"},
                 "fields": [{"name": "n", "value": "v"}], "footer": {"text": "f"}}],
        components=[{"components": [{"label": "l", "url": "https://x"}]}],
        poll={"question": {"text": "q"}, "answers": [{"text": "a", "count": 1}]},
        interaction={"name": "i", "user": EMIL},
        forwardedMessage={"content": "c", "attachments": [{"id": "3"}], "embeds": [{}]},
    ),
    make_discord_message(1, "x", type="RecipientAdd", mentions=[EMIL]),
    make_discord_message(2, "x", type="Call", callEndedTimestamp="2024-03-01T00:00:00Z"),
    *MESSAGES["discord"],
]  # fmt: skip


def iter_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from iter_places(inner, (*path, key))


def mutate(row: Json, rng: random.Random) -> list[Json]:
    """Return a row for each value in it, with another value in its place."""
    rows = []
    for path in iter_places(row):
        changed = copy.deepcopy(row)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = rng.choice(VALUES)
        rows.append(changed)
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_success_slack(seed: int, tmp_path: Path) -> None:
    rows = [each for row in SLACK_ROWS for each in mutate(row, random.Random(seed))]
    converted = convert("slack", write_tree(tmp_path / "x", make_slack_tree(*rows)), tmp_path / "o")
    assert converted.result.figures["totals"]["messages"]["read"] == len(rows)


@pytest.mark.parametrize("seed", range(6))
def test_success_mattermost(seed: int, tmp_path: Path) -> None:
    rows = [each for row in MATTERMOST_ROWS for each in mutate(row, random.Random(seed))]
    direct = [("direct_post", {"channel_members": ["ben"], **row}) for row in rows]
    people = [
        ("user", row) for row in mutate({"username": "x", "nickname": "n", "profile_image": "p"},
                                        random.Random(seed))
    ]  # fmt: skip
    lines = make_mattermost_lines(*people, *(("post", row) for row in rows), *direct)
    assert_converts("mattermost", write_tree(tmp_path / "x", {"x.jsonl": lines}), tmp_path / "o")


@pytest.mark.parametrize("seed", range(6))
def test_success_discord(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    rows = [each for row in DISCORD_ROWS for each in mutate(row, rng)]
    heads = mutate({**make_discord_file(), "messages": [make_discord_message(0, "x")]}, rng)
    tree = {f"{number}.json": head for number, head in enumerate(heads)}
    tree["rows.json"] = make_discord_file(*rows)
    assert_converts("discord", write_tree(tmp_path / "x", tree), tmp_path / "o")


@pytest.mark.parametrize("seed", range(6))
def test_success_lists_of_slack(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    channel = {"id": "C1", "name": "general", "created": 1577836800, "topic": {"value": "t"},
               "members": ["U1"], "is_archived": False, "creator": "U1"}  # fmt: skip
    user = {"id": "U1", "team_id": "T1", "name": "n", "is_bot": False,
            "profile": {"display_name": "d", "email": "e", "image_512": "https://x.org/a"},
            }  # fmt: skip
    tree = make_slack_tree(make_slack_message(0, "<@U1> <#C1>"))
    for name in ("channels", "groups", "dms", "mpims"):
        tree[f"{name}.json"] = mutate(channel, rng)
    tree["users.json"] = mutate(user, rng)
    assert_converts("slack", write_tree(tmp_path / "x", tree), tmp_path / "o")
