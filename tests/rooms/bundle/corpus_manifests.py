"""Heads of manifests that are no good, each with the refusal it gets."""

from __future__ import annotations

from typing import Any, NamedTuple

from rooms.errors import BundleBadManifest, BundleVersion, ImportRefused
from scaiwave.errors import ScaiWaveError
from tests.rooms.bundle.bundles import BO, JSON, ROOM, event, manifest, media_row

MIB = 1024 * 1024


class Bad(NamedTuple):
    document: JSON
    error: type[ScaiWaveError]
    message: str


def bad(document: JSON, message: str) -> Bad:
    return Bad(document, BundleBadManifest, message)


def room(**changes: Any) -> JSON:
    return manifest(event(1), room={**ROOM, **changes})


def without(document: JSON, key: str) -> JSON:
    return {name: value for name, value in document.items() if name != key}


MANIFESTS: dict[str, Bad] = {
    **{
        f"no {key}": bad(without(manifest(event(1)), key), f"The manifest has no `{key}`.")
        for key in manifest()
    },
    "other format": Bad(
        manifest(format="zip"),
        BundleVersion,
        "The bundle is of format 'zip'; this release reads 'scaiwave-room-bundle' alone.",
    ),
    "next version": Bad(
        manifest(version=2),
        BundleVersion,
        "The bundle is of version 2; this release reads 1 alone.",
    ),
    "version as a text": Bad(
        manifest(version="1"),
        BundleVersion,
        "The bundle is of version '1'; this release reads 1 alone.",
    ),
    "version as a truth": Bad(
        manifest(version=True),
        BundleVersion,
        "The bundle is of version True; this release reads 1 alone.",
    ),
    **{
        f"{kind} room": Bad(
            room(room_type=kind), ImportRefused, f"Rooms of type {kind!r} are not imported."
        )
        for kind in ("sidekick", "bridge", "incognito", "new")
    },
    "incognito scope": Bad(
        room(scope_kind="incognito"), ImportRefused, "Rooms of scope 'incognito' are not imported."
    ),
    "federated room": Bad(
        room(is_federated=True), ImportRefused, "Federated rooms are not imported."
    ),
    "room without a name": bad(
        manifest(room=without(ROOM, "name")),
        "`room` of the manifest is not as the format wants it: Object missing required field "
        "`name`.",
    ),
    "room made on a day that is none": bad(
        room(created_at="2026-02-30T00:00:00.000000Z"),
        "`room` of the manifest has a time that is none, '2026-02-30T00:00:00.000000Z'.",
    ),
    "time in another form": bad(
        manifest(exported_at="2026-11-24 19:05:00+01:00"),
        "`exported_at` of the manifest has a time that is none, '2026-11-24 19:05:00+01:00'.",
    ),
    "window that is a text": bad(
        manifest(window="week"),
        "`window` of the manifest is not as the format wants it: Expected `object | null`, got "
        "`str`.",
    ),
    "sender without an id": bad(
        manifest(senders={"anna": {}}), "The sender 'anna' has a key that is no id."
    ),
    "sender that is a text": bad(
        manifest(senders={BO: "Bo"}),
        f"The sender {BO} is not as the format wants it: Expected `object`, got `str`.",
    ),
    "media without a hash": bad(
        manifest(media=[media_row(b"x", sha256="AB")]),
        "Row 1 of `media` is not as the format wants it: Expected `str` matching regex "
        r"'^[0-9a-f]{64}\\Z' - at `$.sha256`.",
    ),
    "missing for another reason": bad(
        manifest(media=[media_row(b"x", missing="stolen")]),
        "Row 1 of `media` is not as the format wants it: Invalid enum value 'stolen' - at "
        "`$.missing`.",
    ),
    "two sizes of one hash": bad(
        manifest(media=[media_row(b"x"), media_row(b"x", "b.png", size=2)]),
        f"`media` says two things of {media_row(b'x')['sha256']}.",
    ),
    "two hashes of one id": bad(
        manifest(
            media=[
                media_row(b"x", missing="lost"),
                media_row(b"yy", missing="lost", media_id=media_row(b"x")["media_id"]),
            ]
        ),
        f"`media` gives two hashes to {media_row(b'x')['media_id']}.",
    ),
    "one name of one hash twice": bad(
        manifest(media=[media_row(b"x", missing="lost"), media_row(b"x", missing="lost")]),
        f"`media` has two rows of {media_row(b'x')['sha256']} with one name.",
    ),
    "value of the head too long": bad(
        manifest(extra="x" * MIB), "The manifest is longer than 1,048,576 bytes."
    ),
}
