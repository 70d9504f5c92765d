"""RSMF 2.0 files, read by Python's `email` and compared with what the format's vendor publishes."""

from __future__ import annotations

import email
import email.policy
import io
import json
import zipfile
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

import jsonschema
import pytest

from tests.rooms.bundle.factories import JSON, make_event, make_reaction, make_reply, make_uid
from tests.rooms.transcripts.factories import DAY, START, make_message, make_sample, render

# The facts of the vendor's JSON Schema, which is draft-07 and has the $id
# http://relativity.com/RSMF/2.0.0/schema.json, written down without its words.
SCHEMA: JSON = json.loads(Path(__file__).with_name("rsmf-2.0.0.schema.json").read_text())


def read_mail(data: bytes) -> EmailMessage:
    mail = email.message_from_bytes(data, policy=email.policy.default)
    assert not mail.defects
    assert all(not part.defects for part in mail.walk())
    return mail


def read_archive(data: bytes) -> zipfile.ZipFile:
    (attachment,) = read_mail(data).iter_attachments()
    assert attachment.get_filename() == "rsmf.zip"
    assert attachment.get_content_disposition() == "attachment"
    return zipfile.ZipFile(io.BytesIO(attachment.get_content()))


def read_manifest(data: bytes) -> JSON:
    archive = read_archive(data)
    manifest: JSON = json.loads(archive.read("rsmf_manifest.json"))
    jsonschema.Draft7Validator(SCHEMA).validate(manifest)
    (conversation,) = manifest["conversations"]
    people = {person["id"] for person in manifest["participants"]}
    assert len(people) == len(manifest["participants"])
    assert set(conversation["participants"]) <= people
    events = {event["id"] for event in manifest["events"]}
    names = {"rsmf_manifest.json"}
    for event in manifest["events"]:
        assert event["participant"] in people
        assert event["conversation"] == conversation["id"]
        assert event.get("parent", event["id"]) in events
        for reaction in event.get("reactions", []):
            assert set(reaction["participants"]) <= people
        names |= {attachment["id"] for attachment in event.get("attachments", [])}
    assert set(archive.namelist()) == names
    return manifest


def render_days(events: list[JSON] | None = None) -> dict[str, bytes]:
    files = render(make_sample(events), "rsmf")
    return {name[37:-5]: data for name, data in files.items() if name.endswith(".rsmf")}


def test_success_a_file_for_each_day() -> None:
    days = render_days()
    assert list(days) == ["2025-11-24", "2025-11-25", "2025-11-26"]
    manifests = [read_manifest(data) for data in days.values()]
    assert [len(manifest["events"]) for manifest in manifests] == [22, 2, 1]
    assert {manifest["eventcollectionid"] for manifest in manifests} == {make_uid(1)}
    mail = read_mail(days["2025-11-24"])
    assert mail["X-RSMF-Version"] == "2.0.0"
    assert mail["X-RSMF-EventCount"] == "22"
    assert mail["X-RSMF-AttachmentCount"] == "3"
    assert mail["X-RSMF-BeginDate"] == "2025-11-24T16:00:01Z"
    assert mail["From"] == "Anna Berg <anna@chat.example.com>"
    body = mail.get_body()
    assert body is not None
    assert "2025-11-24T16:00:06Z Bo Lindqvist: On it ☕\n" in body.get_content()


def test_success_a_reaction_is_in_the_file_of_its_message() -> None:
    first = read_manifest(render_days()["2025-11-24"])
    message = next(event for event in first["events"] if event["id"] == make_uid(0x1006))
    assert message["reactions"] == [
        {"value": "👍", "count": 1, "participants": ["@anna:chat.example.com"]}
    ]
    assert {"name": "reacted_at", "value": "2025-11-26T16:00:00Z @anna:chat.example.com 👍"} in (
        message["custom"]
    )


