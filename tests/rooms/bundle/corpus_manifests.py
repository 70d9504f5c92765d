"""Manifests with an invalid header."""

from __future__ import annotations

from typing import Any

from tests.rooms.bundle.factories import (
    ANNA,
    BO,
    JSON,
    ROOM,
    make_event,
    make_manifest,
    make_media_row,
    make_sender,
)

MIB = 1024 * 1024
LONGEST_OF_SENDER = {"display_name": 300, "avatar_url": 1000, "fqid": 512, "participant_type": 32}


def make_room_manifest(**changes: Any) -> JSON:
    return make_manifest(make_event(1), room={**ROOM, **changes})


def remove_key(document: JSON, key: str) -> JSON:
    return {name: value for name, value in document.items() if name != key}


MANIFESTS: dict[str, JSON] = {
    **{f"no {key}": remove_key(make_manifest(make_event(1)), key) for key in make_manifest()},
    "other format": make_manifest(format="zip"),
    "next version": make_manifest(version=2),
    "version as a text": make_manifest(version="1"),
    "version as a truth": make_manifest(version=True),
    **{
        f"{kind} room": make_room_manifest(room_type=kind)
        for kind in ("sidekick", "bridge", "incognito", "new")
    },
    "incognito scope": make_room_manifest(scope_kind="incognito"),
    "federated room": make_room_manifest(is_federated=True),
    "room without a name": make_manifest(room=remove_key(ROOM, "name")),
    "room created on an invalid day": make_room_manifest(created_at="2026-02-30T00:00:00.000000Z"),
    "time in another form": make_manifest(exported_at="2026-11-24 19:05:00+01:00"),
    "window that is a text": make_manifest(window="week"),
    "sender without an id": make_manifest(senders={"anna": {}}),
    "sender that is a text": make_manifest(senders={BO: "Bo"}),
    **{
        f"sender with {key} of {most + 1:,} characters": make_manifest(
            make_event(1), senders={ANNA: make_sender(**{key: "x" * (most + 1)})}
        )
        for key, most in LONGEST_OF_SENDER.items()
    },
    "name of a server of 256 characters": make_manifest(make_event(1), server_name="x" * 256),
    "name of a program of 256 characters": make_manifest(make_event(1), generator="x" * 256),
    "alias of 256 characters": make_room_manifest(room_alias="x" * 256),
    "workspace's name of 501 characters": make_room_manifest(
        workspace={**ROOM["workspace"], "name": "x" * 501}
    ),
    "media row without a hash": make_manifest(media=[make_media_row(b"x", sha256="AB")]),
    "missing for another reason": make_manifest(media=[make_media_row(b"x", missing="stolen")]),
    "two sizes of one hash": make_manifest(
        media=[make_media_row(b"x"), make_media_row(b"x", "b.png", size=2)]
    ),
    "two hashes of one id": make_manifest(
        media=[
            make_media_row(b"x", missing="lost"),
            make_media_row(b"yy", missing="lost", media_id=make_media_row(b"x")["media_id"]),
        ]
    ),
    "one name of one hash twice": make_manifest(
        media=[make_media_row(b"x", missing="lost"), make_media_row(b"x", missing="lost")]
    ),
    "value of the head too long": make_manifest(extra="x" * MIB),
}
