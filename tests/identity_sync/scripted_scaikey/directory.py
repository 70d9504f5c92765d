"""The directory of a scripted ScaiKey: it is created and changed in bulk, picked by seeds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from tests.identity_sync.scripted_scaikey.records import DirectoryRecords
from tests.identity_sync.scripted_scaikey.script import CompactRepr, DirectoryChange

Change = Callable[[DirectoryRecords, Random, int], None]
"""Changes a number of records, which it picks at random."""

ROLES: tuple[list[str], ...] = ([], ["editors"], ["editors", "auditors"], ["tenant_admin"])


@dataclass(frozen=True, repr=False)
class Size(CompactRepr):
    """The size of a directory; `members` is the maximum of a group."""

    seed: int = 0
    partners: int = 1
    tenants: int = 1
    people: int = 1
    groups: int = 0
    members: int = 0


class RemoteDirectory(DirectoryRecords):
    """A directory of this size, and the changes of it."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        random = Random(size.seed)
        for name, number in (("partner", size.partners), ("tenant", size.tenants)):
            for _ in range(number):
                DIRECTORY_CHANGES[f"add_{name}"](self, random, 1)
        _add_people(self, random, size.people)
        for _ in range(size.groups):
            _add_group(self, random, size.members)

    def apply(self, change: DirectoryChange) -> None:
        DIRECTORY_CHANGES[change.name](self, Random(change.seed), change.number)


def sample_keys(random: Random, keys: Collection[str], number: int) -> list[str]:
    return random.sample(list(keys), min(number, len(keys)))


def _add_partner(directory: DirectoryRecords, random: Random, number: int) -> None:
    for _ in range(number):
        key = directory.new_id("partners")
        row = {"id": key, "name": f"Partner {key}", "slug": f"p-{key[4:]}", "status": "ACTIVE"}
        directory.lists["partners"].put(key, row, random.random())


def _add_tenant(directory: DirectoryRecords, random: Random, number: int) -> None:
    for _ in range(number):
        key = directory.new_id("tenants")
        row = {"id": key, "name": f"Tenant {key}", "slug": f"t-{key[4:]}", "status": "ACTIVE"}
        row["partner_id"] = random.choice(list(directory.lists["partners"].rows))
        directory.lists["tenants"].put(key, row, random.random())


def _add_people(directory: DirectoryRecords, random: Random, number: int) -> None:
    tenants = list(directory.lists["tenants"].rows)
    for _ in range(number if tenants else 0):
        key = directory.new_id("users")
        row = {"id": key, "display_name": f"Person {key[4:]}", "email": f"{key}@example.org"}
        row |= {"tenant_id": random.choice(tenants), "status": "ACTIVE"}
        directory.lists["users"].put(key, row | {"roles": random.choice(ROLES)}, random.random())


def _change_people(directory: DirectoryRecords, random: Random, number: int) -> None:
    for key in sample_keys(random, directory.lists["users"].rows, number):
        directory.change("users", [key], display_name=f"Renamed {random.randrange(1000)}")


def _change_roles(directory: DirectoryRecords, random: Random, number: int) -> None:
    for key in sample_keys(random, directory.lists["users"].rows, number):
        directory.change("users", [key], roles=random.choice(ROLES))


def _move_people(directory: DirectoryRecords, random: Random, number: int) -> None:
    """Move people to another tenant, which ends their memberships."""
    moving = set(sample_keys(random, directory.lists["users"].rows, number))
    directory.leave_groups(moving)
    tenants = list(directory.lists["tenants"].rows)
    for key in sorted(moving):
        directory.change("users", [key], tenant_id=random.choice(tenants))


def _revive_people(directory: DirectoryRecords, random: Random, number: int) -> None:
    """Undo soft deletions."""
    tenants = directory.lists["tenants"].rows
    for key in [key for collection, key in directory.deleted if collection == "users"][:number]:
        row = directory.deleted.pop(("users", key))
        if row["tenant_id"] in tenants:
            directory.lists["users"].put(key, row, random.random())


