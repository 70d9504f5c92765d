"""Exports with the fields that each system writes today, by its documentation; names are made up.

Where `factories` has the fewest fields that a detail needs, these have all of them at once.
"""

from __future__ import annotations

import json
from typing import Any

from tests.rooms.conversion.factories import FIRST_ID, Json

PNG = b"\x89PNG\r\n\x1a\n"
_TEAM = "T0HARBOUR1"


def _slack_user(number: int, name: str, **fields: Any) -> Json:
    user_id = f"U0PERSON{number:02}"
    return {
        "id": user_id, "team_id": _TEAM, "name": name.lower(), "deleted": False, "color": "9f69e7",
        "real_name": f"{name} Harbour", "tz": "Europe/Amsterdam", "tz_offset": 3600,
        "profile": {
            "title": "", "phone": "", "skype": "", "real_name": f"{name} Harbour",
            "real_name_normalized": f"{name} Harbour", "display_name": name, "fields": None,
            "status_text": "", "status_emoji": "", "avatar_hash": "g1",
            "email": f"{name.lower()}@harbour.example", "team": _TEAM,
            "image_72": "https://avatars.example.com/x_72.png?d=https%3A%2F%2Fa.example.com",
        },
        "is_admin": False, "is_owner": False, "is_restricted": False, "is_bot": False,
        "is_app_user": False, "updated": 1700000000, "is_email_confirmed": True,
        "enterprise_user": {"id": user_id, "enterprise_id": "E0HARBOUR", "teams": [_TEAM]},
        **fields,
    }  # fmt: skip


def _slack_channel(channel_id: str, name: str, **fields: Any) -> Json:
    empty = {"value": "", "creator": "", "last_set": 0}
    return {
        "id": channel_id, "name": name, "created": 1700000000, "creator": "U0PERSON01",
        "is_archived": False, "is_general": False, "members": ["U0PERSON01", "U0PERSON02"],
        "topic": empty, "purpose": empty, **fields,
    }  # fmt: skip


def _slack(second: int, text: str = "", user: str | None = "U0PERSON01", **fields: Any) -> Json:
    row = {"user": user, "type": "message", "ts": f"{1704103200 + second}.000200", "text": text,
           "client_msg_id": f"00000000-0000-4000-8000-{second:012}", "team": _TEAM,
           "user_team": _TEAM, "source_team": _TEAM, **fields}  # fmt: skip
    return {key: value for key, value in row.items() if value is not None}


def _rich(*elements: Json, kind: str = "rich_text_section", **fields: Any) -> Json:
    return {"type": kind, "elements": list(elements), **fields}


def _slack_file(number: int, **fields: Any) -> Json:
    return {
        "id": f"F0FILE{number:04}", "created": 1704103200, "timestamp": 1704103200,
        "name": f"plan {number}.pdf", "title": "The plan", "mimetype": "application/pdf",
        "filetype": "pdf", "user": "U0PERSON01", "size": 2048, "mode": "hosted",
        "is_external": False, "is_public": True, "url_private":
        f"https://files.slack.com/files-pri/{_TEAM}-F0FILE{number:04}/plan.pdf?t=xoxe-secret",
        "permalink": "https://harbour.slack.com/files/x", "file_access": "visible", **fields,
    }  # fmt: skip


