"""Rewrite the content of imported events: new IDs, and the original sender of each event."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rooms.bundle.format import (
    IMPORTED_SENDER,
    MEDIA_KEYS,
    REFERENCES,
    UNVERIFIED,
    normalize_id,
)
from tenants.models.directory import MAX_NAME_CHARS

if TYPE_CHECKING:
    from rooms.bundle.manifest.events import BundleEvent
    from rooms.bundle.manifest.schema import Sender

_MAX_URL_CHARS = 1000
_MAX_FQID_CHARS = 512
_CONTAINERS = frozenset({dict, list})
# The two highest bits of a UUID's 17th digit are its variant, here that of RFC 9562.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class IdMapper:
    """Computes the new ID of anything in a room from the room's ID and the old ID.

    So a reference can be rewritten before its target was read, and millions of IDs need no memory.
    The new IDs are UUIDs of version 8 (RFC 9562). The timestamp at the beginning of a UUIDv7 is
    kept, so that neighbours stay together in the index; the rest is a keyed hash.
    """

    def __init__(self, room_id: UUID) -> None:
        self._keyed_hash = blake2b(key=room_id.bytes, digest_size=16)

    def __call__(self, old: str) -> str:
        """Old and new are UUIDs in lower-case hexadecimal with hyphens."""
        hashed = self._keyed_hash.copy()
        hashed.update(old.encode())
        h = hashed.hexdigest()
        stem = old[:13] if old[14] == "7" else f"{h[20:28]}-{h[28:]}"
        return f"{stem}-8{h[:3]}-{_VARIANT[h[3]]}{h[4:7]}-{h[7:19]}"


class EventRewriter:
    """Rewrites the content of events in place.

    `media_ids` maps to the new IDs of files that exist here. Other media IDs are mapped like event
    IDs: they refer to nothing, and equal IDs stay equal. A reference that is not a UUID in any
    spelling is deleted: the platform might still find the file of another room with it.

    `origin` decides what the original senders of the bundle are worth. `replaced_senders` counts
    the events whose own original sender was replaced by that of the bundle.
    """

    def __init__(
        self,
        new_id: IdMapper,
        *,
        senders: Mapping[str, Sender],
        media_ids: Mapping[str, str],
        origin: BundleOrigin,
    ) -> None:
        self.new_id = new_id
        self.replaced_senders = 0
        self._media_ids = media_ids
        self._origin = origin
        self._senders = {
            key: origin.mark(_build_imported_sender(sender)) for key, sender in senders.items()
        }

    def rewrite(self, event: BundleEvent) -> None:
        key, _ = REFERENCES.get(event.event_type, (None, False))
        content, original = event.content, event.original_content
        self._rewrite_content(content, key)
        if original is not None:
            self._rewrite_content(original, key)
            if IMPORTED_SENDER in original:
                original[IMPORTED_SENDER] = self._get_sender(event.sender_id, original)
        if IMPORTED_SENDER in content:
            given = content[IMPORTED_SENDER]
            content[IMPORTED_SENDER] = self._get_sender(event.sender_id, content)
            if isinstance(given, dict) and self._origin.mark(given) != content[IMPORTED_SENDER]:
                self.replaced_senders += 1
        else:
            content[IMPORTED_SENDER] = self._senders[event.sender_id]

    def _get_sender(self, sender_id: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return the original sender in the content if the bundle can prove it, else its own."""
        given = content[IMPORTED_SENDER]
        if self._origin.is_signed and isinstance(given, dict):
            return self._origin.mark(given)
        return self._senders[sender_id]

    def _rewrite_content(self, content: dict[str, Any], reference: str | None) -> None:
        if reference is not None and content.get(reference) is not None:
            if (old := normalize_id(content[reference])) is not None:
                content[reference] = self.new_id(old)
            else:
                del content[reference]
        for key in MEDIA_KEYS:
            if key in content:
                self._rewrite_media(content, key)
        for value in content.values():
            if type(value) in _CONTAINERS:
                self._rewrite_nested(value)

    def _rewrite_media(self, content: dict[str, Any], key: str) -> None:
        if content[key] is None:
            return
        if (old := normalize_id(content[key])) is not None:
            content[key] = self._media_ids.get(old) or self.new_id(old)
        else:
            del content[key]

    def _rewrite_nested(self, value: Any) -> None:
        """Rewrite media IDs at any depth; types that are not known yet may have them there."""
        stack = [value]
        while stack:
            value = stack.pop()
            if type(value) is dict:
                for key in MEDIA_KEYS:
                    if key in value:
                        self._rewrite_media(value, key)
                value = value.values()
            stack += [item for item in value if type(item) in _CONTAINERS]


@dataclass(frozen=True)
class BundleOrigin:
    """What the signature of a bundle proves.

    `is_signed` is true if a known key has signed it, `is_own` if that is a key of this server,
    whose name is `server_name`.
    """

    is_signed: bool
    is_own: bool
    server_name: str

    def mark(self, sender: dict[str, Any]) -> dict[str, Any]:
        """Mark a sender of this server as unverified, unless this server signed the bundle."""
        fqid = sender.get("fqid")
        text = fqid if isinstance(fqid, str) else ""
        if self.is_own or not _is_of_server(text, self.server_name):
            return sender
        return {**sender, UNVERIFIED: True}


@lru_cache(10_000)
def _is_of_server(fqid: str, server_name: str) -> bool:
    """Return whether a reader could take the ID for one of this server.

    An ID without a server counts as one, and so does a name that only looks like this server's.
    """
    server = _fold(fqid.partition(":")[2])
    return server in ("", _fold(server_name))


def _fold(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(filter(str.isprintable, folded)).strip(" .")


def _build_imported_sender(sender: Sender) -> dict[str, Any]:
    """Shorten the texts to those of a participant.

    They are repeated in every event, so a few long ones would let a small bundle fill the disk.
    """
    avatar_url = sender.avatar_url
    return {
        "display_name": sender.display_name[:MAX_NAME_CHARS],
        # A shortened URL would lead somewhere else.
        "avatar_url": avatar_url if len(avatar_url or "") <= _MAX_URL_CHARS else "",
        "fqid": sender.fqid[:_MAX_FQID_CHARS],
    }
