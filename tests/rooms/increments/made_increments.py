"""Increments made without the product's code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from tests.rooms.bundle.factories import make_bundle

Json = dict[str, Any]


def make_increment(
    base: bytes,
    events: Sequence[Json],
    *files: tuple[Json, bytes],
    deleted: Sequence[str] = (),
    **changes: Any,
) -> bytes:
    """Return an unsigned first increment of a base; each event has its `change` first.

    `files` are rows of `media` and their bytes. The digest after it is not the right one.
    """
    with zipfile.ZipFile(io.BytesIO(base)) as archive:
        raw = archive.read("manifest.json")
    whole: Mapping[str, Any] = json.loads(raw)
    root = sha256(raw).hexdigest()
    added = sum(event["change"] == "added" for event in events)
    document = {
        "format": whole["format"],
        "version": 2,
        "kind": "increment",
        "chain": {"root": root, "parent": root, "sequence": 1, "since": whole["exported_at"]},
        "after": {
            "events": len(whole["events"]) + added - len(deleted),
            "media": len(whole["media"]) + len(files),
            "digest": "0" * 32,
        },
        "generator": whole["generator"],
        "server_name": whole["server_name"],
        "exported_at": whole["exported_at"],
        "room": whole["room"],
        "window": None,
        "senders": {
            key: {**sender, "change": None, "previous_fqid": None}
            for key, sender in whole["senders"].items()
        },
        "media": [row for row, _ in files],
        "media_removed": [],
        "deleted": list(deleted),
        "events": list(events),
        **changes,
    }
    return make_bundle(document, *((row["name"], data) for row, data in files))
