"""Rewrite the content of imported events: new IDs, and the original sender of each event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rooms.bundle.format import (
    AVATAR_MEDIA,
    IMPORTED_SENDER,
    MEDIA_KEYS,
    REFERENCE_KEYS,
    UNVERIFIED,
    add_hyphens,
    normalize_id,
)
from rooms.lookup.authors import Erasure, normalize_fqid
from tenants.lookup.validators import clean_avatar_url
from tenants.models.directory import DELETED_NAME, MAX_NAME_CHARS

if TYPE_CHECKING:
    from rooms.bundle.manifest.events import Batch, BundleEvent
    from rooms.bundle.manifest.schema import Sender

_MAX_FQID_CHARS = 512
_CONTAINERS = frozenset({dict, list})
# A byte of a UUID has its version in the upper half; another has its variant in the two highest
# bits. These tables set the version and the variant of the new IDs.
_TO_VERSION_8 = bytes(0x80 | byte & 0x0F for byte in range(256))
_TO_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
_VERSION_7 = bytes(range(0x70, 0x80))
_ID_BYTES, _TIME_BYTES, _VERSION_BYTE, _VARIANT_BYTE = 16, 6, 6, 8
"""The length of a UUID and of its timestamp, and the positions of the bytes with the others."""


def is_bare(content: Mapping[str, Any], original_content: object) -> bool:
    """Return whether an event has no text left, as a redaction or an erasure leaves it."""
    is_empty = content.keys() <= {"msgtype", "body", IMPORTED_SENDER} and not content.get("body")
    return is_empty and original_content is None


class IdMapper:
    """Computes the new ID of anything in a room from the room's ID and the old ID.

    So a reference can be rewritten before its target was read, and millions of IDs need no memory.
    The new IDs are UUIDs of version 8 (RFC 9562). The timestamp at the beginning of a UUIDv7 is
    kept, so that neighbours stay together in the index; the rest is the old ID, encrypted.
    """

    def __init__(self, room_id: UUID) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # Each ID is a block of its own: equal IDs must stay equal.
        mode = modes.ECB()  # noqa: S305 — nothing is kept secret with it
        self._encrypt = Cipher(algorithms.AES(room_id.bytes), mode).encryptor().update

    def __call__(self, old: str) -> str:
        """Old and new are UUIDs in lower-case hexadecimal with hyphens."""
        return add_hyphens(self.map_to_hex([old])[0])

    def map_to_hex(self, olds: Sequence[str]) -> list[str]:
        """Return the new IDs of several, each as 32 digits.

        Goes byte by byte, so that each step handles all IDs.
        """
        if not olds:
            return []
        raw = bytes.fromhex("".join(olds).replace("-", ""))
        new = bytearray(self._encrypt(raw))
        versions = slice(_VERSION_BYTE, None, _ID_BYTES)
        variants = slice(_VARIANT_BYTE, None, _ID_BYTES)
        new[versions] = new[versions].translate(_TO_VERSION_8)
        new[variants] = new[variants].translate(_TO_VARIANT)
        if raw[versions].strip(_VERSION_7):
            for start in range(0, len(raw), _ID_BYTES):
                if raw[start + _VERSION_BYTE] in _VERSION_7:
                    time = slice(start, start + _TIME_BYTES)
                    new[time] = raw[time]
        else:  # all have a timestamp
            for byte in range(_TIME_BYTES):
                new[byte::_ID_BYTES] = raw[byte::_ID_BYTES]
        return new.hex("\n", _ID_BYTES).split("\n")


class EventRewriter:
    """Rewrites the content of events in place.

    `media_ids` maps to the new IDs of files that exist here. Other media IDs are mapped like event
    IDs: they refer to nothing, and equal IDs stay equal. A reference that is not a UUID in any
    spelling is deleted: the platform might still find the file of another room with it.

    `origin` decides whether the original senders of the bundle count. `replaced_senders` counts
    the events whose own original sender was replaced by the sender in the bundle, `removed_avatars`
    the senders, of the bundle and of events, whose avatar was removed.

    `erasures` are people whose data was erased here, by address or ID: it does not come back.
    `emptied` has the new IDs, as 32 digits, of events that are empty here and stay so.
    `erased_events` counts both, and `erased_media` has the new IDs of their files.
    """

    def __init__(
        self,
        new_id: IdMapper,
        *,
        senders: Mapping[str, Sender],
        media_ids: Mapping[str, str],
        origin: BundleOrigin,
        erasures: Mapping[str, Erasure] | None = None,
    ) -> None:
        self.new_id = new_id
        self.replaced_senders = self.removed_avatars = self.erased_events = 0
        self.erased_media, self.emptied = set[str](), set[str]()
        self._erasures = erasures or {}
        self._of_messages = {fqid: each for fqid, each in self._erasures.items() if each.until}
        self._media_ids = media_ids
        self._origin = origin
        self.senders = {
            key: self._take_over(
                {
                    # They are repeated in every event, so a few long ones would let a small bundle
                    # fill the disk.
                    **sender.imported_sender,
                    "display_name": sender.display_name[:MAX_NAME_CHARS],
                    "fqid": sender.fqid[:_MAX_FQID_CHARS],
                }
            )
            for key, sender in senders.items()
        }

    def rewrite_ids(self, batch: Batch) -> None:
        types, contents = batch.columns.event_types, batch.columns.contents
        originals = batch.columns.original_contents
        self._rewrite_references(zip(types, contents, strict=True))
        self._rewrite_references(compress(zip(types, originals, strict=True), originals))
        self._rewrite_all_media([*contents, *filter(None, originals)])

    def rewrite(self, batch: Batch) -> None:
        self._erase_messages(batch)
        self.rewrite_ids(batch)
        contents, originals = batch.columns.contents, batch.columns.original_contents
        senders = self.senders
        for content, original, sender_id in zip(
            contents, originals, batch.columns.sender_ids, strict=True
        ):
            if original and IMPORTED_SENDER in original:
                original[IMPORTED_SENDER] = self._get_sender(sender_id, original)
            if IMPORTED_SENDER not in content:
                content[IMPORTED_SENDER] = senders[sender_id]
                continue
            given = content[IMPORTED_SENDER]
            content[IMPORTED_SENDER] = self._get_sender(sender_id, content)
            if isinstance(given, dict) and self._clean(given) != content[IMPORTED_SENDER]:
                self.replaced_senders += 1

    def _erase_messages(self, batch: Batch) -> None:
        """Empty events that were emptied here, and the events of people whose messages were erased.

        Call it before anything reads the columns of the batch.
        """
        if not self._of_messages and not self.emptied:
            return
        proven = self._origin.proven_until
        keys = self.new_id.map_to_hex([e.id for e in batch]) if self.emptied else repeat("")
        for event, key in zip(batch, keys, strict=False):
            content, erasure = event.content, self._find_erasure(event)
            is_later = not erasure.is_name and erasure.until < event.created_at <= proven
            is_erased = erasure.until and not is_later and event.event_type != "swp.room.member"
            is_emptied = key in self.emptied and not is_bare(content, event.original_content)
            if not is_erased and not is_emptied:
                continue
            self.erased_events += 1
            for each in filter(None, (content, event.original_content)):
                self._note_media(*map(each.get, MEDIA_KEYS))
            event.original_content = None
            if event.event_type == "swp.room.redaction" and not is_emptied:
                content.pop("reason", None)
                continue
            is_message = event.event_type == "swp.room.message"
            event.content = {"msgtype": "swp.text", "body": ""} if is_message else {}
            if IMPORTED_SENDER in content:
                event.content[IMPORTED_SENDER] = content[IMPORTED_SENDER]
            event.redacted_at = event.redacted_at or max(erasure.until or proven, event.created_at)

    def _find_erasure(self, event: BundleEvent) -> Erasure:
        """Return which messages of the author were erased.

        That is the sender, unless the bundle can prove another one in the content.
        """
        given, addresses = event.content.get(IMPORTED_SENDER), self._list_addresses(event.sender_id)
        if isinstance(given, dict) and given.get("fqid"):
            fqid = self._origin.normalize(str(given["fqid"]))
            is_other = self._origin.is_signed and fqid not in addresses
            addresses = [fqid] if is_other else [fqid, *addresses]
        return max(self._of_messages.get(address, Erasure()) for address in addresses)

    def _list_addresses(self, sender_id: str) -> list[str]:
        """Return what erasures may know the sender of an event by."""
        return [str(self.senders[sender_id]["fqid"])]

    def _find_media(self, old: Any) -> str | None:
        """Return the ID here of an attachment, or None if it has none."""
        return self._media_ids.get(normalize_id(old) or "")

    def _note_media(self, *olds: Any) -> None:
        """Note files of erased content, which the room may no longer need."""
        self.erased_media.update(filter(None, map(self._find_media, olds)))

    def _get_sender(self, sender_id: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return the original sender in the content if the bundle can prove it, else its own."""
        given = content[IMPORTED_SENDER]
        if self._origin.is_signed and isinstance(given, dict):
            return self._take_over(given)
        return self.senders[sender_id]

    def _take_over(self, sender: dict[str, Any]) -> dict[str, Any]:
        cleaned = self._clean(sender)
        is_removed = sender.get("avatar_url") and not cleaned["avatar_url"]
        self.removed_avatars += bool(is_removed and cleaned.get("fqid") not in self._erasures)
        return cleaned

    def _clean(self, sender: dict[str, Any]) -> dict[str, Any]:
        """Mark a sender, and remove a name that was erased and an avatar that may not come."""
        sender, given = self._origin.mark(sender), sender.get("avatar_url")
        if (erasure := self._erasures.get(str(sender.get("fqid")))) and erasure.is_name:
            self._note_media(str(given).removeprefix(AVATAR_MEDIA))
            return {**sender, "display_name": DELETED_NAME, "avatar_url": ""}
        if not given:
            return sender
        avatar_url = ""
        if isinstance(given, str) and given.startswith(AVATAR_MEDIA):
            new = self._find_media(given.removeprefix(AVATAR_MEDIA))
            avatar_url = f"{AVATAR_MEDIA}{new}" if new else ""
        elif isinstance(given, str):
            # A bundle of others must not contain addresses of this server.
            hosts = frozenset() if self._origin.is_own else self._origin.hosts
            avatar_url = clean_avatar_url(given, hosts)
        return {**sender, "avatar_url": avatar_url}

    def _rewrite_references(self, contents: Iterable[tuple[str, Any]]) -> None:
        """Rewrite the references in contents, which have the types of their events."""
        found = [
            (content, key, normalize_id(content[key]))
            for kind, content in contents
            if (key := REFERENCE_KEYS.get(kind)) in content and content[key] is not None
        ]
        new_ids = iter(self.new_id.map_to_hex([old for _, _, old in found if old is not None]))
        for content, key, old in found:
            if old is not None:
                content[key] = add_hyphens(next(new_ids))
            else:
                del content[key]

    def _rewrite_all_media(self, objects: list[dict[str, Any]]) -> None:
        """Rewrite media IDs at any depth; types that are not known yet may have them there.

        Goes level by level, so that each step handles many values at once.
        """
        lists: list[list[Any]] = []
        while objects or lists:
            for key in MEDIA_KEYS:
                for content in [content for content in objects if key in content]:
                    if content[key] is None:
                        continue
                    if (old := normalize_id(content[key])) is not None:
                        content[key] = self._media_ids.get(old) or self.new_id(old)
                    else:
                        del content[key]
            values = chain(chain.from_iterable(map(dict.values, objects)), *lists)
            nested = [value for value in values if type(value) in _CONTAINERS]
            objects = [value for value in nested if type(value) is dict]
            lists = [value for value in nested if type(value) is list]


