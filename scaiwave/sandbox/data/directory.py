"""The directory and everything that can happen to it.

Each public verb here is a mutation that `/sandbox/mutate` and the journal can call by name with
JSON arguments. Raises UnknownEntity for an id that isn't there, InvalidMutation for nonsense.
"""

from __future__ import annotations

import random
from typing import Any

from scaiwave.sandbox.data.names import CULTURES, spellings
from scaiwave.sandbox.data.population import DELETED, EVERYTHING, Population, Row, decoded
from scaiwave.sandbox.data.roster import ADDED, MembershipIndex
from scaiwave.sandbox.errors import InvalidMutation

MUTATIONS = frozenset(
    {
        "add_partner",
        "update_partner",
        "remove_partner",
        "add_tenant",
        "update_tenant",
        "remove_tenant",
        "add_user",
        "update_user",
        "suspend_user",
        "set_roles",
        "move_user",
        "remove_user",
        "add_group",
        "update_group",
        "remove_group",
        "add_member",
        "remove_member",
        "change_share",
    }
)
USER_FIELDS = frozenset(
    {
        "email",
        "first_name",
        "last_name",
        "display_name",
        "status",
        "mfa_enabled",
        "avatar_url",
        "roles",
    }
)
GROUP_FIELDS = frozenset({"name", "description", "group_type"})