_ROOT = "1704103210.000200"
SLACK_MESSAGES: list[Json] = [
    _slack(0, "<@U0PERSON01> has joined the channel", subtype="channel_join", client_msg_id=None),
    _slack(1, "set the channel topic: Ships", subtype="channel_topic", topic="Ships"),
    _slack(2, "Hi <!here|here>, <!subteam^S0CREW> and <!subteam^S0CREW|@crew> see "
              "<#C0QUAY0001|quay> by <!date^1704103200^{date}|1 January>",
           blocks=[{"type": "rich_text", "block_id": "a", "elements": [_rich(
               {"type": "text", "text": "Hi "}, {"type": "broadcast", "range": "here"})]}]),
    _slack(3, "", user="U0BOT00001", bot_id="B0BOT00001", app_id="A1", bot_profile={
        "id": "B0BOT00001", "name": "Deploys", "app_id": "A1", "team_id": _TEAM}, blocks=[
        {"type": "header", "text": {"type": "plain_text", "text": "Release 7"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*Passed* :tada:"}, "fields": [
            {"type": "mrkdwn", "text": "*Branch*\nmain"}], "accessory": {
            "type": "image", "image_url": "https://img.example.com/ok.png?token=secret",
            "alt_text": "ok"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "by <@U0PERSON02>"}]},
        {"type": "divider"},
        {"type": "actions", "elements": [{"type": "button", "text": {
            "type": "plain_text", "text": "Open"}, "url": "https://ci.example.com/7"},
            {"type": "static_select", "placeholder": {"type": "plain_text", "text": "Pick"}}]},
        {"type": "call", "call": {"v1": {"name": "Stand-up", "join_url":
            "https://calls.example.com/j/1?pwd=secret"}}},
    ]),
    _slack(4, "Two lists", blocks=[{"type": "rich_text", "elements": [
        _rich({"type": "text", "text": "Two lists"}),
        _rich(_rich({"type": "text", "text": "one"}), kind="rich_text_list", style="ordered"),
    ]}, {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}, _rich(
        _rich({"type": "text", "text": "b"}), kind="rich_text")]]}]),
    _slack(5, "", blocks=[{"type": "rich_text", "elements": [
        _rich({"type": "emoji", "name": "brand_new_one", "unicode": "1fae8"},
              {"type": "color", "value": "#ff0000"}, {"type": "user", "user_id": "U0PERSON02"},
              {"type": "link", "url": "https://a.example.com", "text": "site"},
              {"type": "text", "text": "x = 1", "style": {"code": True}}),
        _rich(_rich({"type": "text", "text": "third"}), kind="rich_text_list", style="ordered",
              offset=2, indent=0, border=0),
        _rich({"type": "text", "text": "quoted"}, kind="rich_text_quote"),
        _rich({"type": "text", "text": "print()"}, kind="rich_text_preformatted", border=0),
    ]}]),
    _slack(6, "This content can't be displayed.", blocks=[
        {"type": "section", "text": {"type": "mrkdwn", "text": "But this can"}}]),
    _slack(10, "root", thread_ts=_ROOT, reply_count=2, reply_users_count=2, latest_reply=
           "1704103212.000200", reply_users=["U0PERSON02", "W0STRANGER"], is_locked=False,
           replies=[{"user": "U0PERSON02", "ts": "1704103211.000200"}], subscribed=False,
           edited={"user": "U0PERSON01", "ts": "1704103300.000000"}, reactions=[
               {"name": "male-technologist", "users": ["U0PERSON02"], "count": 1},
               {"name": "wave::skin-tone-3", "users": ["U0PERSON01"], "count": 1},
               {"name": "party-parrot", "users": ["W0STRANGER"], "count": 1}]),
    _slack(11, "in thread", "U0PERSON02", thread_ts=_ROOT, parent_user_id="U0PERSON01"),
    _slack(12, "for all", "W0STRANGER", thread_ts=_ROOT, subtype="thread_broadcast",
           root={"user": "U0PERSON01", "type": "message", "ts": _ROOT, "text": "root"},
           user_team="T0OTHER", source_team="T0OTHER", user_profile={
               "avatar_hash": "g", "image_72": "https://avatars.example.com/s.png",
               "first_name": "Sam", "real_name": "Sam Stranger", "display_name": "",
               "team": "T0OTHER", "name": "sam", "is_restricted": False,
               "is_ultra_restricted": False}),
    _slack(13, "", user=None, subtype="message_replied", hidden=True, message={
        "type": "message", "user": "U0PERSON01", "text": "root", "thread_ts": _ROOT, "ts": _ROOT}),
    _slack(14, "orphan", thread_ts="1600000000.000100", parent_user_id="U0GONE0001"),
    _slack(15, "Files", upload=False, display_as_bot=False, files=[
        _slack_file(1),
        {"id": "F0FILE0002", "mode": "tombstone"},
        {"id": "F0FILE0003", "mode": "hidden_by_limit", "date_delete": 1},
        _slack_file(4, name="Sheet", mode="external", is_external=True, external_type="gdrive",
                    url_private="https://docs.example.com/spreadsheets/d/1?usp=secret"),
        _slack_file(5, name="2024-01-01.json", mode="snippet", preview="{}", size=3),
        _slack_file(6, name="Agenda", mode="quip", filetype="quip",
                    mimetype="application/vnd.slack-docs"),
        {"id": "F0FILE0007", "file_access": "access_denied", "mode": "file_access"},
    ]),
    _slack(16, "look <https://news.example.com/a>", attachments=[
        {"id": 1, "from_url": "https://news.example.com/a", "service_name": "News", "title":
         "A harbour", "title_link": "https://news.example.com/a", "text": "grew",
         "fallback": "News: A harbour", "thumb_url": "https://news.example.com/t.png",
         "original_url": "https://news.example.com/a", "service_icon": "https://x.example.com/i"}]),
    _slack(17, "", attachments=[
        {"is_msg_unfurl": True, "is_share": True, "channel_id": "C0QUAY0001", "ts": _ROOT,
         "from_url": "https://harbour.slack.com/archives/C0QUAY0001/p1", "author_id": "U0PERSON02",
         "author_name": "Ben Harbour", "author_subname": "Ben", "text": "", "fallback": "[no text]",
         "message_blocks": [{"team": _TEAM, "channel": "C0QUAY0001", "ts": _ROOT, "message": {
             "blocks": [{"type": "rich_text", "elements": [_rich(
                 {"type": "text", "text": "shared text"})]}]}}],
         "files": [_slack_file(8)], "footer": "Posted in #quay", "mrkdwn_in": ["text"]}]),
    _slack(18, "", user=None, subtype="bot_message", bot_id="B0HOOK0001", username="Weather",
           icons={"emoji": ":sunny:", "image_64": "https://a.example.com/sun.png"}, attachments=[
               {"color": "36a64f", "pretext": "Today", "title": "Wind", "fields": [
                   {"title": "Force", "value": "7", "short": True}], "actions": [
                   {"type": "button", "text": "More", "url": "https://w.example.com"}],
                "fallback": "Wind", "footer": "met", "ts": 1704103200}]),
    _slack(19, "", user="USLACKBOT", subtype="huddle_thread", no_notifications=True, permalink="x",
           channel="C0QUAY0001", room={
               "id": "R0HUDDLE01", "name": "", "media_server": "", "created_by": "U0PERSON02",
               "date_start": 1704103219, "date_end": 1704103819, "participants": [],
               "participant_history": ["U0PERSON01", "U0PERSON02"], "has_ended": True}),
    _slack(20, "This message was deleted.", user="USLACKBOT", subtype="tombstone", hidden=True,
           thread_ts="1704103220.000200", reply_count=1),
    _slack(21, "still here", thread_ts="1704103220.000200", parent_user_id="USLACKBOT"),
    _slack(22, "was kept", user="U0PERSON01", subtype="message_changed", hidden=True,
           ts="1704103320.000200", message=_slack(24, "new words"),
           previous_message=_slack(24, "old words")),
    _slack(24, "old words"),
    _slack(25, "", user=None, subtype="message_deleted", hidden=True, deleted_ts=
           "1704103226.000200", ts="1704103330.000200", previous_message=_slack(26, "a slip")),
    _slack(26, "a slip"),
    _slack(27, "added an integration to this channel: <https://x.example.com|Hook>",
           subtype="bot_add", bot_id="B0HOOK0001", bot_link="<https://x.example.com|Hook>"),
    _slack(28, "updated the canvas", subtype="channel_canvas_updated"),
    _slack(29, "sets sail", subtype="me_message"),
    _slack(30, "pinned", pinned_to=["C0QUAY0001"], pinned_info={
        "channel": "C0QUAY0001", "pinned_by": "U0PERSON02", "pinned_ts": 1704103999}),
    _slack(31, "```\nif a &lt; b &amp;&amp; *c*:\n```\n&gt; said\n*bold* _it_ ~no~ `a_b` :+1:"),
    _slack(33, "", files=[_slack_file(10, name="Mail", mode="email", plain_text="Dear *all*",
                                     subject="Mail", preview="Dear")]),
    _slack(32, "", subtype="assistant_app_thread", assistant_app_thread={"title": "New chat"}),
]  # fmt: skip


