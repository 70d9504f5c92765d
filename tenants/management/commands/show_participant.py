from __future__ import annotations

from scaiwave.cli.arguments import ONLY_TENANT, PARTICIPANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from tenants.management.output import (
    AUDIT_COLUMNS,
    format_membership_path,
    format_role_path,
    format_status,
    format_sync_changes,
    print_sections,
)
from tenants.people.queries.participants import show_participant

FACTS = (
    Column("can_sign_in", "Can sign in", ColumnType.FLAG),
    Column("display_name", "Name"),
    *columns_of("email", "fqid", "type", "tenant", "status", "id", "scaikey_id"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
PURGED = Column("purged_at", "Data erased", ColumnType.TIME)
BLOCKERS = (
    Column("reason", "Reason"),
    Column("started_at", "Since", ColumnType.TIME),
    Column("fix", "Fix"),
)
GROUPS = (Column("name", "Group"), Column("type", "Type"), Column("way", "How"))
ROLES = (
    Column("slug", "Role"),
    Column("way", "How"),
    *columns_of("source", "granted_by"),
)
SYNC_CHANGES = (
    Column("changed_at", "Time", ColumnType.TIME),
    *columns_of("action", "subject"),
    Column("what", "From → to"),
    Column("reason", "Reason"),
)
OTHER_ACCOUNTS = columns_of("fqid", "tenant", "email", "status")


class ShowParticipantArguments(Arguments):
    participant: str = argument(PARTICIPANT)
    tenant: str | None = option(ONLY_TENANT)


class Command(OperatorCommand[ShowParticipantArguments]):
    words = "admin show-participant"
    summary = "Show a participant and why they can't sign in"
    area, place = "people", 20
    is_everyday = True
    permission = "VIEW"
    examples = (
        "scaiwave admin show-participant anna@acme.example",
        "scaiwave admin show-participant @anna:chat.example.com",
    )
    help = "Show a participant, and why they can't sign in; groups, roles, recent changes."

    def run(self, given: ShowParticipantArguments) -> None:
        document = show_participant(
            operator=self.operator, name=given.participant, tenant=given.tenant
        )
        if self.output.as_json:
            self.output.print_json({"participant": document})
            return
        # Facts that other apps register. Two may have the same title.
        facts = {f"fact {index}": fact for index, fact in enumerate(document["facts"])}
        columns = [Column(key, fact["title"]) for key, fact in facts.items()]
        if document["purged_at"] is not None:
            columns.insert(0, PURGED)
        values = {key: fact["value"] for key, fact in facts.items()}
        row = {**document, "status": format_status(document), **values}
        self.output.print_record([*FACTS, *columns], row)
        print_sections(
            self.output,
            ("Sign-in blocked by", BLOCKERS, document["sign_in_blockers"]),
            ("Groups", GROUPS, format_membership_path(document["groups"])),
            ("Roles", ROLES, format_role_path(document["roles"])),
            ("Other accounts with this user or e-mail", OTHER_ACCOUNTS, document["other_accounts"]),
            ("Last changes by syncs", SYNC_CHANGES, format_sync_changes(document["sync_changes"])),
            ("Recent changes", AUDIT_COLUMNS, document["audit_entries"]),
        )