class Directory(Population):
    """A population that people join, leave and change; what is added gets the next id."""

    _added_partners = 0
    _added_tenants = 0

    def add_partner(self, *, name: str, slug: str) -> str:
        with self.lock:
            self._refuse_slug(slug, self.partners)
            row = self._partner_row(ADDED + self._added_partners, name=name, slug=slug)
            self._added_partners += 1
            self.partners[row["id"]] = row
            return str(row["id"])

    def update_partner(self, partner_id: str, **fields: Any) -> None:
        with self.lock:
            row = self.partner(partner_id)
            _check_fields(fields, allowed=frozenset(row) - {"id"})
            self._refuse_slug(fields.get("slug"), self.partners, besides=partner_id)
            self.partners[partner_id] = {**row, **fields}

    def remove_partner(self, partner_id: str, *, soft: bool = False) -> None:
        """Remove a partner and its tenants. For `soft` see `remove_user`."""
        with self.lock:
            row = self.partner(partner_id)
            self._keep_deleted(row, soft=soft)
            del self.partners[row["id"]]
            for tenant in list(self.tenants.values()):
                if tenant["partner_id"] == partner_id:
                    self.remove_tenant(tenant["id"], soft=soft)

    def add_tenant(
        self, *, name: str, slug: str, partner_id: str | None = None, people: int = 0
    ) -> str:
        """Add a tenant with so many people; without a partner given, to the first one."""
        with self.lock:
            self._refuse_slug(slug, self.tenants)
            owner = (
                self.partner(partner_id)["id"] if partner_id else next(iter(self.partners), None)
            )
            index = ADDED + self._added_tenants
            row = self._tenant_row(index, name=name, slug=slug, partner_id=owner)
            self._added_tenants += 1
            self.tenants[row["id"]] = row
            self.people.welcome(row["id"], slug)
            self.changed()
            for _ in range(people):
                self.add_user(row["id"])
            return str(row["id"])

    def update_tenant(self, tenant_id: str, **fields: Any) -> None:
        """Rename, suspend, or move to another partner: whatever the fields say."""
        with self.lock:
            row = self.tenant(tenant_id)
            _check_fields(fields, allowed=frozenset(row) - {"id"})
            self._refuse_slug(fields.get("slug"), self.tenants, besides=tenant_id)
            if fields.get("partner_id"):
                self.partner(fields["partner_id"])
            self.tenants[tenant_id] = {**row, **fields}
            self.changed()

    def remove_tenant(self, tenant_id: str, *, soft: bool = False) -> None:
        """Remove a tenant with its people and groups. For `soft` see `remove_user`."""
        with self.lock:
            row = self.tenant(tenant_id)
            self._keep_deleted(row, soft=soft)
            del self.tenants[row["id"]]
            self.changed()

    def add_user(self, tenant_id: str, **fields: Any) -> str:
        """Add a person, who has a name and an address also when no field gives them."""
        _check_fields(fields, allowed=USER_FIELDS)
        with self.lock:
            index = self.people.add(self.tenant(tenant_id)["id"], dict(fields))
            self.changed()
            return self.people.ids.encode(index)

    def update_user(self, user_id: str, **fields: Any) -> None:
        _check_fields(fields, allowed=USER_FIELDS)
        with self.lock:
            index = self.user_index(user_id)
            self._change_kind(self.people.roster, index, fields.pop("status", None))
            self.people.change(index, fields)
            self.changed()

    def suspend_user(self, user_id: str) -> None:
        self.update_user(user_id, status="SUSPENDED")

    def set_roles(self, user_id: str, roles: list[str] | None) -> None:
        """Say which roles a person has; nobody's row says so before. None is told as null."""
        self.update_user(user_id, roles=roles)

    def move_user(self, user_id: str, tenant_id: str) -> None:
        """Move a person to another tenant; groups of the old one are left behind."""
        with self.lock:
            index, target = self.user_index(user_id), self.tenant(tenant_id)["id"]
            old, status = self._place(self.people.roster, index)
            if old != target:
                self.groups.forget_person(index, old)
                self.people.roster.place(index, (target, status))
                self.changed()

    def remove_user(self, user_id: str, *, soft: bool = False) -> None:
        """Remove a person from all lists and groups.

        With `soft`, GET by id still answers 200, with status DELETED. ScaiKey documents that it
        deletes softly, but not how that looks; this form is an assumption.
        """
        with self.lock:
            index = self.user_index(user_id)
            self._keep_deleted(self.user(user_id), soft=soft)
            self.groups.forget_person(index, self._place(self.people.roster, index)[0])
            self.people.roster.place(index, None)
            self.changed()

    def add_group(self, tenant_id: str, **fields: Any) -> str:
        _check_fields(fields, allowed=GROUP_FIELDS)
        with self.lock:
            index = self.groups.add(self.tenant(tenant_id)["id"], dict(fields))
            self.changed()
            return self.groups.ids.encode(index)

    def update_group(self, group_id: str, **fields: Any) -> None:
        _check_fields(fields, allowed=GROUP_FIELDS)
        with self.lock:
            index = self.group_index(group_id)
            self._change_kind(self.groups.roster, index, fields.pop("group_type", None))
            self.groups.change(index, fields)
            self.changed()

    def remove_group(self, group_id: str, *, soft: bool = False) -> None:
        """Remove a group from all lists and from other groups. For `soft` see `remove_user`."""
        with self.lock:
            index = self.group_index(group_id)
            self._keep_deleted(self.group(group_id), soft=soft)
            self.groups.roster.place(index, None)
            self.changed()

    def add_member(
        self, group_id: str, *, user_id: str | None = None, member_group_id: str | None = None
    ) -> bool:
        """Put a person or a group into a group; False when it is in already."""
        return self._set_member(group_id, user_id, member_group_id, present=True)

    def remove_member(
        self, group_id: str, *, user_id: str | None = None, member_group_id: str | None = None
    ) -> bool:
        """Take a person or a group out of a group; False when it isn't in."""
        return self._set_member(group_id, user_id, member_group_id, present=False)

    def _set_member(
        self, group_id: str, user_id: str | None, member_group_id: str | None, *, present: bool
    ) -> bool:
        with self.lock:
            group = self.group_index(group_id)
            if user_id is not None and member_group_id is None:
                return self.groups.set_member(group, self.user_index(user_id), present=present)
            if member_group_id is not None and user_id is None:
                child = self.group_index(member_group_id)
                return self.groups.set_child(group, child, present=present)
        raise InvalidMutation(
            "A member is either a person or a group.",
            fix="Give one of user_id and member_group_id.",
        )

    def change_share(self, share: float, seed: int = 0) -> dict[str, int]:
        """Change so big a share (0 to 1) of the people: 70 % renamed, 15 % removed, 15 % added."""
        if not 0 <= share <= 1:
            raise InvalidMutation(
                f"A share of {share} is none.", fix="Give a share between 0 and 1."
            )
        with self.lock:
            luck = random.Random(f"{self.seed}/{seed}")
            total = self.user_list(EVERYTHING, 0, 0)[1]
            count = round(total * share)
            chosen = [self._user_at(place) for place in luck.sample(range(total), count)]
            renamed = round(count * 0.7)
            removed = round(count * 0.15)
            self._rename(chosen[:renamed], luck)
            for user_id in chosen[renamed : renamed + removed]:
                self.remove_user(user_id)
            for user_id in chosen[renamed + removed :]:
                self.add_user(str(self.tenant_of_user(user_id)["id"]))
            return {"renamed": renamed, "removed": removed, "added": count - renamed - removed}

    def _rename(self, user_ids: list[str], luck: random.Random) -> None:
        """Give each a second family name after the first, which differs from any name before."""
        for user_id in user_ids:
            row = self.user(user_id)
            married = decoded(f"{{{luck.choice(spellings(luck.randrange(len(CULTURES)))).full}}}")
            family = "-".join(filter(None, [row["last_name"], married["last_name"]]))
            first = row["first_name"] or married["first_name"]
            self.update_user(
                user_id, first_name=first, last_name=family, display_name=f"{first} {family}"
            )

    def _user_at(self, place: int) -> str:
        return str(decoded(self.user_list(EVERYTHING, place, 1)[0][0])["id"])

    def _place(self, roster: MembershipIndex, index: int) -> tuple[str, str]:
        place = roster.where(index)
        if place is None:
            raise LookupError(f"Nobody has index {index}.")
        return place

    def _change_kind(self, roster: MembershipIndex, index: int, kind: str | None) -> None:
        if kind is not None:
            roster.place(index, (self._place(roster, index)[0], kind))

    def _keep_deleted(self, row: Row, *, soft: bool) -> None:
        if soft:
            self.deleted[row["id"]] = {**row, "status": DELETED}

    def _refuse_slug(
        self, slug: str | None, rows: dict[str, Row], *, besides: str | None = None
    ) -> None:
        if any(row["slug"] == slug and row["id"] != besides for row in rows.values()):
            raise InvalidMutation(f"The slug {slug!r} is taken.", fix="Choose another slug.")


def _check_fields(fields: dict[str, Any], *, allowed: frozenset[str]) -> None:
    unknown = sorted(set(fields) - allowed)
    if unknown:
        raise InvalidMutation(
            f"Nothing here has the field {unknown[0]!r}.",
            fix=f"Take one of {', '.join(sorted(allowed))}.",
        )
