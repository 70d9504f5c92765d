"""The structures of a bundle, encoded by the writer and decoded by the reader.

The limits are checked when a bundle is read. Timestamps and IDs are texts in the only form that the
format has for them.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rooms.bundle.format import MANIFEST
from rooms.errors import BundleBadManifest
from scaiwave.core.msgspec_decoders import register_structs

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIMESTAMP = (
    "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
_UUID_PATTERN = re.compile(_UUID)
_TIMESTAMP_PATTERN = re.compile(_TIMESTAMP)

Id = Annotated[str, Meta(pattern=f"^{_UUID}\\Z")]
Timestamp = Annotated[str, Meta(pattern=f"^{_TIMESTAMP}\\Z")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(max_length=255)]
"""The name of a server or a program."""


class WorkspaceInfo(Struct):
    id: Id
    slug: Annotated[str, Meta(max_length=200)]
    name: Annotated[str, Meta(max_length=500)]


class RoomInfo(Struct):
    id: Id
    name: Annotated[str, Meta(max_length=1000)]
    topic: str
    room_type: str
    scope_kind: str | None
    state: Annotated[str, Meta(pattern=r"^(open|archived|closed)\Z")]
    is_public: bool
    is_federated: bool
    visibility: Annotated[str, Meta(max_length=32)]
    read_role_slugs: list[str]
    room_alias: Annotated[str, Meta(max_length=255)] | None
    creator_id: Id
    created_at: Timestamp
    workspace: WorkspaceInfo


class TimeWindow(Struct, frozen=True):
    """Events with `since <= origin_ts < until`; None means no bound."""

    since: Timestamp | None
    until: Timestamp | None

    @property
    def for_manifest(self) -> TimeWindow | None:
        """Return None for the whole room, as the manifest has it."""
        return None if self == WHOLE_ROOM else self

    @property
    def first_second(self) -> int | None:
        """Return the lowest `origin_ts` in the window."""
        return _round_up(self.since) if self.since else None

    @property
    def end_second(self) -> int | None:
        """Return the lowest `origin_ts` after the window."""
        return _round_up(self.until) if self.until else None


WHOLE_ROOM = TimeWindow(None, None)


class Sender(Struct):
    """The texts are limited to the lengths that a participant may have.

    Each event repeats them, so a few long ones would let a small bundle fill the disk.
    """

    display_name: Annotated[str, Meta(max_length=300)]
    avatar_url: Annotated[str, Meta(max_length=1000)] | None
    fqid: Annotated[str, Meta(max_length=512)]
    participant_type: Annotated[str, Meta(max_length=32)]
    is_foreign: bool

    @property
    def imported_sender(self) -> dict[str, str | None]:
        """Return the value of `content._imported_sender` for a foreign sender."""
        return {
            "display_name": self.display_name,
            "avatar_url": self.avatar_url,
            "fqid": self.fqid,
        }


class MediaEntry(Struct):
    """One name of an attachment. `missing` is why its bytes are not in the archive."""

    media_id: Id
    sha256: Sha256
    size: Count
    mime_type: Annotated[str, Meta(max_length=255)]
    scan_status: Annotated[str, Meta(pattern=r"^(pending|clean|infected)\Z")]
    name: Annotated[str, Meta(max_length=255)]
    missing: Literal["infected", "lost", "left out"] | None


class ChainPosition(Struct):
    """Where an increment belongs: SHA-256 of the manifests of its base and of the bundle before."""

    root: Sha256
    parent: Sha256
    sequence: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    since: Timestamp


class RemovedMedia(Struct, frozen=True):
    """One name of an attachment that the room no longer has."""

    media_id: Id
    name: Annotated[str, Meta(max_length=255)]


class ChainTotals(Struct):
    """The room after an increment. `digest` is the sum of the digests of all events
    (`bundle.chain`)."""

    events: Count
    media: Count
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Increment(Struct):
    """What only the manifest of an increment has. `deleted` counts the IDs in its `deleted`."""

    chain: ChainPosition
    media_removed: list[RemovedMedia]
    after: ChainTotals
    deleted: int = 0


class IncrementSender(Sender):
    """A sender in an increment. `previous_fqid` is given if the address itself has changed."""

    change: Literal["added", "changed"] | None = None
    previous_fqid: Annotated[str, Meta(max_length=512)] | None = None


class ManifestHeader(Struct):
    """The manifest without its events. `window` is None for the whole room; senders are by ID.

    `increment` is None for a whole bundle.
    """

    generator: Name
    server_name: Name
    exported_at: Timestamp
    room: RoomInfo
    window: TimeWindow | None
    senders: dict[str, Sender]
    media: list[MediaEntry]
    increment: Increment | None = None

    @property
    def title(self) -> str:
        """Return how texts name this bundle within its chain."""
        return f"increment {self.increment.chain.sequence:,}" if self.increment else "the base"

    @property
    def missing_media_count(self) -> int:
        return sum(entry.missing is not None for entry in self.media)


class SignedEntry(Struct):
    """One entry of the archive in signature.json."""

    name: str
    sha256: str
    size: Count


class BundleCounts(Struct):
    """The counts in signature.json."""

    events: Count
    senders: Count
    media: Count
    missing_media: Count

    @classmethod
    def from_header(cls, header: ManifestHeader, *, events: int) -> BundleCounts:
        return cls(events, len(header.senders), len(header.media), header.missing_media_count)


register_structs(ManifestHeader, SignedEntry, IncrementSender)

KEYS = (
    "format", "version", "generator", "server_name", "exported_at", "room", "window", "senders",
    "media", "events",
)  # fmt: skip
INCREMENT_KEYS = ("kind", "chain", "media_removed", "deleted", "after")


def manifest_error(subject: str, problem: str, **details: Any) -> BundleBadManifest:
    return BundleBadManifest(f"{subject} {problem}.", entry=MANIFEST, **details)


def is_id(text: str) -> bool:
    return _UUID_PATTERN.fullmatch(text) is not None


def is_timestamp(text: str) -> bool:
    """Return whether it is a timestamp in the only form of the format, of a day that exists."""
    if not _TIMESTAMP_PATTERN.fullmatch(text):
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def format_timestamp(timestamp: datetime) -> str:
    """Format as RFC 3339 in UTC with six fractional digits, the only form in a bundle."""
    # strftime writes a year before 1000 with fewer than four digits.
    return timestamp.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _round_up(timestamp: str) -> int:
    return math.ceil(datetime.fromisoformat(timestamp).timestamp())
