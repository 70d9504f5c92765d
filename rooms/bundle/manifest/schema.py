"""What the manifest says before, or after, its events."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from rooms.bundle import strict_json
from rooms.bundle.format import CARRIED_ROOM_TYPES, FORMAT, MANIFEST, VERSION
from rooms.bundle.strict_json import StrictJSONError
from rooms.errors import BundleBadManifest, BundleVersion, ImportRefused
from scaiwave.msgspec_decoders import register_structs

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME = (
    "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
_ONE_ID = re.compile(_UUID)
_ONE_TIME = re.compile(_TIME)

Id = Annotated[str, Meta(pattern=f"^{_UUID}\\Z")]
Time = Annotated[str, Meta(pattern=f"^{_TIME}\\Z")]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(max_length=255)]
"""Of a server or a program."""

T = TypeVar("T")


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
    created_at: Time
    workspace: WorkspaceInfo


class Window(Struct):
    since: Time | None
    until: Time | None


class Sender(Struct):
    """No longer than a participant's own: it is written with every event, so a few long ones
    would make a small bundle fill the disk."""

    display_name: Annotated[str, Meta(max_length=300)]
    avatar_url: Annotated[str, Meta(max_length=1000)] | None
    fqid: Annotated[str, Meta(max_length=512)]
    participant_type: Annotated[str, Meta(max_length=32)]
    is_foreign: bool


class MediaRow(Struct):
    media_id: Id
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Size
    mime_type: Annotated[str, Meta(max_length=255)]
    scan_status: Annotated[str, Meta(pattern=r"^(pending|clean|infected)\Z")]
    name: Annotated[str, Meta(max_length=255)]
    missing: Literal["infected", "lost", "left out"] | None


class Head(Struct):
    """Everything in the manifest but its events."""

    generator: Name
    server_name: Name
    exported_at: Time
    room: RoomInfo
    window: Window | None
    senders: dict[str, Sender]
    media: list[MediaRow]


register_structs(Head)

_MAYBE_WINDOW: Any = Window | None
_NAME: Any = Name
KEYS = ("format", "version", *Head.__struct_fields__, "events")


def manifest_error(what: str, trouble: str, **details: Any) -> BundleBadManifest:
    return BundleBadManifest(f"{what} {trouble}.", entry=MANIFEST, **details)


def decode_field(raw: bytes, kind: type[T], what: str) -> T:
    """The value, of this type. Raises `BundleBadManifest` that says what is wrong with it."""
    try:
        value = msgspec.convert(strict_json.loads(raw), kind)
    except StrictJSONError as error:
        raise manifest_error(what, str(error)) from None
    except msgspec.ValidationError as error:
        raise manifest_error(what, f"is not as the format wants it: {error}") from None
    _check_dates(value, what)
    return value


def is_id(text: str) -> bool:
    return _ONE_ID.fullmatch(text) is not None


def is_time(text: str) -> bool:
    """Whether it is a time in the only form that the format has, of a day that there is."""
    if not _ONE_TIME.fullmatch(text):
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def _check_dates(value: Any, what: str) -> None:
    match value:
        case RoomInfo(created_at=moment):
            moments = [moment]
        case Window(since=since, until=until):
            moments = [moment for moment in (since, until) if moment]
        case _:
            return
    for moment in moments:
        _require_time(moment, what)


def _require_time(text: str, what: str) -> None:
    if not is_time(text):
        raise manifest_error(what, f"has a time that is none, {text!r:.60}")


class ManifestHeaderParser:
    """Takes the values as they come; refuses at once what no event could make better."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._kinds: dict[str, str] = {}
        self.senders: dict[str, Sender] = {}
        self.media: list[MediaRow] = []

    def take(self, key: str, raw: bytes) -> None:
        what = f"`{key}` of the manifest"
        match key:
            case "format" | "version":
                self._check_version(key, decode_field(raw, object, what))
            case "room":
                self._values[key] = room = decode_field(raw, RoomInfo, what)
                _refuse(room)
            case "window":
                self._values[key] = decode_field(raw, _MAYBE_WINDOW, what)
            case "exported_at":
                self._values[key] = moment = decode_field(raw, str, what)
                _require_time(moment, what)
            case "generator" | "server_name":
                self._values[key] = decode_field(raw, _NAME, what)
            case _:
                decode_field(raw, object, what)

    def take_sender(self, sender_id: str, raw: bytes) -> None:
        what = f"The sender {sender_id}"
        if not is_id(sender_id):
            raise manifest_error(f"The sender {sender_id!r}", "has a key that is no id")
        self.senders[sender_id] = decode_field(raw, Sender, what)

    def take_media(self, raw: bytes) -> None:
        row = decode_field(raw, MediaRow, f"Row {len(self.media) + 1:,} of `media`")
        # There are many rows, and few kinds of file.
        row.mime_type = self._kinds.setdefault(row.mime_type, row.mime_type)
        row.scan_status = self._kinds.setdefault(row.scan_status, row.scan_status)
        self.media.append(row)

    def head(self) -> Head:
        """Everything, when the manifest has ended."""
        return Head(**self._values, senders=self.senders, media=self.media)

    def _check_version(self, key: str, value: object) -> None:
        wanted = FORMAT if key == "format" else VERSION
        if value != wanted or type(value) is not type(wanted):
            raise BundleVersion(
                f"The bundle is of {key} {value!r}; this release reads {wanted!r} alone.",
                entry=MANIFEST,
            )


def _refuse(room: RoomInfo) -> None:
    """Raises `ImportRefused` for a room that stays where it is."""
    if room.room_type not in CARRIED_ROOM_TYPES:
        raise ImportRefused(f"Rooms of type {room.room_type!r} are not imported.", entry=MANIFEST)
    if room.scope_kind is not None:
        raise ImportRefused(f"Rooms of scope {room.scope_kind!r} are not imported.", entry=MANIFEST)
    if room.is_federated:
        raise ImportRefused("Federated rooms are not imported.", entry=MANIFEST)