def make_slack() -> dict[str, Any]:
    """Return an export of all conversations of a Grid organisation, with its odd files."""
    reply = _slack(11, "hello", "U0PERSON02")
    return {
        "org_users.json": [
            _slack_user(1, "Anna"), _slack_user(2, "Ben", deleted=True),
            {**_slack_user(3, "Deploys"), "id": "U0BOT00001", "is_bot": True},
        ],
        "channels.json": [
            _slack_channel("C0QUAY0001", "quay", previous_names=["pier"],
                           topic={"value": "Ships", "creator": "U0PERSON01", "last_set": 1},
                           purpose={"value": "All of them", "creator": "U0PERSON01",
                                    "last_set": 1},
                           pins=[{"id": "1704103230.000200", "type": "C", "created": 1704103999,
                                  "user": "U0PERSON02", "owner": "U0PERSON01"},
                                 {"id": "F0FILE0001", "type": "F", "created": 1704103999,
                                  "user": "U0PERSON02", "owner": "U0PERSON01"}]),
            _slack_channel("C0EMPTY001", "empty", members=[]),
        ],
        "groups.json": [_slack_channel("G0CREW0001", "crew", is_archived=True)],
        "mpims.json": [_slack_channel("C0GROUP001", "mpdm-anna--ben--cato-1", members=[
            "U0PERSON01", "U0PERSON02", "U0CATO0001"])],
        "dms.json": [{"id": "D0ANNABEN1", "created": 1700000000,
                      "members": ["U0PERSON01", "U0PERSON02"]}],
        "file_conversations.json": [
            _slack_channel("C0CANVAS01", "FC:F0FILE0006:Agenda", creator="USLACKBOT")
        ],
        "integration_logs.json": [{"user_id": "U0PERSON01", "user_name": "anna", "date": "1704103",
                                   "change_type": "added", "app_id": "A1", "app_type": "Hook"}],
        "canvases.json": [_slack_file(6, filetype="quip")],
        "lists.json": [], "huddle_transcripts.json": [], "content_flags.json": [],
        "quay/canvas_in_the_conversation.json": [_slack_file(9, filetype="quip")],
        "quay/2024-01-01.json": SLACK_MESSAGES,
        "crew/2024-01-01.json": [_slack(40, "private")],
        "mpdm-anna--ben--cato-1/2024-01-01.json": [_slack(41, "three of us")],
        "D0ANNABEN1/2024-01-01.json": [_slack(10, "just you"), reply],
        "FC:F0FILE0006:Agenda/2024-01-01.json": [_slack(42, "about this line")],
        "teams/Harbour/channels.json": [_slack_channel("C0TEAM0001", "general"),
                                        _slack_channel("C0QUAY0001", "quay")],
        "teams/Harbour/users.json": [_slack_user(1, "Anna")],
        "teams/Harbour/general/2024-01-01.json": [_slack(43, "in a workspace")],
        "teams/Harbour/quay/2024-01-02.json": [_slack(86400, "in another directory")],
        "teams/Harbour/new/2024-01-01.json": [_slack(44, "not listed")],
        "teams/Other/new/2024-01-01.json": [_slack(45, "not listed, too")],
        "__uploads/F0FILE0001/plan 1.pdf": PNG,
        "__uploads/F0FILE0005/2024-01-01.json": "{}",
    }  # fmt: skip


