"""What an import changes in events: ids, and who says who said it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rooms.bundle.format import IMPORTED_SENDER, MEDIA_KEYS, REFERENCES
from tenants.models.directory import MAX_NAME_CHARS

if TYPE_CHECKING:
    from rooms.bundle.reader import BundleEvent, Sender

_LONGEST_URL = 1000
_LONGEST_FQID = 512
_UUID = re.compile(r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
# The two highest bits of a UUID's 17th digit say its variant, here that of RFC 9562.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class IdMapper:
    """The new id of everything that comes with a room, worked out from the room and the old id.

    So a reference can be rewritten without having seen what it refers to, and millions of ids
    need no memory. They are UUIDs of version 8 (RFC 9562). The time at the beginning of a UUIDv7
    stays, which keeps neighbours together in the index; everything else is a keyed hash.
    """

    def __init__(self, room_id: UUID) -> None:
        self._keyed = blake2b(key=room_id.bytes, digest_size=16)

    def __call__(self, old: str) -> str:
        """`old` is a UUID in lower-case hexadecimal with hyphens; so is the new one."""
        hashed = self._keyed.copy()
        hashed.update(old.encode())
        h = hashed.hexdigest()
        stem = old[:13] if old[14] == "7" else f"{h[20:28]}-{h[28:]}"
        return f"{stem}-8{h[:3]}-{_VARIANT[h[3]]}{h[4:7]}-{h[7:19]}"


class EventRewriter:
    """Rewrites the contents of events in place.

    `media_ids` has the new ids of media that is here now; ids of other media are derived, so that
    they lead nowhere, and to the same nowhere each.
    """

    def __init__(
        self, new_id: IdMapper, *, senders: Mapping[str, Sender], media_ids: Mapping[str, str]
    ) -> None:
        self.new_id = new_id
        self._media_ids = media_ids
        self._senders = {key: _imported_sender(sender) for key, sender in senders.items()}

    def rewrite(self, event: BundleEvent) -> None:
        key, _ = REFERENCES.get(event.event_type, (None, False))
        self._follow(event.content, key)
        if event.original_content is not None:
            self._follow(event.original_content, key)
        if IMPORTED_SENDER not in event.content:
            event.content[IMPORTED_SENDER] = self._senders[event.sender_id]

    def _follow(self, content: dict[str, Any], reference: str | None) -> None:
        if reference is not None and (old := content.get(reference)):
            content[reference] = self._derived(old)
        for key in MEDIA_KEYS:
            if key in content:
                old = content[key]
                known = self._media_ids.get(old) if isinstance(old, str) else None
                content[key] = known or self._derived(old)

    def _derived(self, old: Any) -> Any:
        """What is no id stays as it is: it refers to nothing there, nor here."""
        return self.new_id(old) if isinstance(old, str) and _UUID.match(old) else old


def _imported_sender(sender: Sender) -> dict[str, Any]:
    """No longer than a participant's own: it is written with every event, so that a few long
    ones would make a small bundle fill the disk."""
    avatar_url = sender.avatar_url
    return {
        "display_name": sender.display_name[:MAX_NAME_CHARS],
        # Half an address leads to somewhere else.
        "avatar_url": avatar_url if len(avatar_url or "") <= _LONGEST_URL else "",
        "fqid": sender.fqid[:_LONGEST_FQID],
    }
