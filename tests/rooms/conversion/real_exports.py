"""Exports with the fields that each system writes today, by its documentation; names are made up.

Where `factories` has the fewest fields that a detail needs, these have all of them at once.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.rooms.conversion.factories import Json

EXPORTS = Path(__file__).with_name("exports")
"""A directory for each system: of Slack, all conversations of a Grid organisation, with its odd
files; of Mattermost, an export with attachments, and pictures of people and emoji; of
DiscordChatExporter, two parts of a channel, a thread and a post of a forum, each with its media."""


def read_export(system: str) -> dict[str, bytes]:
    root = EXPORTS / system
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def read_messages() -> dict[str, list[Json]]:
    """Return the messages of the main room of each system."""
    export = read_export("mattermost")
    lines = map(json.loads, export["import.jsonl"].splitlines())
    discord = json.loads(read_export("discord")["Harbour - Text - quay [4].json"])
    return {
        "slack": json.loads(read_export("slack")["quay/2024-01-01.json"]),
        "mattermost": [line["post"] for line in lines if "post" in line],
        "discord": discord["messages"],
    }
