"""The records of a scripted ScaiKey, and the facts about them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

COLLECTIONS = ("partners", "tenants", "users", "groups")
CONTAINED = {
    "partners": (("tenants", "partner_id"),),
    "tenants": (("groups", "tenant_id"), ("users", "tenant_id")),
}

Fact = tuple[str, ...]
"""A true statement, such as ("member", group, member). No run may end it while it is true."""


class Listing:
    """One list of the directory: ordered rows, encoded once, and what was deleted recently."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.encoded: dict[str, bytes] = {}
        self.previous: dict[str, bytes] = {}
        self.recently_deleted: list[tuple[int, str]] = []

    def put(self, key: str, row: dict[str, Any], position: float = 1.0) -> None:
        """Add a row between the first position (0.0) and the last (1.0), or change it."""
        if key in self.rows:
            self.previous[key] = self.encoded[key]
        else:
            self.keys.insert(round(position * len(self.keys)), key)
        self.rows[key] = row
        self.encoded[key] = msgspec.json.encode(row)

    def delete(self, keys: Collection[str]) -> None:
        positions = [position for position, key in enumerate(self.keys) if key in keys]
        self.recently_deleted += [
            (position, self.keys[position]) for position in reversed(positions)
        ]
        self.keys = [key for key in self.keys if key not in keys]
        for key in keys:
            self.rows.pop(key, None)

    def list_lagging_keys(self) -> list[str]:
        """Return the keys of a replica without the latest removals."""
        keys, present = self.keys.copy(), set(self.keys)
        for position, key in reversed(self.recently_deleted):
            if key not in present:
                present.add(key)
                keys.insert(position, key)
        return keys


class DirectoryRecords:
    """What ScaiKey really has, with what was deleted softly."""

    def __init__(self) -> None:
        self.lists = {name: Listing() for name in COLLECTIONS}
        self.members: dict[str, Listing] = {}
        self.deleted: dict[tuple[str, str], dict[str, Any]] = {}
        self._numbers = dict.fromkeys(COLLECTIONS, 0)

    def collect_facts(self) -> set[Fact]:
        partners, tenants, users, groups = (self.lists[name].rows for name in COLLECTIONS)
        facts: set[Fact] = set()
        for key, row in partners.items():
            facts |= {("partner", key), ("partner status", key, row["status"])}
        for key, row in tenants.items():
            facts |= {("tenant", key), ("tenant status", key, row["status"])}
            facts.add(("tenant of", key, row["partner_id"]))
        for key, row in users.items():
            facts.add(("person", row["tenant_id"], key))
            facts.add(("person status", row["tenant_id"], key, row["status"]))
            facts.update(("role", row["tenant_id"], key, role) for role in row["roles"])
        facts.update(("group", row["tenant_id"], key) for key, row in groups.items())
        facts.update(
            ("member", group, member_id)
            for group in groups
            for member_id in self.members[group].rows
        )
        return facts

    def update_replicas(self) -> None:
        """Remove the recently deleted rows from lagging replicas, too."""
        for listing in (*self.lists.values(), *self.members.values()):
            listing.recently_deleted.clear()

    def new_id(self, collection: str) -> str:
        self._numbers[collection] += 1
        prefix = {"partners": "prt", "tenants": "tnt", "users": "usr", "groups": "grp"}[collection]
        return f"{prefix}_{self._numbers[collection]}"

    def list_contained(self, collection: str, tenant_id: str) -> list[str]:
        rows = self.lists[collection].rows
        return [key for key, row in rows.items() if row["tenant_id"] == tenant_id]

    def change(self, collection: str, keys: Collection[str], **fields: Any) -> None:
        listing = self.lists[collection]
        for key in keys:
            listing.put(key, {**listing.rows[key], **fields})

    def remove(self, collection: str, keys: Collection[str], *, soft: bool) -> None:
        """Remove records with what they contain; with `soft` a look-up returns them as DELETED."""
        listing, ids = self.lists[collection], set(keys)
        for inner, column in CONTAINED.get(collection, ()):
            rows = self.lists[inner].rows
            self.remove(inner, [key for key, row in rows.items() if row[column] in ids], soft=soft)
        if soft:
            self.deleted |= {(collection, key): listing.rows[key] for key in ids}
        listing.delete(ids)
        self.leave_groups(ids)
        for key in ids:
            self.members.pop(key, None)

    def leave_groups(self, ids: Collection[str]) -> None:
        for listing in self.members.values():
            if removed := [key for key in listing.rows if key in ids]:
                listing.delete(set(removed))

    def add_group(self, tenant: str, members: Collection[str], position: float = 1.0) -> str:
        key = self.new_id("groups")
        row = {"id": key, "name": f"Group {key}", "tenant_id": tenant, "group_type": "SECURITY"}
        self.lists["groups"].put(key, row, position)
        self.members[key] = Listing()
        for member_id in members:
            self.join(key, member_id)
        return key

    def join(self, group: str, member_id: str, position: float = 1.0) -> None:
        row = {"user_id": member_id, "membership_type": "DIRECT"}
        if not is_person(member_id):
            row = {"member_group_id": member_id}
        self.members[group].put(member_id, row, position)


def is_person(key: str) -> bool:
    return key.startswith("usr_")