def _post(second: int, message: str = "", **fields: Any) -> Json:
    post = {"team": "harbour", "channel": "quay", "user": "anna", "type": "", "message": message,
            "props": {}, "create_at": 1704103200000 + 1000 * second, "edit_at": 0,
            "reactions": None, "replies": [], "attachments": [], **fields}  # fmt: skip
    return {"type": "post", "post": post}


def _direct_post(second: int, members: list[str], message: str) -> Json:
    post: Json = {"channel_members": members, "user": members[0], "type": "", "message": message,
                  "props": {}, "create_at": 1704103200000 + 1000 * second, "edit_at": 0,
                  "flagged_by": None, "reactions": None, "replies": None,
                  "attachments": None}  # fmt: skip
    return {"type": "direct_post", "direct_post": post}


def _mattermost_user(name: str, **fields: Any) -> Json:
    channels = [{"name": "quay", "roles": "channel_user", "notify_props": {"desktop": "default"},
                 "favorite": False, "mention_count": 0, "msg_count": 3}]  # fmt: skip
    user = {"username": name, "email": f"{name}@harbour.example", "auth_service": None,
            "nickname": "", "first_name": name.title(), "last_name": "Harbour", "position": "",
            "roles": "system_user", "locale": "en", "delete_at": 0, "military_time": "false",
            "teams": [{"name": "harbour", "roles": "team_user", "channels": channels}],
            "notify_props": {"desktop": "mention", "email": "true"}, **fields}  # fmt: skip
    return {"type": "user", "user": user}


