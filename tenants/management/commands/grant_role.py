from __future__ import annotations

from tenants.management.names import HoldersArguments, HoldersCommand, holders
from tenants.roles.grants import grant_role_to_many


class GrantRoleArguments(HoldersArguments):
    people: list[str] | None = holders("PARTICIPANT", "--to")
    groups: list[str] | None = holders("GROUP", "--to-group")
    from_file: str | None = holders("FILE", "--from", "--from-file")


class Command(HoldersCommand):
    service = staticmethod(grant_role_to_many)
    words = "role grant"
    summary = "Grant a role to a participant or a group"
    area, place = "people", 130
    is_everyday = True
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role grant editors --tenant acme --to anna@acme.example",
        "scaiwave role grant super_admin --to anna@acme.example",
        "scaiwave role grant editors --tenant acme --to-group Engineering",
        "scaiwave role grant editors --tenant acme --from people.csv",
    )
    help = (
        "Grant a role manually to participants, or to all members of groups. Syncs do not remove "
        "manual grants. Several are checked first: nothing changes if one can't have the role."
    )
    changes = True
    arguments = GrantRoleArguments