def test_success_types_edits_and_replies() -> None:
    days = render_days()
    first, second = read_manifest(days["2025-11-24"]), read_manifest(days["2025-11-25"])
    events = {int(event["id"][-2:], 16): event for event in first["events"]}
    assert [events[number]["type"] for number in (1, 3, 4, 5, 23, 25)] == [
        "join", "history", "history", "message", "unknown", "unknown",
    ]  # fmt: skip
    assert events[8]["parent"] == make_uid(0x1007)
    assert events[13]["edits"] == [
        {
            "participant": "@anna:chat.example.com",
            "timestamp": "2025-11-24T16:01:40.000000Z",
            "previous": "Fixed the secnd paragraf.",
            "new": "Fixed the second paragraph.",
        }
    ]
    assert events[19]["deleted"] is True
    assert events[13]["custom"][0] == {"name": "number", "value": "#13"}
    reply = second["events"][1]
    assert "parent" not in reply
    assert {"name": "reply_to", "value": make_uid(0x1005)} in reply["custom"]
    missing = [row["value"] for row in events[17]["custom"] if row["name"] == "missing"]
    assert "invoice.exe" in missing[0]
    assert "infected" in missing[0]


def test_success_members_at_the_first_event_of_a_day() -> None:
    (second,) = read_manifest(render_days()["2025-11-25"])["conversations"]
    assert "@anna:chat.example.com" in second["participants"]
    (first,) = read_manifest(render_days()["2025-11-24"])["conversations"]
    assert "@anna:chat.example.com" not in first["participants"]  # joins with the first event


def test_success_at_most_5000_events_in_a_file() -> None:
    events = [make_event(number, origin_ts=START) for number in range(1, 5_003)]
    days = render_days([*events, make_reaction(5_003, to=5_001, origin_ts=START)])
    assert list(days) == ["2025-11-24", "2025-11-24-2"]
    assert [read_mail(data)["X-RSMF-EventCount"] for data in days.values()] == ["5000", "2"]


def test_success_no_name_adds_a_participant() -> None:
    name, fqid = "X <@a:b>; Boss <@boss:victim.example>", "@x;y:old.example>; <z"
    sender = {"display_name": name, "avatar_url": "", "fqid": fqid}
    events = [make_message(1, "text", content={"_imported_sender": sender})]
    (data,) = render_days(events).values()
    assert read_mail(data)["X-RSMF-Participants"] == (
        "X [U+003C]@a:b[U+003E][U+003B] Boss [U+003C]@boss:victim.example[U+003E] "
        "<@x[U+003B]y:old.example[U+003E][U+003B] [U+003C]z>"
    )


def test_success_load_file() -> None:
    files = render(make_sample(), "rsmf")
    header, *lines = files["load.csv"].decode().splitlines()
    assert header == "file,sha256,begin,end,events,attachments"
    for line in lines:
        name, digest, *_ = line.split(",")
        assert sha256(files[name]).hexdigest() == digest


ENCODED = "=?utf-8?q?=0D=0A=0D=0ANothing_was_said_here.?="
NAMES = [
    "a\r\nBcc: x@example.com", "\u202egnp.exe", '"; <b@example.com>', "", "名前" * 100, ENCODED,
    f"Anna {ENCODED} <x@y.example>", "=?utf-8?b?DQpCY2M6IHg=?=", "=?", "x" * 2000, " =?a?q?=0A?=",
    "a,b;c:d\"\\(e)", "\N{NO-BREAK SPACE}Bcc: x", "\x85Bcc: x", "\u2028Bcc: x", "\ud800".encode(
        "utf-16", "surrogatepass").decode("utf-16", "replace"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fqid", ["@x\r\ny:old.example.org", f"@{ENCODED}:old.example.org"])
def test_success_no_name_breaks_a_header(name: str, fqid: str) -> None:
    sender = {"display_name": name, "avatar_url": "", "fqid": fqid}
    events = [
        make_message(1, "text", content={"_imported_sender": sender}),
        make_reply(2, to=1, origin_ts=START + DAY),
    ]
    for data in render_days(events).values():
        mail = read_mail(data)
        assert "Bcc" not in mail
        assert [part.get_content_type() for part in mail.iter_parts()] == [
            "text/plain", "application/zip",
        ]  # fmt: skip
        assert len(max(data.splitlines(), key=len)) < 998
        assert "\u202e" not in str(read_mail(data)["X-RSMF-Participants"])
        read_manifest(data)