_CARD = {"id": 0, "fallback": "f", "color": "#36a64f", "pretext": "Poll", "author_name": "Polls",
         "author_link": "", "author_icon": "", "title": "Where to?", "title_link": "",
         "text": "**Total votes**: 2", "fields": [{"title": "North", "value": "2", "short": True}],
         "image_url": "https://img.example.com/a.png?token=secret", "footer": "f",
         "actions": [{"id": "v", "name": "North", "type": "button",
                      "integration": {"url": "http://plugin.local/vote"}}]}  # fmt: skip


def list_mattermost_lines() -> list[Json]:
    """Return the lines in the order of a server."""
    return [
        {"type": "version", "version": 1, "info": {
            "generator": "mattermost-server", "version": "10.5.0 (x, enterprise: true)",
            "created": "2024-02-01T00:00:00Z", "additional": None}},
        {"type": "role", "role": {"name": "custom_role", "permissions": []}},
        {"type": "scheme", "scheme": {"name": "crew_scheme", "scope": "team"}},
        {"type": "team", "team": {"name": "harbour", "display_name": "Harbour", "type": "O",
                                  "description": "", "allow_open_invite": True}},
        {"type": "channel", "channel": {"team": "harbour", "name": "quay", "display_name": "Quay",
                                        "type": "O", "header": "Ships", "purpose": "All of them"}},
        {"type": "channel", "channel": {"team": "harbour", "name": "old", "display_name": "Old",
                                        "type": "P", "header": "", "purpose": "",
                                        "deleted_at": 1704103200000}},
        _mattermost_user("anna", profile_image="profile_pictures/anna/image.png"),
        _mattermost_user("ben", delete_at=1704103200000, profile_image="profile_pictures/b.png"),
        _mattermost_user("cato", profile_image="profile_pictures/c.png"),
        {"type": "bot", "bot": {"username": "polls", "display_name": "Polls", "description": "",
                                "owner": "anna", "delete_at": 0}},
        _post(9, "root for @ben and @all in ~quay :tada: `:tada: @ben`", edit_at=1704103300000,
              props={"disable_group_highlight": True}, is_pinned=True, flagged_by=["ben"],
              thread_followers=[{"user": "ben", "last_viewed": 0, "unread_mentions": 0}],
              reactions=[
                  {"user": "ben", "create_at": 1704103299000, "emoji_name": "+1_light_skin_tone"},
                  {"user": "anna", "create_at": 1704103299001, "emoji_name": "parrot"}],
              replies=[
                  {"user": "ben", "type": "", "message": "late", "create_at": 1704103400000,
                   "edit_at": 0, "flagged_by": None, "is_pinned": False, "reactions": [],
                   "attachments": [{"path": "20240101/teams/t/channels/c/users/u/1/a b.txt"}]},
                  {"user": "polls", "type": "custom_llmbot", "message": "", "props": {
                      "attachments": [_CARD]}, "create_at": 1704103401000, "edit_at": 0}]),
        _direct_post(30, ["anna", "ben"], "just you"),
        _post(3, "", user="polls", type="custom_matterpoll", props={
            "attachments": [_CARD], "poll_id": "p", "from_bot": "true"}),
        _post(4, "Call started", type="custom_calls", props={
            "start_at": 1704103204000, "end_at": 1704103804000, "title": "", "participants": []}),
        _post(5, "ben added to the channel by anna.", type="system_add_to_channel", props={
            "addedUsername": "ben", "addedUserId": "x", "username": "anna", "userId": "y"}),
        _post(6, "anna updated the channel header.", type="system_header_change", props={
            "new_header": "Ships", "old_header": "", "username": "anna"}),
        _post(7, "from a hook", props={"from_webhook": "true", "override_username": "Weather",
                                       "override_icon_url": "https://a.example.com/w.png",
                                       "webhook_display_name": "w"}),
        _post(8, "with a card", props={"card": "More **about** it"}),
        _post(10, "waves", type="me"),
        _post(11, "Files", attachments=[{"path": "20240101/1/x.jsonl"}, {"path": "gone.bin"}]),
        _post(12, "archived", channel="old"),
        _post(13, "", type="page", props={"page_title": "Plan"}),
        {"type": "emoji", "emoji": {"name": "parrot", "image": "exported_emoji/1/image"}},
        {"type": "direct_channel", "direct_channel": {
            "participants": [{"username": "anna", "last_viewed_at": 0}, {"username": "ben"}],
            "favorited_by": ["anna"], "shown_by": ["anna", "ben"], "header": "private"}},
        {"type": "direct_channel", "direct_channel": {"members": ["anna", "anna"], "header": ""}},
        {"type": "direct_channel", "direct_channel": {"members": ["anna", "ben", "polls"],
                                                      "header": ""}},
        _direct_post(31, ["anna", "anna"], "note to self"),
        _direct_post(32, ["anna", "ben", "polls"], "the three of us"),
        {"type": "wiki", "wiki": {"team": "harbour", "channel": "quay", "title": "Wiki"}},
    ]  # fmt: skip