@dataclass(frozen=True)
class BundleOrigin:
    """What the signature of a bundle proves.

    `is_signed` is true if a known key has signed it, `is_own` if that is a key of this server,
    whose name is `server_name`. `hosts` are the names of this server, of its pages and its files.
    No event is known to be later than `proven_until`: the time of the import if it is signed.
    `is_doubtful` is true if that known key proves no name.
    """

    is_signed: bool
    is_own: bool
    server_name: str
    hosts: frozenset[str] = frozenset()
    proven_until: str = ""
    is_doubtful: bool = False

    def normalize(self, fqid: str) -> str:
        """Return an address of a sender as imported events have it."""
        return str(self.mark({"fqid": fqid})["fqid"])

    def mark(self, sender: dict[str, Any]) -> dict[str, Any]:
        """Mark senders of this server, or all of a doubtful bundle, unless this server signed it.

        The address of a sender gets its normal form, so that holds and erasures here cover every
        spelling of it.
        """
        if self.is_own:
            return sender
        fqid, is_doubtful = normalize_fqid(str(sender.get("fqid") or ""), self.server_name)
        marks = {UNVERIFIED: True} if is_doubtful or self.is_doubtful else {}
        return {**sender, **({"fqid": fqid} if "fqid" in sender else {}), **marks}
