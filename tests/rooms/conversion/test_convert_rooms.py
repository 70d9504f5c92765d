"""A conversion as a whole: its options, and that equal sources give equal bytes."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rooms.conversion.convert_rooms import ConversionOptions, convert_rooms
from rooms.errors import ConversionIncomplete, ConversionRunning, SourceUnreadable
from scaiwave.core.errors import FileUnwritable, UsageError
from tests.rooms.conversion.factories import (
    Converted,
    convert,
    make_discord_file,
    make_discord_message,
    make_mattermost_lines,
    make_post,
    make_slack_message,
    make_slack_tree,
    write_tree,
    write_zip,
)
from tests.scaiwave.cli_helpers import CHECKOUT

SYSTEMS = ("slack", "mattermost", "discord")


def make_tree(system: str, numbers: range) -> dict[str, Any]:
    """Return an export with a message for each number, whose texts are `No. <number>`."""
    if system == "slack":
        messages = [
            make_slack_message(n, f"No. {n}", files=[{"id": "F12345", "name": "f.txt"}] * (n == 1),
                               reactions=[{"name": "tada", "users": ["U2"]}])
            for n in numbers
        ]  # fmt: skip
        return {**make_slack_tree(*messages), "__uploads/F12345/f.txt": "x"}
    if system == "mattermost":
        reply = {"user": "ben", "message": "re", "create_at": 1704103299000}
        posts = [make_post(n, f"No. {n}", replies=[reply] * (n == 1)) for n in numbers]
        return {"import.jsonl": make_mattermost_lines(*posts)}
    return {"a.json": make_discord_file(*(make_discord_message(n, f"No. {n}") for n in numbers))}


ROOMS = {"slack": "general", "mattermost": "Square", "discord": "general"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_success_same_bytes(system: str, tmp_path: Path) -> None:
    """Also from another path, in another order of files, and over what an earlier run wrote."""
    tree = make_tree(system, range(5))
    first = convert(system, write_tree(tmp_path / "a" / "x", tree), tmp_path / "1")
    reverse = dict(reversed(tree.items()))
    second = convert(system, write_tree(tmp_path / "b" / "x", reverse), tmp_path / "2")
    assert first.files() == second.files()
    again = convert(system, tmp_path / "a" / "x", tmp_path / "1")
    assert again.files() == second.files()
    for path in again.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("system", SYSTEMS)
def test_success_zip_has_the_same_events(system: str, tmp_path: Path) -> None:
    tree = make_tree(system, range(5))
    directory = convert(system, write_tree(tmp_path / "x", tree), tmp_path / "1")
    archive = convert(system, write_zip(tmp_path / "x.zip", tree), tmp_path / "2")
    room = ROOMS[system]
    assert directory.events(room) == archive.events(room)


@pytest.mark.parametrize("system", SYSTEMS)
def test_success_later_export_keeps_ids(system: str, tmp_path: Path) -> None:
    """So that the difference of the two is an increment."""
    before = convert(
        system, write_tree(tmp_path / "a", make_tree(system, range(5))), tmp_path / "1"
    )
    after = convert(system, write_tree(tmp_path / "b", make_tree(system, range(9))), tmp_path / "2")
    room = ROOMS[system]
    old = {event.pop("id"): event for event in before.events(room)}
    new = {event.pop("id"): event for event in after.events(room)}
    for event in (*old.values(), *new.values()):
        del event["stream_position"]
    assert old.items() <= new.items()
    assert before.manifest(room)["room"]["id"] == after.manifest(room)["room"]["id"]
    assert before.manifest(room)["senders"].items() <= after.manifest(room)["senders"].items()
    assert before.path(room).name == after.path(room).name


@pytest.mark.parametrize("system", SYSTEMS)
def test_success_dry_run(system: str, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree(system, range(5)))
    wet = convert(system, source, tmp_path / "out")
    dry = convert_rooms(
        system=system, source=source, directory=tmp_path / "none", options=ConversionOptions(),
        dry_run=True,
    )  # fmt: skip
    assert not (tmp_path / "none").exists()
    assert {**dry.document(), "dry_run": False} == {**wet.result.document(), "dry_run": False}
    assert dry.sentence.endswith("No changes were made.")


@pytest.mark.parametrize("system", SYSTEMS)
def test_success_only(system: str, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree(system, range(5)))
    converted = convert(system, source, tmp_path / "out", only=[ROOMS[system]])
    assert [room.name for room in converted.rooms] == [ROOMS[system]]
    if system == "mattermost":
        assert converted.losses() == {}
    with pytest.raises(UsageError, match="The source has no room named nowhere"):
        convert(system, source, tmp_path / "other", only=[ROOMS[system], "nowhere"])


def test_success_only_some(tmp_path: Path) -> None:
    tree = make_slack_tree(make_slack_message(0, "x"))
    tree["channels.json"].append({"id": "C2", "name": "other"})
    tree["other/2024-01-01.json"] = [make_slack_message(0, "y"), make_slack_message(1, "z")]
    source = write_tree(tmp_path / "x", tree)
    converted = convert("slack", source, tmp_path / "out", only=["C1"])
    assert [room.name for room in converted.rooms] == ["general"]
    assert converted.losses() == {
        "message that --only leaves out": 2, "room that --only leaves out": 1
    }  # fmt: skip


def test_success_known_people(tmp_path: Path) -> None:
    """Mentions are of the participant; the sender stays the person of the other system."""
    participant = "019ab000-0000-7000-8000-00000000000a"
    table = tmp_path / "map.csv"
    table.write_text(
        f"source_id,name,email,participant_id,participant,proposal\nU2,'=Ben,,{participant},,\n"
        "U1,,,,,\nU9,x,,,,\n"
    )
    tree = make_slack_tree(
        make_slack_message(0, "<@U2> and <@U1>"), make_slack_message(1, user="U2")
    )
    converted = convert("slack", write_tree(tmp_path / "x", tree), tmp_path / "out", people=table)
    first, second = converted.events("general")
    assert first["content"]["mentions"][0] == participant
    assert first["content"]["mentions"][1] == first["sender_id"]
    assert second["sender_id"] != participant
    assert sorted(converted.senders("general").values()) == ["=Ben", "Anna"]
    fqids = [sender["fqid"] for sender in converted.manifest("general")["senders"].values()]
    assert sorted(fqids) == ["@U1:t1.slack", "@U2:t1.slack"]


def test_success_names_of_known_people(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("source_id,name,participant_id\nanna,Anna Berg,\n")
    source = write_tree(tmp_path / "x", make_tree("mattermost", range(1)))
    converted = convert("mattermost", source, tmp_path / "out", people=table)
    assert list(converted.senders("Square").values()) == ["Anna Berg"]


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "source_id,participant_id\nU1,anna\n", b"\xff\xfe", None]
)
def test_fail_table_of_people(tmp_path: Path, text: str | bytes | None) -> None:
    table = tmp_path / "map.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = write_tree(tmp_path / "x", make_slack_tree())
    with pytest.raises(UsageError):
        convert("slack", source, tmp_path / "out", people=table)


def test_success_name_of_the_source(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree("mattermost", range(2)))
    names = ("Acme Chat!", "other", "chat.example.com:8080", "…")
    converted = [
        convert("mattermost", source, tmp_path / str(n), workspace=name)
        for n, name in enumerate(names)
    ]
    servers = [each.manifest("Square")["server_name"] for each in converted]
    assert servers == [
        "acme-chat.mattermost", "other.mattermost", "chat-example-com-8080.mattermost",
        "unknown.mattermost",
    ]  # fmt: skip
    assert len({each.events("Square")[0]["id"] for each in converted}) == len(names)


def test_fail_another_conversion_is_running(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree("slack", range(2)))
    (tmp_path / "out").mkdir()
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(ConversionRunning):
            convert("slack", source, tmp_path / "out")
    finally:
        os.close(descriptor)
    convert("slack", source, tmp_path / "out")


def test_fail_directories(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree("slack", range(2)))
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "no" / "parent", tmp_path / "file"):
        with pytest.raises(UsageError, match="is not a directory and can't be created"):
            convert("slack", source, target)
    with pytest.raises(SourceUnreadable, match="No such file"):
        convert("slack", tmp_path / "nothing.zip", tmp_path / "out")
    with pytest.raises(SourceUnreadable, match="is not a directory"):
        convert("slack", source, tmp_path / "out", files=tmp_path / "nothing")


def test_fail_bundle_in_the_way(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "x", make_tree("slack", range(2)))
    path = convert("slack", source, tmp_path / "out").path("general")
    path.unlink()
    path.mkdir()
    with pytest.raises(FileUnwritable):
        convert("slack", source, tmp_path / "out")


def test_fail_row_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader drops a row, as a mistake in a new reader would."""
    from rooms.conversion.slack import SlackReader

    build = SlackReader._build_event

    def drop(self: SlackReader, place: Any, row: Any) -> Any:
        return None if row["text"] == "No. 3" else build(self, place, row)

    monkeypatch.setattr(SlackReader, "_build_event", drop)
    source = write_tree(tmp_path / "x", make_tree("slack", range(5)))
    with pytest.raises(ConversionIncomplete, match="has 5 messages, of which 4 are accounted for"):
        convert("slack", source, tmp_path / "out")


