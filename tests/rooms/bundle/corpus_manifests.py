"""Manifests with an invalid header, each with the error it causes."""

from __future__ import annotations

from typing import Any, NamedTuple

from rooms.errors import BundleBadManifest, BundleVersion, ImportRefused
from scaiwave.core.errors import ScaiWaveError
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


class BadManifest(NamedTuple):
    document: JSON
    error: type[ScaiWaveError]
    message: str


def make_bad(document: JSON, message: str) -> BadManifest:
    return BadManifest(document, BundleBadManifest, message)


def make_room_manifest(**changes: Any) -> JSON:
    return make_manifest(make_event(1), room={**ROOM, **changes})


def make_too_long(document: JSON, what: str, most: int, where: str = "") -> BadManifest:
    at = f" - at `$.{where}`" if where else ""
    return make_bad(
        document,
        f"{what} does not match the format: Expected `str` of length <= {most}{at}.",
    )


def remove_key(document: JSON, key: str) -> JSON:
    return {name: value for name, value in document.items() if name != key}


MANIFESTS: dict[str, BadManifest] = {
    **{
        f"no {key}": make_bad(
            remove_key(make_manifest(make_event(1)), key), f"The manifest has no `{key}`."
        )
        for key in make_manifest()
    },
    "other format": BadManifest(
        make_manifest(format="zip"),
        BundleVersion,
        "Unsupported bundle format: 'zip'; this release reads 'scaiwave-room-bundle'.",
    ),
    "next version": BadManifest(
        make_manifest(version=2),
        BundleVersion,
        "The bundle is an increment: it has only the changes since another bundle.",
    ),
    "version as a text": BadManifest(
        make_manifest(version="1"),
        BundleVersion,
        "Unsupported bundle version: '1'; this release reads 1.",
    ),
    "version as a truth": BadManifest(
        make_manifest(version=True),
        BundleVersion,
        "Unsupported bundle version: True; this release reads 1.",
    ),
    **{
        f"{kind} room": BadManifest(
            make_room_manifest(room_type=kind),
            ImportRefused,
            f"Can't import rooms of type {kind!r}.",
        )
        for kind in ("sidekick", "bridge", "incognito", "new")
    },
    "incognito scope": BadManifest(
        make_room_manifest(scope_kind="incognito"),
        ImportRefused,
        "Can't import rooms with scope 'incognito'.",
    ),
    "federated room": BadManifest(
        make_room_manifest(is_federated=True), ImportRefused, "Can't import federated rooms."
    ),
    "room without a name": make_bad(
        make_manifest(room=remove_key(ROOM, "name")),
        "`room` of the manifest does not match the format: Object missing required field `name`.",
    ),
    "room created on an invalid day": make_bad(
        make_room_manifest(created_at="2026-02-30T00:00:00.000000Z"),
        "`room` of the manifest has an invalid timestamp: '2026-02-30T00:00:00.000000Z'.",
    ),
    "time in another form": make_bad(
        make_manifest(exported_at="2026-11-24 19:05:00+01:00"),
        "`exported_at` of the manifest has an invalid timestamp: '2026-11-24 19:05:00+01:00'.",
    ),
    "window that is a text": make_bad(
        make_manifest(window="week"),
        "`window` of the manifest does not match the format: Expected `object | null`, got `str`.",
    ),
    "sender without an id": make_bad(
        make_manifest(senders={"anna": {}}), "The sender 'anna' has a key that is not an ID."
    ),
    "sender that is a text": make_bad(
        make_manifest(senders={BO: "Bo"}),
        f"The sender {BO} does not match the format: Expected `object`, got `str`.",
    ),
    **{
        f"sender with {key} of {most + 1:,} characters": make_too_long(
            make_manifest(make_event(1), senders={ANNA: make_sender(**{key: "x" * (most + 1)})}),
            f"The sender {ANNA}",
            most,
            key,
        )
        for key, most in LONGEST_OF_SENDER.items()
    },
    "name of a server of 256 characters": make_too_long(
        make_manifest(make_event(1), server_name="x" * 256), "`server_name` of the manifest", 255
    ),
    "name of a program of 256 characters": make_too_long(
        make_manifest(make_event(1), generator="x" * 256), "`generator` of the manifest", 255
    ),
    "alias of 256 characters": make_too_long(
        make_room_manifest(room_alias="x" * 256), "`room` of the manifest", 255, "room_alias"
    ),
    "workspace's name of 501 characters": make_too_long(
        make_room_manifest(workspace={**ROOM["workspace"], "name": "x" * 501}),
        "`room` of the manifest",
        500,
        "workspace.name",
    ),
    "media without a hash": make_bad(
        make_manifest(media=[make_media_row(b"x", sha256="AB")]),
        "Row 1 of `media` does not match the format: Expected `str` matching regex "
        r"'^[0-9a-f]{64}\\Z' - at `$.sha256`.",
    ),
    "missing for another reason": make_bad(
        make_manifest(media=[make_media_row(b"x", missing="stolen")]),
        "Row 1 of `media` does not match the format: Invalid enum value 'stolen' - at `$.missing`.",
    ),
    "two sizes of one hash": make_bad(
        make_manifest(media=[make_media_row(b"x"), make_media_row(b"x", "b.png", size=2)]),
        f"`media` has two rows that disagree: {make_media_row(b'x')['sha256']}.",
    ),
    "two hashes of one id": make_bad(
        make_manifest(
            media=[
                make_media_row(b"x", missing="lost"),
                make_media_row(b"yy", missing="lost", media_id=make_media_row(b"x")["media_id"]),
            ]
        ),
        f"`media` has two hashes for {make_media_row(b'x')['media_id']}.",
    ),
    "one name of one hash twice": make_bad(
        make_manifest(
            media=[make_media_row(b"x", missing="lost"), make_media_row(b"x", missing="lost")]
        ),
        f"`media` has two rows of {make_media_row(b'x')['sha256']} with the same name.",
    ),
    "value of the head too long": make_bad(
        make_manifest(extra="x" * MIB), "The manifest is longer than 1,048,576 bytes."
    ),
}
