"""Rewrite the content of imported events: new IDs, and the original sender of each event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rooms.bundle.format import IMPORTED_SENDER, MEDIA_KEYS, REFERENCES
from tenants.models.directory import MAX_NAME_CHARS

if TYPE_CHECKING:
    from rooms.bundle.manifest.events import BundleEvent
    from rooms.bundle.manifest.schema import Sender

_MAX_URL_CHARS = 1000
_MAX_FQID_CHARS = 512
_UUID = re.compile(r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
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
    IDs: they refer to nothing, and equal IDs stay equal.
    """

    def __init__(
        self, new_id: IdMapper, *, senders: Mapping[str, Sender], media_ids: Mapping[str, str]
    ) -> None:
        self.new_id = new_id
        self._media_ids = media_ids
        self._senders = {key: _build_imported_sender(sender) for key, sender in senders.items()}

    def rewrite(self, event: BundleEvent) -> None:
        key, _ = REFERENCES.get(event.event_type, (None, False))
        self._rewrite_content(event.content, key)
        if event.original_content is not None:
            self._rewrite_content(event.original_content, key)
        if IMPORTED_SENDER not in event.content:
            event.content[IMPORTED_SENDER] = self._senders[event.sender_id]

    def _rewrite_content(self, content: dict[str, Any], reference: str | None) -> None:
        if reference is not None and (old := content.get(reference)):
            content[reference] = self._map_id(old)
        for key in MEDIA_KEYS:
            if key in content:
                old = content[key]
                known = self._media_ids.get(old) if isinstance(old, str) else None
                content[key] = known or self._map_id(old)

    def _map_id(self, old: Any) -> Any:
        """Leave values that are not UUIDs unchanged; they do not refer to anything."""
        return self.new_id(old) if isinstance(old, str) and _UUID.match(old) else old


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
