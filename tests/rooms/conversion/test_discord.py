"""Exports of Discord: every detail of the format that a conversion could lose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rooms.errors import SourceUnreadable
from tests.rooms.conversion.factories import (
    CHANNEL_ID,
    DORA,
    EMIL,
    FIRST_ID,
    Json,
    convert,
    convert_discord,
    make_discord_file,
    make_discord_message,
    write_tree,
)


def test_success_message(tmp_path: Path) -> None:
    message = make_discord_message(0, "Hello", timestampEdited="2024-01-01T19:00:00.1234567+07:00")
    converted = convert_discord(tmp_path, message)
    (event,) = converted.events("general")
    manifest = converted.manifest("general")
    (sender,) = manifest["senders"].values()
    assert sender["fqid"] == f"@{DORA['id']}:222222222222222222.discord"
    assert sender["display_name"] == "Dora"
    assert sender["avatar_url"] == "https://cdn.example.com/1.png"
    assert manifest["room"]["topic"] == "All of it"
    assert manifest["window"] is None
    assert event["edited_at"] == "2024-01-01T12:00:00.123456Z"
    assert event["content"]["_source"]["id"] == message["id"]
    # The ID has the time of the message.
    assert event["created_at"].startswith("2024-01-0")


def test_success_parts_and_order(tmp_path: Path) -> None:
    """Parts overlap and may be in reverse order."""
    one, two, three, four = (make_discord_message(n, f"No. {n}") for n in range(1, 5))
    tree = {"g [part 2].json": make_discord_file(four, three, two)}
    converted = convert_discord(tmp_path, one, two, tree=tree)
    assert converted.bodies("general") == [f"No. {n}" for n in range(1, 5)]
    assert converted.result.figures["totals"]["messages"]["merged"] == 1


def test_success_replies(tmp_path: Path) -> None:
    def reply(number: int, to: str, channel: str = CHANNEL_ID, kind: str = "Reply") -> Json:
        reference = {"type": "Default", "messageId": to, "channelId": channel, "guildId": "2"}
        return make_discord_message(number, "re", type=kind, reference=reference)

    converted = convert_discord(
        tmp_path,
        make_discord_message(1, "root"),
        reply(2, str(FIRST_ID + (1 << 32))),
        reply(3, str(FIRST_ID)),
        reply(4, str(FIRST_ID), channel="999999999999999999"),
    )
    root, *replies = converted.events("general")
    found = [reply["content"].get("reply_to_event_id") for reply in replies]
    assert found == [root["id"], None, None]
    assert converted.notes() == {
        "reply to a message that is not in the export": 1,
        "reference to a message of another channel": 1,
    }  # fmt: skip


def test_success_reactions(tmp_path: Path) -> None:
    reactions = [
        {"emoji": {"id": "", "name": "👍", "code": "thumbsup"}, "count": 3, "users": [DORA, EMIL]},
        {"emoji": {"id": "55", "name": "parrot", "isAnimated": True}, "count": 1, "users": [EMIL]},
        {"emoji": {"id": None, "name": "❤️"}, "count": 2},
    ]
    converted = convert_discord(tmp_path, make_discord_message(0, "x", reactions=reactions))
    _, *reacted = converted.events("general")
    assert sorted(e["content"]["emoji"] for e in reacted) == [":parrot:", "👍", "👍"]
    assert converted.losses() == {"reaction without its author": 3}


def test_success_text_with_tokens(tmp_path: Path) -> None:
    text = (
        f"<@{DORA['id']}> <@!{EMIL['id']}> <@&77> <#{CHANNEL_ID}> <:wow:1> <a:yay:2> <t:0:R> "
        f"</play:3> __under__ ||spoiler|| **b** `<@{DORA['id']}> __x__`\n```py\n<:wow:1>\n```\n"
        "-# small\n>>> long\nquote"
    )
    message = make_discord_message(0, text, mentions=[EMIL])
    converted = convert_discord(tmp_path, message)
    (event,) = converted.events("general")
    assert event["content"]["body"] == (
        "@Dora @Emil @77 #general :wow: :yay: 1970-01-01 00:00 UTC /play *under* ||spoiler|| **b** "
        f"`<@{DORA['id']}> __x__`\n```py\n<:wow:1>\n```\nsmall\n> long\n> quote"
    )
    assert len(event["content"]["mentions"]) == 2


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("```py\nx = 1```", "```py\nx = 1\n```"),
        ("see ```x <@1>``` <@200000000000000000>", "see \n```\nx <@1>\n```\n @200000000000000000"),
        ("a ```js\ny\n``` > b\n<t:0:R>", "a \n```js\ny\n```\n > b\n1970-01-01 00:00 UTC"),
        ("```\na\n```\n__u__", "```\na\n```\n*u*"),
        ("`` a`b `` __u__", "`` a`b `` *u*"),
        ("``` __u__", "``` *u*"), ("``````", "``````"),
    ],
)  # fmt: skip
def test_success_code(tmp_path: Path, text: str, converted: str) -> None:
    assert convert_discord(tmp_path, make_discord_message(0, text)).bodies("general") == [converted]


def test_success_embeds_polls_and_components(tmp_path: Path) -> None:
    embed = {"title": "T", "url": "https://x.org", "description": "D", "author": {"name": "A_"},
             "fields": [{"name": "f", "value": "v"}], "footer": {"text": "F"},
             "images": [{"url": "https://x.org/a.png?ex=1"}]}  # fmt: skip
    poll = {"question": {"text": "Lunch?"},
            "answers": [{"text": "yes", "count": 2}, {"answer": {"text": "no"}, "votes": 0}],
            }  # fmt: skip
    components = [{"type": "ActionRow",
                   "components": [{"type": "Button", "label": "Go", "url": "https://x.org/go"}],
                   }]  # fmt: skip
    converted = convert_discord(
        tmp_path,
        make_discord_message(0, "", embeds=[embed]),
        make_discord_message(1, "", poll=poll),
        make_discord_message(2, "", components=components),
        make_discord_message(3, "ran", type="20", interaction={"name": "play", "user": EMIL}),
    )
    assert converted.bodies("general") == [
        "> A\\_\n> [**T**](https://x.org)\n> D\n> **f**: v\n> F",
        "**Lunch?**\n- yes: 2\n- no: 0",
        "[[Go]](https://x.org/go)",
        "*Emil used /play*\nran",
    ]
    assert converted.notes() == {
        "picture of an embed that is not in the export": 1, "poll, carried as text": 1
    }  # fmt: skip


def test_success_pictures_of_embeds(tmp_path: Path) -> None:
    """They are attachments if the export contains them."""
    local, far = {"url": "media/a.png"}, {"url": "https://cdn.example.com/b.png"}
    embed = {"title": "T", "image": local, "images": [local, far], "thumbnail": far, "video": None}
    message = make_discord_message(0, "x", embeds=[embed, {}])
    converted = convert_discord(tmp_path, message, tree={"media/a.png": "png"})
    assert converted.media("general") == {"a.png": b"png"}
    assert converted.result.figures["totals"]["attachments"]["read"] == 1
    assert converted.notes() == {"picture of an embed that is not in the export": 1}


def test_success_forward(tmp_path: Path) -> None:
    forwarded = {"timestamp": "2023-01-01T00:00:00Z", "content": "original\nlines",
                 "attachments": [{"id": "1", "fileName": "f.png"}], "embeds": [],
                 }  # fmt: skip
    reference = {"type": "Forward", "messageId": "1", "channelId": "2", "guildId": "3"}
    message = make_discord_message(0, "", reference=reference, forwardedMessage=forwarded)
    converted = convert_discord(tmp_path, message)
    assert converted.bodies("general") == [
        "Forwarded:\n> original\n> lines\n[file that is not in the export: f.png]"
    ]


def test_success_files(tmp_path: Path) -> None:
    url = "https://cdn.discordapp.com/attachments/1/2/far.png?ex=abc&hm=secret"
    files = [
        {"id": "900000000000000001", "url": "media\\near one.png", "fileName": "near.png",
         "fileSizeBytes": 3},
        {"id": "900000000000000002", "url": "media/a%20b.txt", "fileName": "a b.txt"},
        {"id": "900000000000000003", "url": url, "fileName": "far.png", "fileSizeBytes": 1234},
        {"id": "900000000000000004", "url": "../../../etc/passwd", "fileName": "passwd"},
        {"id": "900000000000000005", "url": url, "fileName": "extra.bin"},
    ]  # fmt: skip
    sticker = {"id": "7", "name": "Wave", "format": "Lottie", "sourceUrl": "media/wave.json"}
    message = make_discord_message(0, "Files", attachments=files, stickers=[sticker])
    tree = {
        "x/general.json": make_discord_file(message),
        "x/media/near one.png": "png", "x/media/a b.txt": "text", "x/media/wave.json": "{}",
    }  # fmt: skip
    extra = write_tree(tmp_path / "extra", {"900000000000000005-extra.bin": "more"})
    source = write_tree(tmp_path / "dc", tree)
    converted = convert("discord", source, tmp_path / "out", files=extra)
    assert converted.media("general") == {
        "near.png": b"png", "a b.txt": b"text", "extra.bin": b"more", "Sticker Wave": b"{}"
    }  # fmt: skip
    first = converted.messages("general")[0]["content"]
    assert first["body"].endswith(
        "[file that is not in the export: far.png, 1.2 KiB]\n"
        "[file that is not in the export: passwd]"
    )
    assert first["_source"]["files"][0]["url"] == (
        "https://cdn.discordapp.com/attachments/1/2/far.png"
    )
    for content in converted.files().values():
        assert b"secret" not in content


@pytest.mark.parametrize(
    ("fields", "event_type", "content"),
    [
        ({"type": "RecipientAdd", "mentions": [EMIL]}, "swp.room.member", {"membership": "join"}),
        ({"type": "RecipientRemove", "mentions": [EMIL]}, "swp.room.member",
         {"membership": "leave"}),
        ({"type": "GuildMemberJoin"}, "swp.room.member", {"membership": "join"}),
        ({"type": "Call", "content": "Started a call.",
          "callEndedTimestamp": "2024-01-03T00:00:00+00:00"}, "swp.room.message",
         {"msgtype": "swp.system"}),
        ({"type": "ThreadCreated", "content": "Started a thread."}, "swp.room.message",
         {"msgtype": "swp.system", "body": "Started a thread."}),
        ({"type": "ChannelPinnedMessage"}, "swp.room.message",
         {"msgtype": "swp.system", "body": "ChannelPinnedMessage"}),
        ({"type": "46", "content": ""}, "swp.room.message",
         {"msgtype": "swp.system", "body": "Results of a poll:"}),
        ({"type": "99", "content": ""}, "swp.room.message",
         {"msgtype": "swp.system", "body": "Message of the type 99"}),
    ],
)  # fmt: skip
def test_success_types(
    tmp_path: Path, fields: Json, event_type: str, content: dict[str, str]
) -> None:
    converted = convert_discord(tmp_path, make_discord_message(0, **fields))
    (event,) = converted.events("general")
    assert event["event_type"] == event_type
    assert event["content"].items() >= content.items()


def test_success_pin(tmp_path: Path) -> None:
    converted = convert_discord(tmp_path, make_discord_message(0, "x", isPinned=True))
    pinned, notice = converted.events("general")
    assert notice["content"]["reply_to_event_id"] == pinned["id"]


def test_success_period(tmp_path: Path) -> None:
    dates = {"after": "2024-01-01T00:00:00.5+00:00", "before": None}
    other = {"after": "2024-02-01T00:00:00+00:00", "before": "2024-03-01T00:00:00.5+00:00"}
    first = make_discord_file(make_discord_message(0, "x"), dates=dates)
    tree = {"a.json": first, "b.json": make_discord_file(dates=other)}
    converted = convert("discord", write_tree(tmp_path / "a", tree), tmp_path / "out")
    window = converted.manifest("general")["window"]
    assert window == {"since": "2024-01-01T00:00:00.000000Z", "until": None}
    tree = {"b.json": make_discord_file(make_discord_message(0, "x"), dates=other)}
    converted = convert("discord", write_tree(tmp_path / "b", tree), tmp_path / "other")
    window = converted.manifest("general")["window"]
    assert window == {
        "since": "2024-02-01T00:00:00.000000Z", "until": "2024-03-01T00:00:01.000000Z"
    }  # fmt: skip


def test_success_kinds_of_channels(tmp_path: Path) -> None:
    def channel(number: int, kind: str, name: str, parent: str | None = None) -> Json:
        described = {"id": f"44444444444444444{number}", "type": kind, "name": name,
                     "category": parent}  # fmt: skip
        return make_discord_file(make_discord_message(0, "x"), channel=described)

    tree = {
        "1.json": channel(1, "DirectTextChat", "emil"),
        "2.json": channel(2, "DirectGroupTextChat", "Us"),
        "3.json": channel(3, "GuildPublicThread", "post", "forum"),
        "4.json": channel(4, "GuildNews", "news", "Text"),
        "5.json": {"not": "an export"},
        "6.json": "{",
    }
    converted = convert("discord", write_tree(tmp_path / "dc", tree), tmp_path / "out")
    types = {
        room.name: converted.manifest(room.name)["room"]["room_type"] for room in converted.rooms
    }
    assert types == {"emil": "dm", "Us": "group", "forum / post": "group", "news": "group"}
    assert converted.losses() == {"file that is not an export of a channel": 2}


@pytest.mark.parametrize(
    "rows",
    [
        [None, 1, "x", [], {}],
        [{"id": "x"}, {"id": "1" * 15}, {"timestamp": "2024-13-45T00:00:00Z"}],
        [{"id": str(FIRST_ID), "author": 1, "mentions": "x", "embeds": [1], "attachments": [{}]}],
        [{"id": str(FIRST_ID), "reactions": [{"emoji": None, "users": [None, {}], "count": "x"}]}],
        [{"id": str(FIRST_ID), "reference": [], "poll": {"answers": 4}, "interaction": 1}],
        [{"id": FIRST_ID, "timestamp": "2024-01-01T00:00:00", "content": {"a": 1}}],
        [{"id": "0", "timestamp": "2024-01-01T00:00:00+25:99"}],
    ],
)
def test_success_rows_of_any_form(tmp_path: Path, rows: list[Any]) -> None:
    converted = convert_discord(tmp_path, *rows)
    assert converted.result.figures["totals"]["messages"]["read"] == len(rows)


def test_success_file_that_ends_early(tmp_path: Path) -> None:
    """The exporter was killed."""
    messages = [make_discord_message(n, f"No. {n}") for n in range(3)]
    text = json.dumps(make_discord_file(*messages), indent=2)
    source = write_tree(tmp_path / "dc", {"g.json": text[: text.index("No. 2")]})
    converted = convert("discord", source / "g.json", tmp_path / "out")
    assert converted.bodies("general") == ["No. 0", "No. 1"]
    assert converted.losses() == {"unreadable rest of a file": 1}


def test_success_names_that_change_the_direction(tmp_path: Path) -> None:
    author = {**DORA, "nickname": "a\u202eb\0"}
    converted = convert_discord(tmp_path, make_discord_message(0, "x", author=author))
    assert list(converted.senders("general").values()) == ["a\u202eb\ufffd"]


@pytest.mark.parametrize("tree", [{}, {"a.json": "[]"}, {"a.txt": "x"}])
def test_fail_not_an_export(tmp_path: Path, tree: dict[str, str]) -> None:
    with pytest.raises(SourceUnreadable, match="is not an export of DiscordChatExporter"):
        convert("discord", write_tree(tmp_path / "dc", tree | {"b": "x"}), tmp_path / "out")