def _add_group(directory: DirectoryRecords, random: Random, members: int) -> None:
    if not (tenants := list(directory.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    people = sample_keys(random, directory.list_contained("users", tenant), members)
    groups = sample_keys(random, directory.list_contained("groups", tenant), random.randrange(2))
    directory.add_group(tenant, [*groups, *people], random.random())


def _add_members(directory: DirectoryRecords, random: Random, number: int) -> None:
    for group in sample_keys(random, directory.lists["groups"].rows, 2):
        tenant = directory.lists["groups"].rows[group]["tenant_id"]
        people = directory.list_contained("users", tenant)
        candidates = [*people, *directory.list_contained("groups", tenant)]
        for member_id in sample_keys(random, candidates, number):
            if member_id not in directory.members[group].rows:
                directory.join(group, member_id, random.random())


def _remove_members(directory: DirectoryRecords, random: Random, number: int) -> None:
    for group in sample_keys(random, directory.lists["groups"].rows, 2):
        directory.members[group].delete(
            set(sample_keys(random, directory.members[group].rows, number))
        )


def _hand_over_tenant(directory: DirectoryRecords, random: Random, number: int) -> None:
    for key in sample_keys(random, directory.lists["tenants"].rows, number):
        partner = random.choice(list(directory.lists["partners"].rows))
        directory.change("tenants", [key], partner_id=partner)


def _make_remover(collection: str, *, soft: bool) -> Change:
    def remove(directory: DirectoryRecords, random: Random, number: int) -> None:
        """Remove records, but never the last tenant or partner."""
        rows = directory.lists[collection].rows
        maximum = len(rows) - 1 if collection in ("partners", "tenants") else len(rows)
        directory.remove(
            collection, sample_keys(random, rows, max(0, min(number, maximum))), soft=soft
        )

    return remove


def _leave_tenant(directory: DirectoryRecords, random: Random, number: int) -> None:
    """Remove many people of one tenant."""
    if not (tenants := list(directory.lists["tenants"].rows)):
        return
    tenant = random.choice(tenants)
    directory.remove(
        "users", sample_keys(random, directory.list_contained("users", tenant), number), soft=False
    )


def _make_status_setter(collection: str, status: str) -> Change:
    def change(directory: DirectoryRecords, random: Random, number: int) -> None:
        rows = directory.lists[collection].rows
        others = [key for key, row in rows.items() if row["status"] != status]
        directory.change(collection, sample_keys(random, others, number), status=status)

    return change


DIRECTORY_CHANGES: dict[str, Change] = {
    "change_people": _change_people,
    "add_people": _add_people,
    "delete_people": _make_remover("users", soft=False),
    "soft_delete_people": _make_remover("users", soft=True),
    "leave_tenant": _leave_tenant,
    "move_people": _move_people,
    "remove_members": _remove_members,
    "add_members": _add_members,
    "add_group": _add_group,
    "delete_groups": _make_remover("groups", soft=False),
    "soft_delete_groups": _make_remover("groups", soft=True),
    "revive_people": _revive_people,
    "change_roles": _change_roles,
    "suspend_people": _make_status_setter("users", "SUSPENDED"),
    "activate_people": _make_status_setter("users", "ACTIVE"),
    "add_tenant": _add_tenant,
    "delete_tenants": _make_remover("tenants", soft=False),
    "soft_delete_tenants": _make_remover("tenants", soft=True),
    "suspend_tenants": _make_status_setter("tenants", "SUSPENDED"),
    "activate_tenants": _make_status_setter("tenants", "ACTIVE"),
    "hand_over_tenant": _hand_over_tenant,
    "add_partner": _add_partner,
    "delete_partners": _make_remover("partners", soft=False),
    "soft_delete_partners": _make_remover("partners", soft=True),
    "suspend_partners": _make_status_setter("partners", "SUSPENDED"),
    "activate_partners": _make_status_setter("partners", "ACTIVE"),
}
