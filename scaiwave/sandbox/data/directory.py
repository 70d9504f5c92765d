"""The directory with its mutations.

Each public method here is a mutation that `/sandbox/mutate` and the journal call by name with JSON
arguments. It raises UnknownEntity for an unknown ID and InvalidMutation for invalid arguments.
"""

from __future__ import annotations

import random
from typing import Any

from scaiwave.sandbox.data.names import LOCALES, build_names
from scaiwave.sandbox.data.population import DELETED, EVERYTHING, Population, decode_row
from scaiwave.sandbox.data.roster import FIRST_ADDED_INDEX, Row
from scaiwave.sandbox.errors import InvalidMutation

USER_FIELDS = frozenset(
    (
        *("email", "first_name", "last_name", "display_name", "status", "mfa_enabled"),
        *("avatar_url", "roles"),
    )
)
GROUP_FIELDS = frozenset({"name", "description", "group_type"})
ROWS_READ = 1000


class Directory(Population):
    """A population that can be changed; an added entity gets the next ID."""

    _added_partners = 0
    _added_tenants = 0

    def add_partner(self, *, name: str, slug: str) -> str:
        with self.lock:
            self._check_slug_is_free(slug, self.partners)
            row = self._build_partner(
                FIRST_ADDED_INDEX + self._added_partners, name=name, slug=slug
            )
            self._added_partners += 1
            self.partners[row["id"]] = row
            return str(row["id"])

    def update_partner(self, partner_id: str, **fields: Any) -> None:
        with self.lock:
            row = self.get("partner", partner_id)
            _check_fields(fields, allowed=frozenset(row) - {"id"})
            self._check_slug_is_free(fields.get("slug"), self.partners, besides=partner_id)
            self.partners[partner_id] = {**row, **fields}

    def remove_partner(self, partner_id: str, *, soft: bool = False) -> None:
        """Remove a partner and its tenants. For `soft`, see `remove_user`."""
        with self.lock:
            row = self.get("partner", partner_id)
            self._remember_deleted(row, soft=soft)
            del self.partners[row["id"]]
            for tenant in list(self.tenants.values()):
                if tenant["partner_id"] == partner_id:
                    self.remove_tenant(tenant["id"], soft=soft)

    def add_tenant(
        self, *, name: str, slug: str, partner_id: str | None = None, people: int = 0
    ) -> str:
        """Add a tenant with `people` people, by default to the first partner."""
        with self.lock:
            self._check_slug_is_free(slug, self.tenants)
            owner = (
                self.get("partner", partner_id)["id"]
                if partner_id
                else next(iter(self.partners), None)
            )
            index = FIRST_ADDED_INDEX + self._added_tenants
            row = self._build_tenant(index, name=name, slug=slug, partner_id=owner)
            self._added_tenants += 1
            self.tenants[row["id"]] = row
            self.people.add_tenant(row["id"], slug)
            self.clear_cache()
            for _ in range(people):
                self.add_user(row["id"])
            return str(row["id"])

    def update_tenant(self, tenant_id: str, **fields: Any) -> None:
        """Change fields: rename or suspend a tenant, or move it to another partner."""
        with self.lock:
            row = self.get("tenant", tenant_id)
            _check_fields(fields, allowed=frozenset(row) - {"id"})
            self._check_slug_is_free(fields.get("slug"), self.tenants, besides=tenant_id)
            if fields.get("partner_id"):
                self.get("partner", fields["partner_id"])
            self.tenants[tenant_id] = {**row, **fields}
            self.clear_cache()

    def remove_tenant(self, tenant_id: str, *, soft: bool = False) -> None:
        """Remove a tenant with its people and groups. For `soft`, see `remove_user`."""
        with self.lock:
            row = self.get("tenant", tenant_id)
            self._remember_deleted(row, soft=soft)
            del self.tenants[row["id"]]
            self.clear_cache()

    def add_user(self, tenant_id: str, **fields: object) -> str:
        """Add a person. Without fields for them, name and e-mail address are generated."""
        _check_fields(fields, allowed=USER_FIELDS)
        with self.lock:
            index = self.people.add(self.get("tenant", tenant_id)["id"], dict(fields))
            self.clear_cache()
            return self.people.ids.encode(index)

    def update_user(self, user_id: str, **fields: Any) -> None:
        _check_fields(fields, allowed=USER_FIELDS)
        with self.lock:
            index, tenant_id, _ = self.locate("user", user_id)
            if status := fields.pop("status", None):
                self.people.roster.move(index, (tenant_id, status))
            self.people.change(index, fields)
            self.clear_cache()

    def suspend_user(self, user_id: str) -> None:
        self.update_user(user_id, status="SUSPENDED")

    def set_roles(self, user_id: str, roles: list[str] | None) -> None:
        """Set a person's roles; None is sent as null. Other people's rows have no roles."""
        self.update_user(user_id, roles=roles)

    def move_user(self, user_id: str, tenant_id: str) -> None:
        """Move a person to another tenant, and remove it from the groups of the old one."""
        with self.lock:
            target = self.get("tenant", tenant_id)["id"]
            index, old, status = self.locate("user", user_id)
            if old != target:
                self.groups.remove_person(index, old)
                self.people.roster.move(index, (target, status))
                self.clear_cache()

    def remove_user(self, user_id: str, *, soft: bool = False) -> None:
        """Remove a person from all lists and groups.

        With `soft`, GET by ID still returns it, with status DELETED. ScaiKey documents that it
        deletes softly, but not how that is represented; this form is an assumption.
        """
        with self.lock:
            index, tenant_id, _ = self.locate("user", user_id)
            self._remember_deleted(self.get("user", user_id), soft=soft)
            self.groups.remove_person(index, tenant_id)
            self.people.roster.move(index, None)
            self.clear_cache()

    def add_group(self, tenant_id: str, **fields: object) -> str:
        _check_fields(fields, allowed=GROUP_FIELDS)
        with self.lock:
            index = self.groups.add(self.get("tenant", tenant_id)["id"], dict(fields))
            self.clear_cache()
            return self.groups.ids.encode(index)

    def update_group(self, group_id: str, **fields: Any) -> None:
        _check_fields(fields, allowed=GROUP_FIELDS)
        with self.lock:
            index, tenant_id, _ = self.locate("group", group_id)
            if group_type := fields.pop("group_type", None):
                self.groups.roster.move(index, (tenant_id, group_type))
            self.groups.change(index, fields)
            self.clear_cache()

    def remove_group(self, group_id: str, *, soft: bool = False) -> None:
        """Remove a group from all lists and from other groups. For `soft`, see `remove_user`."""
        with self.lock:
            index = self.locate("group", group_id)[0]
            self._remember_deleted(self.get("group", group_id), soft=soft)
            self.groups.roster.move(index, None)
            self.clear_cache()

    def add_member(
        self, group_id: str, *, user_id: str | None = None, member_group_id: str | None = None
    ) -> bool:
        """Add a person or a group to a group; return False if it was a member already."""
        return self._set_member(group_id, user_id, member_group_id, present=True)

    def remove_member(
        self, group_id: str, *, user_id: str | None = None, member_group_id: str | None = None
    ) -> bool:
        """Remove a person or a group from a group; return False if it was not a member."""
        return self._set_member(group_id, user_id, member_group_id, present=False)

    def _set_member(
        self, group_id: str, user_id: str | None, member_group_id: str | None, *, present: bool
    ) -> bool:
        with self.lock:
            group = self.locate("group", group_id)[0]
            if user_id is not None and member_group_id is None:
                person = self.locate("user", user_id)[0]
                return self.groups.set_member(group, person, present=present)
            if member_group_id is not None and user_id is None:
                child = self.locate("group", member_group_id)[0]
                return self.groups.set_child(group, child, present=present)
        raise InvalidMutation(
            "A member is either a person or a group.",
            fix="Give either user_id or member_group_id.",
        )

    def change_share(self, share: float, seed: int = 0) -> dict[str, int]:
        """Change a share (0 to 1) of the people: rename 70% of it, remove 15%, add 15%."""
        with self.lock:
            rng = random.Random(f"{self.seed}/{seed}")
            chosen = self._choose_people(share, rng)
            count = len(chosen)
            renamed = round(count * 0.7)
            removed = round(count * 0.15)
            # Append a second family name, so that the new name differs from the old one.
            for user_id in chosen[:renamed]:
                row = self.get("user", user_id)
                married = decode_row(
                    f"{{{rng.choice(build_names(rng.randrange(len(LOCALES)))).full}}}"
                )
                family = "-".join(filter(None, [row["last_name"], married["last_name"]]))
                first = row["first_name"] or married["first_name"]
                self.update_user(
                    user_id, first_name=first, last_name=family, display_name=f"{first} {family}"
                )
            for user_id in chosen[renamed : renamed + removed]:
                self.remove_user(user_id)
            for user_id in chosen[renamed + removed :]:
                self.add_user(str(self.get_tenant_of_user(user_id)["id"]))
            return {"renamed": renamed, "removed": removed, "added": count - renamed - removed}

    def move_share(self, share: float, seed: int = 0) -> int:
        """Move a share (0 to 1) of the people, each to the next tenant; return how many."""
        with self.lock:
            chosen = self._choose_people(share, random.Random(f"{self.seed}/{seed}"))
            tenants = list(self.tenants)
            following = dict(zip(tenants, [*tenants[1:], *tenants[:1]], strict=True))
            for user_id in chosen:
                self.move_user(user_id, following[str(self.get_tenant_of_user(user_id)["id"])])
            return len(chosen)

    def _choose_people(self, share: float, rng: random.Random) -> list[str]:
        if not 0 <= share <= 1:
            raise InvalidMutation(f"Invalid share: {share}.", fix="Give a share between 0 and 1.")
        total = self.list_users(EVERYTHING, 0, 0)[1]
        offsets = rng.sample(range(total), round(total * share))
        ids = dict.fromkeys(offsets, "")
        # Each list passes over all tenants.
        for start in range(0, total, ROWS_READ):
            for offset, row in enumerate(self.list_users(EVERYTHING, start, ROWS_READ)[0], start):
                if offset in ids:
                    ids[offset] = str(decode_row(row)["id"])
        return list(ids.values())

    def _remember_deleted(self, row: Row, *, soft: bool) -> None:
        if soft:
            self.deleted[row["id"]] = {**row, "status": DELETED}

    def _check_slug_is_free(
        self, slug: str | None, rows: dict[str, Row], *, besides: str | None = None
    ) -> None:
        if any(row["slug"] == slug and row["id"] != besides for row in rows.values()):
            raise InvalidMutation(f"Slug already in use: {slug}.", fix="Choose another slug.")


def _check_fields(fields: dict[str, object], *, allowed: frozenset[str]) -> None:
    unknown = sorted(set(fields) - allowed)
    if unknown:
        raise InvalidMutation(
            f"Unknown field: {unknown[0]!r}.", fix=f"Use one of {', '.join(sorted(allowed))}."
        )


MUTATIONS = frozenset(name for name in vars(Directory) if not name.startswith("_"))