CONVERT = """
import django; django.setup()
from pathlib import Path
from rooms.conversion.convert_rooms import ConversionOptions, convert_rooms
convert_rooms(system="slack", source=Path({source!r}), directory=Path({out!r}),
              options=ConversionOptions())
"""


@pytest.mark.once
def test_success_after_kills(tmp_path: Path) -> None:
    """Whenever it is killed, the next run gives what one run gives, and leaves nothing else."""
    tree = make_slack_tree()
    for number in range(40):
        tree["channels.json"].append({"id": f"C{number}x", "name": f"c{number}"})
        tree[f"c{number}/2024-01-01.json"] = [make_slack_message(n, "x" * 200) for n in range(200)]
    source = write_tree(tmp_path / "x", tree)
    expected = convert("slack", source, tmp_path / "whole")
    out = tmp_path / "out"
    code = CONVERT.format(source=str(source), out=str(out))
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "scaiwave.settings", "SCAIWAVE_HOME": str(tmp_path)
    }  # fmt: skip
    rng = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, env=environment)
        while process.poll() is None and not list(out.glob("*.zip")):
            time.sleep(0.005)
        time.sleep(rng.random() / 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(out.glob("*.zip"))
    finished = convert("slack", source, out)
    assert finished.files() == expected.files()
    shutil.rmtree(out)


def test_success_report(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "x.zip", make_tree("slack", range(3)))
    converted: Converted = convert("slack", source, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert report["files"][-1] == {
        "file": "general/2024-01-01.json",
        "messages": {"read": 3, "written": 3, "merged": 0, "reported": 0},
        "reactions": {"read": 3, "written": 3, "merged": 0, "reported": 0},
        "attachments": {"read": 1, "written": 1, "merged": 0, "reported": 0},
    }
    assert report["rooms"] == converted.result.document()["rooms"]
    assert "time" not in report


def test_success_people_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rooms.conversion.event_encoder.MAX_SENDERS", 4)
    messages = [make_slack_message(n, "x", user=f"U{n}") for n in range(10)]
    source = write_tree(tmp_path / "x", make_slack_tree(*messages))
    converted = convert("slack", source, tmp_path / "out")
    assert len(converted.events("general")) == 10
    assert len(converted.senders("general")) == 4


def test_success_attachments_beyond_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.conversion.event_encoder.MAX_MEDIA", 1)
    files = [{"id": f"F1111{n}", "name": f"{n}.txt"} for n in range(3)]
    tree = make_slack_tree(make_slack_message(0, "x", files=files))
    tree |= {f"__uploads/F1111{n}/{n}.txt": str(n) for n in range(3)}
    converted = convert("slack", write_tree(tmp_path / "x", tree), tmp_path / "out")
    assert converted.media("general") == {"0.txt": b"0"}
    assert converted.losses() == {"file that can't be read": 2}
