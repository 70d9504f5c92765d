"""Heads of manifests that are no good, each with the refusal it gets."""

from __future__ import annotations

from typing import Any, NamedTuple

from rooms.errors import BundleBadManifest, BundleVersion, ImportRefused
from scaiwave.errors import ScaiWaveError
from tests.rooms.bundle.factories import ANNA, BO, JSON, ROOM, event, manifest, media_row, sender

MIB = 1024 * 1024
LONGEST_OF_SENDER = {"display_name": 300, "avatar_url": 1000, "fqid": 512, "participant_type": 32}


class Bad(NamedTuple):
    document: JSON
    error: type[ScaiWaveError]
    message: str


def bad(document: JSON, message: str) -> Bad:
    return Bad(document, BundleBadManifest, message)


def room(**changes: Any) -> JSON:
    return manifest(event(1), room={**ROOM, **changes})


def too_long(document: JSON, what: str, most: int, where: str = "") -> Bad:
    at = f" - at `$.{where}`" if where else ""
    return bad(
        document,
        f"{what} does not match the format: Expected `str` of length <= {most}{at}.",
    )


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
        "Unsupported bundle format: 'zip'; this release reads 'scaiwave-room-bundle'.",
    ),
    "next version": Bad(
        manifest(version=2),
        BundleVersion,
        "Unsupported bundle version: 2; this release reads 1.",
    ),
    "version as a text": Bad(
        manifest(version="1"),
        BundleVersion,
        "Unsupported bundle version: '1'; this release reads 1.",
    ),
    "version as a truth": Bad(
        manifest(version=True),
        BundleVersion,
        "Unsupported bundle version: True; this release reads 1.",
    ),
    **{
        f"{kind} room": Bad(
            room(room_type=kind), ImportRefused, f"Can't import rooms of type {kind!r}."
        )
        for kind in ("sidekick", "bridge", "incognito", "new")
    },
    "incognito scope": Bad(
        room(scope_kind="incognito"), ImportRefused, "Can't import rooms with scope 'incognito'."
    ),
    "federated room": Bad(room(is_federated=True), ImportRefused, "Can't import federated rooms."),
    "room without a name": bad(
        manifest(room=without(ROOM, "name")),
        "`room` of the manifest does not match the format: Object missing required field `name`.",
    ),
    "room made on a day that is none": bad(
        room(created_at="2026-02-30T00:00:00.000000Z"),
        "`room` of the manifest has an invalid timestamp: '2026-02-30T00:00:00.000000Z'.",
    ),
    "time in another form": bad(
        manifest(exported_at="2026-11-24 19:05:00+01:00"),
        "`exported_at` of the manifest has an invalid timestamp: '2026-11-24 19:05:00+01:00'.",
    ),
    "window that is a text": bad(
        manifest(window="week"),
        "`window` of the manifest does not match the format: Expected `object | null`, got `str`.",
    ),
    "sender without an id": bad(
        manifest(senders={"anna": {}}), "The sender 'anna' has a key that is not an ID."
    ),
    "sender that is a text": bad(
        manifest(senders={BO: "Bo"}),
        f"The sender {BO} does not match the format: Expected `object`, got `str`.",
    ),
    **{
        f"sender with {key} of {most + 1:,} characters": too_long(
            manifest(event(1), senders={ANNA: sender(**{key: "x" * (most + 1)})}),
            f"The sender {ANNA}",
            most,
            key,
        )
        for key, most in LONGEST_OF_SENDER.items()
    },
    "name of a server of 256 characters": too_long(
        manifest(event(1), server_name="x" * 256), "`server_name` of the manifest", 255
    ),
    "name of a program of 256 characters": too_long(
        manifest(event(1), generator="x" * 256), "`generator` of the manifest", 255
    ),
    "alias of 256 characters": too_long(
        room(room_alias="x" * 256), "`room` of the manifest", 255, "room_alias"
    ),
    "workspace's name of 501 characters": too_long(
        room(workspace={**ROOM["workspace"], "name": "x" * 501}),
        "`room` of the manifest",
        500,
        "workspace.name",
    ),
    "media without a hash": bad(
        manifest(media=[media_row(b"x", sha256="AB")]),
        "Row 1 of `media` does not match the format: Expected `str` matching regex "
        r"'^[0-9a-f]{64}\\Z' - at `$.sha256`.",
    ),
    "missing for another reason": bad(
        manifest(media=[media_row(b"x", missing="stolen")]),
        "Row 1 of `media` does not match the format: Invalid enum value 'stolen' - at `$.missing`.",
    ),
    "two sizes of one hash": bad(
        manifest(media=[media_row(b"x"), media_row(b"x", "b.png", size=2)]),
        f"`media` has two rows that disagree: {media_row(b'x')['sha256']}.",
    ),
    "two hashes of one id": bad(
        manifest(
            media=[
                media_row(b"x", missing="lost"),
                media_row(b"yy", missing="lost", media_id=media_row(b"x")["media_id"]),
            ]
        ),
        f"`media` has two hashes for {media_row(b'x')['media_id']}.",
    ),
    "one name of one hash twice": bad(
        manifest(media=[media_row(b"x", missing="lost"), media_row(b"x", missing="lost")]),
        f"`media` has two rows of {media_row(b'x')['sha256']} with the same name.",
    ),
    "value of the head too long": bad(
        manifest(extra="x" * MIB), "The manifest is longer than 1,048,576 bytes."
    ),
}
