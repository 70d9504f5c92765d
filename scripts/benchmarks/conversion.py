"""`scripts/bench conversion`: time `scaiwave room convert` against decoding the same JSON.

For each system an export of so many messages in ten rooms is written, with reactions and markup as
in real rooms. Each run is a process of its own, and both kinds alternate. The baseline decodes each
file with Python's `json`, and does nothing with it. The first bundle is measured from the start of
the process, by the time of its file.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import Database, Rounds, empty_home
from scripts.benchmarks.processes import Run, time_pipeline, time_scaiwave

ROOMS, DAYS, PEOPLE = 10, 50, 50
CONVERT, DECODE = "scaiwave room convert", "json.loads"
NOTES = """\
Targets: 20,000 messages in a second of one core, the first bundle within 2 s, and 150 MB.
The export of Mattermost is one file for all rooms, in the order of random IDs: its first bundle is
written when all of it is sorted by room. Every figure includes the start of Python and Django."""
_DECODE = """
import json, sys
from pathlib import Path
for path in sorted(Path(sys.argv[1]).rglob("*.json*")):
    if path.suffix == ".jsonl":
        for line in path.open("rb"):
            json.loads(line)
    else:
        json.loads(path.read_bytes())
"""
_WORDS = (
    *("the", "report", "is", "late", "again", "who", "has", "seen", "it", "please", "send", "both"),
    *("files", "before", "noon", "and", "thanks", "meeting", "moved", "to", "room", "four"),
)
_START = 1_600_000_000


def add_options(add: Callable[..., Any]) -> None:
    add("--messages", type=int, default=100_000, help="messages of each export")
    add("--repeat", type=int, default=3, help="runs of each, one of each kind after the other")


def choose_database(options: argparse.Namespace) -> str:
    return "sqlite"  # The command uses none.


def measure(database: Database, options: argparse.Namespace) -> dict[str, Rounds]:
    report = {}
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as scratch:
        for system, write in WRITERS.items():
            source = Path(scratch) / system
            source.mkdir()
            write(source, options.messages)
            rounds = report[system] = Rounds()
            with empty_home(database) as environment:
                for _ in range(options.repeat):
                    rounds.add(CONVERT, _convert(system, source, environment))
                    command = [sys.executable, "-c", _DECODE, str(source)]
                    rounds.add(DECODE, time_pipeline(command, environment=environment))
            shutil.rmtree(source)
            heading = f"{system}, {options.messages:,} messages"
            rounds.print_table(heading, {CONVERT: (DECODE, "")}, items=options.messages)
            print(f"First bundle after {rounds.get_median(CONVERT, 'first'):.1f} s.")
    return report


def _convert(system: str, source: Path, environment: dict[str, str]) -> Run:
    with tempfile.TemporaryDirectory(prefix="scaiwave-bench-") as name:
        out, started = Path(name) / "out", time.time()
        words = ("room", "convert", system, str(source), "--output-dir", str(out), "--quiet")
        run = time_scaiwave(*words, environment=environment)
        first = min(path.stat().st_mtime for path in out.glob("*.zip"))
        return {**run, "first": first - started}


def _iter_texts(messages: int) -> Iterator[tuple[int, str]]:
    """Yield the number of an author and a text for each message."""
    rng = random.Random(1)  # noqa: S311 - sample data
    for _ in range(messages):
        text = " ".join(rng.choices(_WORDS, k=rng.randint(3, 20)))
        if rng.random() < 0.1:
            text = f"*{text}* :tada: `x = 1`"
        yield rng.randrange(PEOPLE), text


def _write_slack(directory: Path, messages: int) -> None:
    people = [{"id": f"U{n}", "team_id": "T1", "name": f"u{n}"} for n in range(PEOPLE)]
    (directory / "users.json").write_text(json.dumps(people))
    rooms = [{"id": f"C{n}", "name": f"room{n}"} for n in range(ROOMS)]
    (directory / "channels.json").write_text(json.dumps(rooms))
    days: dict[Path, list[Any]] = {}
    for number, (author, text) in enumerate(_iter_texts(messages)):
        day = number * DAYS * ROOMS // messages
        room, day = divmod(day, DAYS)
        path = directory / f"room{room}" / f"2020-{day // 28 + 1:02}-{day % 28 + 1:02}.json"
        section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
        days.setdefault(path, []).append(
            {"client_msg_id": f"{number:036}", "type": "message", "user": f"U{author}",
             "text": text, "ts": f"{_START + number}.{number % 1000:06}", "team": "T1",
             "user_profile": {"real_name": f"User {author}", "name": f"u{author}", "team": "T1"},
             "blocks": [{"type": "rich_text", "block_id": "b", "elements": [section]}],
             **({"reactions": [{"name": "+1", "users": ["U1"], "count": 1}]} if number % 10 == 0
                else {})}
        )  # fmt: skip
    for path, rows in days.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows, indent=4))


def _write_mattermost(directory: Path, messages: int) -> None:
    rng = random.Random(2)  # noqa: S311 - sample data
    with (directory / "import.jsonl").open("w") as file:
        file.write('{"type": "version", "version": 1}\n')
        for author, text in _iter_texts(messages):
            stamp = _START * 1000 + rng.randrange(10**10)
            reactions = [{"user": "u1", "emoji_name": "+1", "create_at": stamp + 1}]
            post = {"team": "t", "channel": f"room{rng.randrange(ROOMS)}", "user": f"u{author}",
                    "type": "", "message": text, "props": {}, "create_at": stamp, "edit_at": 0,
                    "reactions": reactions if stamp % 10 == 0 else None, "replies": [],
                    "attachments": []}  # fmt: skip
            file.write(json.dumps({"type": "post", "post": post}) + "\n")


def _write_discord(directory: Path, messages: int) -> None:
    files: dict[int, list[Any]] = {}
    for number, (author, text) in enumerate(_iter_texts(messages)):
        user = {"id": f"{10**17 + author}", "name": f"u{author}", "discriminator": "0000",
                "nickname": f"User {author}", "color": None, "isBot": False,
                "roles": [{"id": "1", "name": "Member", "color": None, "position": 1}],
                "avatarUrl": "https://cdn.example.com/avatars/1.png?size=512"}  # fmt: skip
        emoji = {"id": "", "name": "👍", "code": "thumbsup", "isAnimated": False}
        reactions = [{"emoji": emoji, "count": 1, "users": [user]}] if number % 10 == 0 else []
        files.setdefault(number * ROOMS // messages, []).append(
            {"id": str((number << 26) + 2**59), "type": "Default",
             "timestamp": "2020-01-01T00:00:00.123+00:00", "timestampEdited": None,
             "callEndedTimestamp": None, "isPinned": False, "content": text, "author": user,
             "attachments": [], "embeds": [], "stickers": [], "reactions": reactions,
             "mentions": [], "inlineEmojis": []}
        )  # fmt: skip
    for room, rows in files.items():
        channel = {"id": f"{2 * 10**17 + room}", "type": "GuildTextChat", "name": f"room{room}"}
        head = {"guild": {"id": "1", "name": "Guild"}, "channel": channel, "dateRange": {}}
        content = {**head, "messages": rows, "messageCount": len(rows)}
        path = directory / f"room{room}.json"
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False))


WRITERS = {"slack": _write_slack, "mattermost": _write_mattermost, "discord": _write_discord}
