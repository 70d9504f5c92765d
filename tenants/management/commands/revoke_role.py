from __future__ import annotations

from tenants.management.names import HoldersArguments, HoldersCommand, holders
from tenants.roles.grants import revoke_role_from_many


class RevokeRoleArguments(HoldersArguments):
    people: list[str] | None = holders("PARTICIPANT", "--from")
    groups: list[str] | None = holders("GROUP", "--from-group")
    from_file: str | None = holders("FILE", "--from-file")


class Command(HoldersCommand):
    service = staticmethod(revoke_role_from_many)
    words = "role revoke"
    summary = "Revoke a role from a participant or a group"
    area, place = "people", 140
    permission = "MANAGE_ROLES"
    examples = (
        "scaiwave role revoke editors --tenant acme --from anna@acme.example",
        "scaiwave role revoke editors --tenant acme --from-group Engineering --dry-run",
    )
    help = (
        "Revoke manual grants of a role from participants or groups. Remove grants from ScaiKey in "
        "ScaiKey. Several are checked first: nothing changes if one can't be revoked."
    )
    changes = True
    arguments = RevokeRoleArguments