def make_mattermost() -> dict[str, Any]:
    """Return an export with attachments, and pictures of people and emoji."""
    return {
        "import.jsonl": "".join(f"{json.dumps(line)}\n" for line in list_mattermost_lines()),
        "data/20240101/teams/t/channels/c/users/u/1/a b.txt": "text",
        "data/20240101/1/x.jsonl": '{"type": "post"}\n',
        "data/profile_pictures/anna/image.png": PNG,
        "data/profile_pictures/c.png": PNG,
        "data/exported_emoji/1/image": PNG,
    }


def _discord_user(number: int, name: str, source: str, **fields: Any) -> Json:
    return {
        "id": f"20000000000000000{number}", "name": name.lower(), "discriminator": "0000",
        "nickname": name, "color": "#3498DB", "isBot": False,
        "roles": [{"id": "9", "name": "Crew", "color": None, "position": 1}],
        "avatarUrl": f"{source}_Files\\{name.lower()}-0A1B2.png", **fields,
    }  # fmt: skip


def _emoji(name: str, source: str, emoji_id: str = "") -> Json:
    return {"id": emoji_id, "name": name, "code": name, "isAnimated": False,
            "imageUrl": f"{source}_Files/{'e' if emoji_id else 'u'}.png"}  # fmt: skip


def _discord(
    number: int, source: str, content: str = "", kind: str = "Default", **fields: Any
) -> Json:
    author = fields.pop("author", None) or _discord_user(1, "Anna", source)
    return {
        "id": str(FIRST_ID + (number << 32)), "type": kind,
        "timestamp": f"2024-01-01T12:00:{number:02}.123+01:00", "timestampEdited": None,
        "callEndedTimestamp": None, "isPinned": False, "content": content, "author": author,
        "attachments": [], "components": [], "embeds": [], "stickers": [], "reactions": [],
        "mentions": [], "inlineEmojis": [], **fields,
    }  # fmt: skip


def _discord_file(source: str, messages: list[Json], **channel: Any) -> Json:
    return {
        "guild": {"id": "300000000000000000", "name": "Harbour",
                  "iconUrl": f"{source}_Files/i.png"},
        "channel": {"id": "400000000000000001", "type": "GuildTextChat", "categoryId": "4",
                    "category": "Text", "name": "quay", "topic": "Ships", **channel},
        "dateRange": {"after": None, "before": None}, "exportedAt": "2024-02-01T00:00:00+01:00",
        "messages": messages, "messageCount": len(messages),
    }  # fmt: skip


def list_discord_messages(source: str) -> list[Json]:
    ben = _discord_user(2, "Ben", source)
    bot = _discord_user(3, "Helper", source, isBot=True)
    file = {"id": "500000000000000001", "url": f"{source}_Files/plan-77AA.json",
            "fileName": "plan.json", "fileSizeBytes": 2}  # fmt: skip
    far = {"id": "500000000000000002", "fileName": "far.bin", "fileSizeBytes": 9,
           "url": "https://cdn.discordapp.com/attachments/1/2/far.bin?ex=secret&hm=1"}  # fmt: skip
    picture = {"url": "https://images-ext-1.discordapp.net/external/x/a.png",
               "canonicalUrl": "https://img.example.com/a.png?token=secret", "width": 1,
               "height": 1}  # fmt: skip
    embed = {
        "title": "News", "url": "https://news.example.com", "timestamp": None,
        "description": "By <@200000000000000002> <:parrot:600000000000000001>", "color": "#FF0000",
        "author": {"name": "Desk", "url": "https://desk.example.com",
                   "iconUrl": f"{source}_Files/desk.png"},
        "image": picture, "footer": {"text": "foot"}, "images": [picture],
        "fields": [{"name": "Who", "value": "<@200000000000000001>", "isInline": True}],
        "inlineEmojis": [_emoji("parrot", source, "600000000000000001")],
    }  # fmt: skip
    button = {"type": "Button", "style": "Link", "label": "Open", "url": "https://o.example.com",
              "customId": None, "skuId": None, "isDisabled": False,
              "emoji": _emoji("👍", source)}  # fmt: skip
    here = {"channelId": "400000000000000001", "guildId": "300000000000000000"}
    first = _discord(1, source)["id"]
    return [
        _discord(1, source, "Hi <@!200000000000000002> <@&9> <:parrot:600000000000000001> __u__ "
                 "||s||",
                 isPinned=True, mentions=[ben], inlineEmojis=[
                     _emoji("parrot", source, "600000000000000001")],
                 timestampEdited="2024-01-01T12:01:00+01:00", reactions=[
                     {"emoji": _emoji("👍🏽", source), "count": 3, "users": [ben]},
                     {"emoji": _emoji("parrot", source, "600000000000000001"), "count": 1,
                      "users": [ben]}]),
        _discord(2, source, "yes", "Reply", author=ben,
                 reference={"type": "Default", "messageId": first, **here}),
        _discord(3, source, "files", attachments=[file, far], stickers=[
            {"id": "7", "name": "Wave", "format": "Lottie",
             "sourceUrl": f"{source}_Files/w.json"}]),
        _discord(4, source, "", author=bot, embeds=[embed], components=[
            {"type": "ActionRow", "components": [button]}]),
        _discord(5, source, "", reference={
            "type": "Forward", "messageId": first, "channelId": "400000000000000009",
            "guildId": "300000000000000000"}, forwardedMessage={
            "timestamp": "2024-01-01T00:00:00+01:00", "timestampEdited": None,
            "content": "forwarded words", "attachments": [], "embeds": [], "stickers": []}),
        _discord(6, source, "pong", "20", author=bot,
                 interaction={"id": "8", "name": "ping", "user": ben}),
        _discord(7, source, "Started a thread.", "ThreadCreated",
                 reference={"type": "Default", "messageId": None,
                            "channelId": "400000000000000002", "guildId": "300000000000000000"}),
        _discord(8, source, "Pinned a message.", "ChannelPinnedMessage",
                 reference={"type": "Default", "messageId": first, **here}),
        _discord(9, source, "", "8"), _discord(10, source, "Joined the server.", "GuildMemberJoin"),
        _discord(11, source, "Started a call that lasted 3 minutes.", "Call",
                 callEndedTimestamp="2024-01-01T12:03:11+01:00"),
        _discord(12, source, "", "46", embeds=[{
            "title": "", "url": None, "timestamp": None, "description": "", "images": [],
            "fields": [{"name": "poll_question_text", "value": "North?", "isInline": False}],
            "inlineEmojis": []}]),
    ]  # fmt: skip


def make_discord() -> dict[str, Any]:
    """Return two parts of a channel, a thread and a post of a forum, each with its media."""
    one, two = "Harbour - Text - quay [4].json", "Harbour - Text - quay [4] [part 2].json"
    thread, post = "Harbour - quay - plan.json", "Harbour - forum - idea.json"
    described: Json = {"type": "GuildPublicThread", "categoryId": "400000000000000001",
                       "topic": None}  # fmt: skip
    tree: dict[str, Any] = {
        one: _discord_file(one, list_discord_messages(one)),
        two: _discord_file(two, [_discord(20, two, "second part")]),
        thread: _discord_file(
            thread, [_discord(30, thread, "", "21", reference={
                "type": "Default", "messageId": _discord(1, one)["id"],
                "channelId": "400000000000000001", "guildId": "300000000000000000"}),
                _discord(31, thread, "in the thread")],
            id="400000000000000002", name="plan", category="quay", **described),
        post: _discord_file(post, [_discord(32, post, "an idea")], id="400000000000000003",
                            name="idea", category="forum", **described),
    }  # fmt: skip
    for source in (one, two, thread, post):
        for name in ("anna-0A1B2.png", "i.png"):
            tree[f"{source}_Files/{name}"] = PNG + name.encode()
    for name in ("plan-77AA.json", "ben-0A1B2.png", "e.png", "u.png", "w.json", "desk.png"):
        tree[f"{one}_Files/{name}"] = json.dumps(name)
    return tree
