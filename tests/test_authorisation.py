"""Permissions: every command, run by every type of operator.

`test_authorisation_acts.py` does the same with the acts of the admin site, from the same rows.

A command without a row here fails the last test. Each runs in this process, as its console script
runs it, with a token that the sandbox has signed. A refused command must change nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.db import connection, transaction
from django.db.models import Model
from pytest_django import Settings

from federation.models import ServerKey
from scaiwave.cli.verbs import VERBS, VerbPath, canonical_path
from scaiwave.config import load
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import ROLE_PERMISSIONS, Operator, OperatorRole, Permission
from scaiwave.operations.jobs.site import ListedJob
from scaiwave.sandbox import Sandbox
from scaiwave.storage.error_mapping import translate_errors
from tests.authorisation_fixtures import SampleData
from tests.rooms.search.factories import backfill
from tests.scaiwave.row_factories import NOW
from tests.settings_env import forget_seals

ABSENT = "a token is required and absent"
SUPER = "super_admin"
OWN_PARTNER = "partner_admin of it"
OTHER_PARTNER = "partner_admin of another"
OWN_TENANT = "tenant_admin of it"
OTHER_TENANT = "tenant_admin of another"
READ = "platform read"
WRITE = "platform write"
SERVICE = "application of its partner"
BACKUP = "application of its partner that may export rooms"
GARBAGE = "garbage"
OPERATORS = (
    ABSENT,
    SUPER,
    OWN_PARTNER,
    OTHER_PARTNER,
    OWN_TENANT,
    OTHER_TENANT,
    READ,
    WRITE,
    SERVICE,
    BACKUP,
    GARBAGE,
)

ROLES = {
    SUPER: OperatorRole.SUPER_ADMIN,
    OWN_PARTNER: OperatorRole.PARTNER_ADMIN,
    OTHER_PARTNER: OperatorRole.PARTNER_ADMIN,
    OWN_TENANT: OperatorRole.TENANT_ADMIN,
    OTHER_TENANT: OperatorRole.TENANT_ADMIN,
    READ: OperatorRole.PLATFORM_READ,
    WRITE: OperatorRole.SUPER_ADMIN,
    SERVICE: OperatorRole.SERVICE,
}
REQUIRE = Operator.require

# Exit codes: 0 done, 1 as if the object did not exist, 3 not permitted.
ALL_REFUSED = dict.fromkeys(OPERATORS, 3)
PLATFORM = {**ALL_REFUSED, SUPER: 0, WRITE: 0}
"""The whole server: its keys, its registration, its partners."""
NO_REDIS = {**ALL_REFUSED, SUPER: 2, WRITE: 2}
LOOK_AT_PLATFORM = {**PLATFORM, READ: 0}
TENANT = {**PLATFORM, OWN_PARTNER: 0, OTHER_PARTNER: 1}
"""Changes to a tenant, which its own administrators may not make."""
ROOMS = {**TENANT, OWN_TENANT: 0, OTHER_TENANT: 1}
"""Exports and imports of rooms, which tenant administrators may run too."""
LOOK = {**ROOMS, READ: 0, SERVICE: 0, BACKUP: 0}
"""Shows one object of a tenant."""
LISTS = {**LOOK, OTHER_PARTNER: 0, OTHER_TENANT: 0}
"""Lists, which contain the objects in the operator's scope."""
ALL_ALLOWED = dict.fromkeys(OPERATORS, 0)
"""Needs no operator, because it uses nothing of the server."""


class SentFile:
    """A file of a form, which can be sent any number of times."""

    name = "bundle.zip"

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> bytes:
        return self._path.read_bytes()


@dataclass(frozen=True)
class ActRow:
    """An act of the admin site that stands for a command, with a row and valid values of its form.

    `codes` are those of its command unless it differs from the command with these arguments.
    """

    row: Callable[[SampleData], Model | ListedJob | None] = lambda sample: None
    values: Mapping[str, str | Callable[[SampleData], Any]] = field(default_factory=dict)
    codes: Mapping[str, int] | None = None
    starts_job: bool = False
    """The job has its own transactions, and the act has not."""
    is_on_sqlite: bool = True


@dataclass(frozen=True)
class Row:
    """A command with valid arguments, and the exit code for each operator."""

    codes: dict[str, int]
    arguments: Callable[[SampleData], list[str]] = lambda sample: []
    seen: Callable[[SampleData], str] | None = None
    """Of a list: a value that only operators with the object in their scope may see."""
    blind: frozenset[str] = frozenset({OTHER_PARTNER, OTHER_TENANT})
    keys: int = 1
    """How many federation keys there are, the newest of which signs."""
    commits: bool = False
    """The command has its own transactions, so the test can't run in one."""
    acts: Mapping[str, ActRow] = field(default_factory=dict)
    """Those of the admin site that stand for the command, by the names in their addresses."""


REASON = {"reason": "as asked for"}
TRANSCRIPT = {**REASON, "format": "text", "time_zone": "UTC"}
SYNC_TENANT = {**ROOMS, SERVICE: 0, BACKUP: 0}
"""Syncs of one tenant, which tenant administrators may run too."""


def of_tenant(*words: str) -> Callable[[SampleData], list[str]]:
    return lambda sample: [*words, "--tenant", sample.tenant.slug]


def search_index(sample: SampleData) -> list[str]:
    backfill()
    return of_tenant("anything")(sample)


SELECTED = {"rows": "{row.pk}"}
NEW_PASSWORD = {"password": "correct horse battery", "repeated": "correct horse battery"}
ACCOUNT = {"username": "carla", "role": "auditor"}

ROWS: dict[VerbPath, Row] = {
    # This server's own application may sync all that its token reaches.
    ("sync",): Row(
        {**PLATFORM, SERVICE: 0, BACKUP: 0},
        lambda sample: ["--dry-run", "--allow-removals", "9"],
        acts={
            "sync": ActRow(codes=PLATFORM),
            "sync-dry-run": ActRow(codes=PLATFORM),
            "sync-tenant-slug": ActRow(lambda sample: sample.tenant, codes=SYNC_TENANT),
            "sync-tenant-slug-dry-run": ActRow(lambda sample: sample.tenant, codes=SYNC_TENANT),
            "sync-dry-run-tenant-slug": ActRow(
                lambda sample: sample.make_ended_run(), codes=SYNC_TENANT
            ),
        },
    ),
    ("sync", "register"): Row(PLATFORM, lambda sample: sample.get_registration_arguments()),
    ("sync", "status"): Row(LISTS, lambda sample: ["--no-drift", "--exit-zero"]),
    ("sync", "runs"): Row(LISTS, seen=lambda sample: str(sample.sync_run.pk)[:13]),
    ("sync", "show-run"): Row(LOOK, lambda sample: [str(sample.sync_run.pk)]),
    ("sync", "losses"): Row(LISTS, seen=lambda sample: str(sample.sync_run.pk)[:13]),
    ("sync", "removals"): Row(
        LISTS,
        lambda sample: ["--loss", sample.make_pending_removal().loss],
        seen=lambda sample: "Anna",
    ),
    # A person decides: never the token of an application.
    ("sync", "approve"): Row(
        {**ROOMS, WRITE: 3},
        lambda sample: [str(sample.make_pending_removal().pk), "--no-input"],
        acts={
            "sync-approve-id": ActRow(lambda sample: sample.make_pending_removal()),
            "sync-approve-ids": ActRow(lambda sample: sample.make_pending_removal(), SELECTED),
            "sync-approve-tenant-slug-expect-digest": ActRow(
                lambda sample: sample.make_pending_removal().tenant
            ),
        },
    ),
    ("sync", "keep"): Row(
        TENANT,
        lambda sample: [
            *(str(sample.make_pending_removal().pk), "--reason", "as asked for", "--no-input")
        ],
        acts={
            "sync-keep-id": ActRow(lambda sample: sample.make_pending_removal(), REASON),
            "sync-keep-ids": ActRow(
                lambda sample: sample.make_pending_removal(), {**REASON, **SELECTED}
            ),
        },
    ),
    ("sync", "unlock"): Row(
        PLATFORM,
        lambda sample: ["--no-input"],
        acts={"sync-unlock": ActRow(lambda sample: sample.make_running_sync(), is_on_sqlite=False)},
    ),
    ("sync", "show-config"): Row(LOOK_AT_PLATFORM),
    ("sync", "export-env"): Row(PLATFORM),
    ("admin", "list-tenants"): Row(LISTS, seen=lambda sample: sample.tenant.slug),
    ("admin", "show-tenant"): Row(LOOK, lambda sample: [sample.tenant.slug]),
    ("admin", "create-tenant"): Row(
        {**TENANT, OTHER_PARTNER: 0},  # under the partner of the operator who creates it
        lambda sample: ["--slug", "new-one", "--name", "New", "--local"],
    ),
    ("admin", "link-tenant"): Row(
        {**TENANT, OWN_PARTNER: 3},  # skipping the check takes more than a partner's token
        lambda sample: [sample.local_tenant.slug, "--scaikey-tenant-id", "new", "--no-verify"],
    ),
    ("admin", "unlink-tenant"): Row(TENANT, lambda sample: [sample.tenant.slug, "--no-input"]),
    ("admin", "list-partners"): Row(
        LISTS,
        seen=lambda sample: sample.partner.slug,
        blind=frozenset({OTHER_PARTNER, OTHER_TENANT, OWN_TENANT}),
    ),
    ("admin", "list-participants"): Row(LOOK, of_tenant()),
    ("admin", "show-participant"): Row(LOOK, lambda sample: [str(sample.anna.pk)]),
    ("admin", "suspend-participant"): Row(
        TENANT,
        lambda sample: [str(sample.anna.pk), "--no-input"],
        acts={
            "admin-suspend-participant": ActRow(lambda sample: sample.anna, REASON),
            "admin-suspend-participant-names": ActRow(
                lambda sample: sample.anna, {**REASON, **SELECTED}
            ),
        },
    ),
    ("admin", "resume-participant"): Row(
        TENANT,
        lambda sample: [str(sample.suspended_person.pk)],
        acts={
            "admin-resume-participant": ActRow(lambda sample: sample.suspended_person, REASON),
            "admin-resume-participant-names": ActRow(
                lambda sample: sample.suspended_person, {**REASON, **SELECTED}
            ),
        },
    ),
    ("admin", "purge-participant"): Row(
        TENANT, lambda sample: [str(sample.removed_person.pk), "--no-input"]
    ),
    ("admin", "export-participant"): Row(
        {**ROOMS, BACKUP: 0},
        lambda sample: [str(sample.anna.pk), "--output", f"{sample.directory}/anna.zip"],
        commits=True,
        acts={"admin-export-participant": ActRow(lambda sample: sample.anna, REASON)},
    ),
    ("admin", "list-groups"): Row(LOOK, of_tenant()),
    ("admin", "show-group"): Row(LOOK, lambda sample: [str(sample.group.pk)]),
    ("admin", "update-tenant"): Row(
        TENANT,
        lambda sample: [sample.tenant.slug, "--max-rooms", "9"],
        acts={
            "admin-update-tenant": ActRow(lambda sample: sample.tenant, {"max_rooms": "9"}),
            "admin-update-tenant-sync-removals-off": ActRow(lambda sample: sample.tenant),
            "admin-update-tenant-sync-removals-on": ActRow(
                lambda sample: sample.make_tenant_without_removals()
            ),
        },
    ),
    ("admin", "hold", "add"): Row(
        PLATFORM,
        lambda sample: ["--tenant", sample.tenant.slug, "--reason", "case"],
        acts={
            "admin-hold-add-tenant-slug": ActRow(lambda sample: sample.tenant, REASON),
            "admin-hold-add-participant-person": ActRow(lambda sample: sample.anna, REASON),
            "admin-hold-add-room-room": ActRow(lambda sample: sample.room, REASON),
            "admin-hold-add-tenant-slug-room-deleted-room": ActRow(
                lambda sample: sample.delete_room(), REASON
            ),
        },
    ),
    ("admin", "hold", "list"): Row(
        LOOK,
        lambda sample: ["--tenant", sample.make_hold().tenant.slug],
    ),
    ("admin", "hold", "lift"): Row(
        PLATFORM,
        lambda sample: [str(sample.make_hold().pk), "--reason", "closed", "--no-input"],
        acts={"admin-hold-lift": ActRow(lambda sample: sample.make_hold(), REASON)},
    ),
    ("admin", "retention", "set"): Row(
        TENANT,
        of_tenant("--days", "9000", "--no-input"),
        acts={
            "admin-retention-set-tenant-slug": ActRow(
                lambda sample: sample.tenant, {**REASON, "days": "9000"}
            ),
            "admin-retention-set-tenant-slug-room-room": ActRow(
                lambda sample: sample.room, {**REASON, "days": "9000"}
            ),
        },
    ),
    ("admin", "retention", "clear"): Row(
        TENANT,
        lambda sample: of_tenant("--room", str(sample.make_policy().pk), "--no-input")(sample),
        acts={
            "admin-retention-clear-tenant-slug": ActRow(
                lambda sample: sample.make_policy_of_tenant(), REASON
            ),
            "admin-retention-clear-tenant-slug-room-room": ActRow(
                lambda sample: sample.make_policy(), REASON
            ),
        },
    ),
    ("admin", "retention", "show"): Row(
        LOOK, lambda sample: of_tenant("--room", str(sample.make_policy().pk))(sample)
    ),
    ("admin", "retention", "preview"): Row(
        LOOK, lambda sample: of_tenant("--room", str(sample.make_policy().pk))(sample)
    ),
    ("admin", "retention", "run"): Row(
        TENANT,
        lambda sample: of_tenant("--room", str(sample.make_policy().pk), "--no-input")(sample),
    ),
    ("admin", "erase-tenant"): Row(
        PLATFORM,
        lambda sample: sample.plan_erasure(),
        commits=True,
        acts={
            "admin-erase-tenant-slug-plan-file-export-index": ActRow(
                lambda sample: sample.make_task().tenant,
                {**REASON, "not_exported": "0", "missing_files": "0", "at_once": "on"},
                starts_job=True,
            ),
            "admin-erase-tenant-slug-apply-plan-certificate-file": ActRow(
                lambda sample: sample.make_planned_task(),
                {**REASON, "slug": "{row.tenant.slug}"},
                starts_job=True,
            ),
            "admin-erase-tenant-id-certificate-file": ActRow(
                lambda sample: sample.make_erasure(), starts_job=True
            ),
            "admin-erase-tenant-id-apply-plan-certificate-file": ActRow(
                lambda sample: sample.make_erasure(finished_at=NOW, certificate={"id": "1"}),
                starts_job=True,
            ),
        },
    ),
    ("admin", "verify-certificate"): Row(LISTS, lambda sample: sample.write_certificate()),
    ("admin", "suspend-tenant"): Row(
        TENANT,
        lambda sample: [sample.tenant.slug, "--no-input"],
        acts={"admin-suspend-tenant": ActRow(lambda sample: sample.tenant, REASON)},
    ),
    ("admin", "resume-tenant"): Row(
        TENANT,
        lambda sample: [sample.suspended_tenant.slug],
        acts={"admin-resume-tenant": ActRow(lambda sample: sample.suspended_tenant, REASON)},
    ),
    ("admin", "create-partner"): Row(PLATFORM, lambda sample: ["--slug", "west", "--name", "West"]),
    # Its tenants' own administrators do not see a partner.
    ("admin", "show-partner"): Row({**LOOK, OWN_TENANT: 1}, lambda sample: [sample.partner.slug]),
    ("admin", "update-partner"): Row(
        PLATFORM,
        lambda sample: [sample.local_partner.slug, "--max-tenants", "9"],
        acts={
            "admin-update-partner": ActRow(
                lambda sample: sample.local_partner, {"max_tenants": "9"}
            )
        },
    ),
    ("admin", "suspend-partner"): Row(
        PLATFORM,
        lambda sample: [sample.partner.slug, "--no-input"],
        acts={"admin-suspend-partner": ActRow(lambda sample: sample.partner, REASON)},
    ),
    ("admin", "resume-partner"): Row(
        PLATFORM,
        lambda sample: [sample.suspended_partner.slug],
        acts={"admin-resume-partner": ActRow(lambda sample: sample.suspended_partner, REASON)},
    ),
    ("admin", "create-workspace"): Row(
        TENANT,
        of_tenant("--slug", "sales", "--name", "Sales"),
        acts={
            "admin-create-workspace": ActRow(
                values={"tenant": "acme", "slug": "sales", "name": "Sales"}
            )
        },
    ),
    ("admin", "create-administrator"): Row(
        PLATFORM,
        lambda sample: ["root", "--password-file", sample.write_password_file()],
        acts={"admin-create-administrator": ActRow(values={**ACCOUNT, **NEW_PASSWORD})},
    ),
    ("admin", "end-sessions"): Row(
        PLATFORM,
        lambda sample: [*(sample.make_session() and sample.administrator.username, "--no-input")],
        acts={
            "admin-end-sessions": ActRow(
                lambda sample: sample.administrator,
                {"sessions": lambda sample: sample.make_session()},
            )
        },
    ),
    ("admin", "list-administrators"): Row(LOOK_AT_PLATFORM),
    ("admin", "disable-administrator"): Row(
        PLATFORM,
        lambda sample: [sample.administrator.username, "--allow-last", "--no-input"],
        acts={"admin-disable-administrator": ActRow(lambda sample: sample.administrator)},
    ),
    ("admin", "enable-administrator"): Row(
        PLATFORM,
        lambda sample: [sample.disabled_administrator.username],
        acts={"admin-enable-administrator": ActRow(lambda sample: sample.disabled_administrator)},
    ),
    ("admin", "reset-administrator-password"): Row(
        PLATFORM,
        lambda sample: [
            *(sample.administrator.username, "--password-file", sample.write_password_file())
        ],
        acts={
            "admin-reset-administrator-password": ActRow(
                lambda sample: sample.administrator, NEW_PASSWORD
            )
        },
    ),
    ("admin", "remove-administrator"): Row(
        PLATFORM, lambda sample: [sample.disabled_administrator.username, "--no-input"]
    ),
    ("admin", "backup"): Row(
        PLATFORM, lambda sample: ["--output", str(sample.directory)], commits=True
    ),
    ("admin", "verify-backup"): Row(
        PLATFORM, lambda sample: [str(sample.write_backup()), "--accept-unsigned"]
    ),
    # It makes a database: tests/scaiwave/operations/backup.
    ("admin", "restore"): Row(
        PLATFORM,
        lambda sample: [
            *(str(sample.write_backup()), "--dry-run", "--accept-unsigned"),
            *("--into", f"sqlite:///{sample.directory}/copy.sqlite3"),
        ],
    ),
    ("admin", "activate-restore"): Row(PLATFORM, lambda sample: sample.mark_restored()),
    ("admin", "export-tenant"): Row(
        PLATFORM,
        lambda sample: [sample.tenant.slug, "--output-dir", f"{sample.directory}/acme"],
        commits=True,
        acts={
            "admin-export-tenant-slug-output-dir-directory": ActRow(
                lambda sample: sample.tenant, REASON, starts_job=True
            )
        },
    ),
    ("admin", "verify-tenant-export"): Row(
        {**ALL_ALLOWED, ABSENT: 3, GARBAGE: 3},
        lambda sample: [sample.export_tenant()],
        commits=True,
    ),
    ("admin", "import-tenant"): Row(
        PLATFORM, lambda sample: [sample.export_tenant(), "--slug", "new-one"], commits=True
    ),
    ("admin", "prune"): Row(PLATFORM),
    # There are no addresses, but only operators with the permission get so far.
    ("admin", "send-test-notification"): Row(NO_REDIS),
    ("admin", "record-figures"): Row(PLATFORM),
    ("admin", "refresh-usage"): Row(PLATFORM),
    ("admin", "audit"): Row(
        LISTS, lambda sample: ["--action", "sample-action"], seen=lambda sample: sample.tenant.slug
    ),
    ("admin", "audit", "seal"): Row(PLATFORM, lambda sample: sample.add_old_audit_entry()),
    ("admin", "audit", "verify"): Row(LOOK_AT_PLATFORM),
    ("admin", "audit", "export"): Row(LOOK_AT_PLATFORM, lambda sample: sample.seal_audit()),
    ("admin", "federation", "key", "generate"): Row(
        PLATFORM, keys=0, acts={"admin-federation-key-generate": ActRow()}
    ),
    ("admin", "federation", "key", "rotate"): Row(
        PLATFORM,
        acts={
            "admin-federation-key-rotate": ActRow(
                lambda sample: ServerKey.objects.get(), {"key_id": "{row.key_id}"}
            )
        },
    ),
    ("admin", "federation", "key", "list"): Row(LOOK_AT_PLATFORM),
    ("admin", "federation", "key", "revoke"): Row(
        PLATFORM,
        lambda sample: [sample.get_old_key_id(), "--yes"],
        keys=2,
        acts={
            "admin-federation-key-revoke": ActRow(
                lambda sample: sample.get_old_key(), {"key_id": "{row.key_id}"}
            )
        },
    ),
    ("admin", "federation", "key", "check"): Row(
        PLATFORM,
        acts={"admin-federation-key-check": ActRow(lambda sample: ServerKey.objects.get())},
    ),
    ("admin", "federation", "key", "reencrypt"): Row(PLATFORM),
    ("admin", "federation", "descriptor"): Row(LOOK_AT_PLATFORM),
    # No server responds at that address, but only operators with the permission get so far.
    ("admin", "federation", "check-peer"): Row(
        {**ALL_REFUSED, SUPER: 2, WRITE: 2},
        lambda sample: ["127.0.0.1:1", "--dry-run"],
        acts={"admin-federation-check-peer": ActRow(lambda sample: sample.make_silent_peer())},
    ),
    ("admin", "federation", "peer", "list"): Row(LOOK_AT_PLATFORM),
    ("admin", "federation", "peer", "show"): Row(
        LOOK_AT_PLATFORM, lambda sample: [sample.peer.server_name]
    ),
    ("admin", "federation", "peer", "forget"): Row(
        PLATFORM,
        lambda sample: [sample.peer.server_name, "--yes"],
        acts={"admin-federation-peer-forget": ActRow(lambda sample: sample.peer)},
    ),
    ("admin", "federation", "policy", "show"): Row(LOOK_AT_PLATFORM),
    ("admin", "federation", "policy", "set"): Row(
        PLATFORM,
        lambda sample: ["--default-mode", "open"],
        acts={"admin-federation-policy-set": ActRow(values={"default_mode": "open"})},
    ),
    ("role", "list"): Row(LISTS, seen=lambda sample: "crew-lead"),
    ("role", "show"): Row(LOOK, of_tenant("crew-lead")),
    ("role", "members"): Row(LOOK, of_tenant("crew-lead")),
    ("role", "create"): Row(
        TENANT,
        of_tenant("--slug", "new-role", "--name", "New"),
        acts={"role-create": ActRow(values={"tenant": "acme", "slug": "new-role", "name": "New"})},
    ),
    ("role", "update"): Row(
        TENANT,
        of_tenant("unused", "--name", "New"),
        acts={"role-update": ActRow(lambda sample: sample.get_role("unused"), {"name": "New"})},
    ),
    ("role", "delete"): Row(
        TENANT,
        of_tenant("unused", "--yes"),
        acts={"role-delete": ActRow(lambda sample: sample.get_role("unused"))},
    ),
    ("role", "grant"): Row(
        TENANT,
        of_tenant("unused", "--to-group", "Crew"),
        acts={
            "role-grant": ActRow(
                lambda sample: sample.get_role("unused"),
                {"kind": "group", "holder": "Crew", **REASON},
            ),
            "role-grant-role-to-person": ActRow(
                lambda sample: sample.anna, {"role": "unused", **REASON}
            ),
            "role-grant-role-to-group-group": ActRow(
                lambda sample: sample.group, {"role": "unused", **REASON}
            ),
            "role-grant-role-from-file-file": ActRow(
                lambda sample: sample.anna, {"role": "unused", **SELECTED, **REASON}
            ),
            "role-grant-role-to-group-group-to-group-group": ActRow(
                lambda sample: sample.group, {"role": "unused", **SELECTED, **REASON}
            ),
        },
    ),
    ("role", "revoke"): Row(
        TENANT,
        of_tenant("crew-lead", "--from-group", "Crew", "--yes"),
        acts={
            "role-revoke": ActRow(lambda sample: sample.group.role_grants.get(), REASON),
            "role-revoke-role-from-file-file": ActRow(
                lambda sample: sample.anna, {"role": "unused", **SELECTED, **REASON}
            ),
            "role-revoke-role-from-group-group-from-group-group": ActRow(
                lambda sample: sample.group, {"role": "crew-lead", **SELECTED, **REASON}
            ),
        },
    ),
    ("room", "list"): Row(LOOK, of_tenant()),
    ("room", "show"): Row(LOOK, lambda sample: of_tenant(str(sample.room.pk))(sample)),
    ("room", "workspaces"): Row(LOOK, of_tenant()),
    ("room", "search"): Row(LOOK, search_index),
    ("room", "search-index"): Row(PLATFORM, lambda sample: ["--inline"]),
    ("room", "export"): Row(
        {**ROOMS, BACKUP: 0},
        lambda sample: of_tenant(str(sample.room.pk), "--output", f"{sample.directory}/out.zip")(
            sample
        ),
        commits=True,
        acts={"room-export": ActRow(lambda sample: sample.room, REASON)},
    ),
    ("room", "transcript"): Row(
        {**ROOMS, BACKUP: 0},
        lambda sample: of_tenant(str(sample.room.pk), "--output", f"{sample.directory}/pages")(
            sample
        ),
        commits=True,
        acts={"room-transcript": ActRow(lambda sample: sample.room, TRANSCRIPT, PLATFORM)},
    ),
    ("room", "import"): Row(
        ROOMS,
        lambda sample: of_tenant(
            "main", "--as", str(sample.anna.pk), "--input", sample.write_bundle()
        )(sample),
        commits=True,
        acts={
            "room-import": ActRow(
                lambda sample: sample.room.workspace,
                {
                    "participant": lambda sample: str(sample.anna.pk),
                    "bundle": lambda sample: SentFile(sample.write_bundle()),
                },
            )
        },
    ),
    ("room", "archive"): Row(
        TENANT,
        lambda sample: of_tenant(str(sample.room.pk))(sample),
        acts={"room-archive": ActRow(lambda sample: sample.room, REASON)},
    ),
    ("room", "reopen"): Row(
        TENANT,
        lambda sample: of_tenant(str(sample.archived_room.pk))(sample),
        acts={"room-reopen": ActRow(lambda sample: sample.archived_room, REASON)},
    ),
    ("room", "delete"): Row(
        TENANT,
        lambda sample: of_tenant(str(sample.archived_room.pk), "--reason", "over", "--yes")(sample),
        acts={
            "room-delete": ActRow(lambda sample: sample.archived_room, REASON),
            "room-delete-now": ActRow(lambda sample: sample.delete_room(), REASON),
        },
    ),
    ("room", "undelete"): Row(
        TENANT,
        lambda sample: of_tenant(str(sample.delete_room().pk), "--reason", "needed")(sample),
        acts={"room-undelete": ActRow(lambda sample: sample.delete_room(), REASON)},
    ),
    ("room", "media", "list"): Row(
        LOOK, lambda sample: of_tenant(str(sample.remove_file().room_id))(sample)
    ),
    ("room", "media", "remove"): Row(
        TENANT,
        lambda sample: of_tenant(
            str(sample.room.pk), sample.attach_file().name, "--reason", "no", "--yes"
        )(sample),
        acts={
            "room-media-remove": ActRow(lambda sample: sample.attach_file(), REASON),
            "room-media-remove-now": ActRow(lambda sample: sample.attach_file(), REASON),
        },
    ),
    ("room", "media", "restore"): Row(
        TENANT,
        lambda sample: of_tenant(str(sample.room.pk), sample.remove_file().name)(sample),
        acts={"room-media-restore": ActRow(lambda sample: sample.remove_file())},
    ),
    ("room", "verify"): Row(
        {**ALL_ALLOWED, ABSENT: 3, GARBAGE: 3},
        lambda sample: [sample.write_bundle()],
        commits=True,
        acts={
            "room-verify": ActRow(values={"bundle": lambda sample: SentFile(sample.write_bundle())})
        },
    ),
    ("room", "convert"): Row(
        ALL_ALLOWED,
        lambda sample: [
            "slack",
            sample.write_slack_export(),
            "--output-dir",
            f"{sample.directory}/converted",
        ],
    ),
    ("room", "match-people"): Row(
        LOOK, lambda sample: of_tenant(sample.write_conversion(), "--force")(sample)
    ),
    # These read files, and need no operator.
    ("room", "merge"): Row(
        {**ALL_ALLOWED, ABSENT: 0, GARBAGE: 0},
        lambda sample: [
            str(bundle := sample.write_bundle()),
            "--force",
            "--output",
            f"{bundle}.merged",
        ],
        commits=True,
    ),
    ("room", "diff"): Row(
        {**ALL_ALLOWED, ABSENT: 0, GARBAGE: 0},
        lambda sample: [str(sample.write_bundle())] * 2,
        commits=True,
    ),
    # No Redis is configured, but only operators with the permission get so far. A service manager
    # starts worker and scheduler without a token.
    ("worker",): Row({**NO_REDIS, ABSENT: 2}, lambda sample: ["--burst"]),
    ("scheduler",): Row({**NO_REDIS, ABSENT: 2}),
    ("jobs", "list"): Row({**NO_REDIS, READ: 2}, commits=True),
    ("jobs", "schedule"): Row(LOOK_AT_PLATFORM),
    ("jobs", "show"): Row({**NO_REDIS, READ: 2}, lambda sample: ["full_sync-1"]),
    ("jobs", "retry"): Row(
        NO_REDIS,
        lambda sample: ["full_sync-1"],
        acts={"jobs-retry": ActRow(lambda sample: sample.plant_failed_job(), codes=PLATFORM)},
    ),
    ("jobs", "delete"): Row(
        NO_REDIS,
        lambda sample: ["full_sync-1", "--yes"],
        acts={"jobs-delete": ActRow(lambda sample: sample.plant_failed_job(), codes=PLATFORM)},
    ),
    ("jobs", "clear"): Row(NO_REDIS, lambda sample: ["--yes"]),
    ("doctor",): Row(LOOK_AT_PLATFORM, lambda sample: sample.add_full_sync()),
    ("scaigrid", "check"): Row(LOOK_AT_PLATFORM),
    ("admin", "show-deploy-file"): Row(ALL_ALLOWED, lambda sample: ["nginx.conf"]),
    ("completion",): Row(ALL_ALLOWED, lambda sample: ["bash"]),
}


STRICTER = {
    *((("sync",), each) for each in (OWN_PARTNER, OTHER_PARTNER, OWN_TENANT, OTHER_TENANT)),
    *((("sync", "approve"), each) for each in (WRITE, SERVICE)),
    (("admin", "link-tenant"), OWN_PARTNER),
}
"""Operators with the permission of a command who may not run it with the arguments of its row."""


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=3, tenants=2, partners=2, groups=1, seed=8) as running:
        yield running


@pytest.fixture
def sample(scaikey: Sandbox, tmp_path: Path) -> SampleData:
    return SampleData.create(scaikey, tmp_path)


def make_token(scaikey: Sandbox, sample: SampleData, operator_type: str) -> str:
    claims: dict[str, dict[str, Any]] = {
        SUPER: {"role": "super_admin"},
        OWN_PARTNER: {"role": "partner_admin", "partner_id": sample.partner.scaikey_id},
        OTHER_PARTNER: {"role": "partner_admin", "partner_id": sample.other_partner.scaikey_id},
        OWN_TENANT: {"role": "tenant_admin", "tenant_id": sample.tenant.scaikey_tenant_id},
        OTHER_TENANT: {"role": "tenant_admin", "tenant_id": sample.other_tenant.scaikey_tenant_id},
    }
    scopes = {READ: "admin:read", WRITE: "admin:write"}
    if operator_type in claims:
        return scaikey.issue_token(**claims[operator_type])
    if operator_type in (SERVICE, BACKUP):
        return scaikey.issue_platform_token(
            scope="admin:read" if operator_type == SERVICE else "admin:read rooms:export",
            app_scope="PARTNER",
            partner_id=sample.partner.scaikey_id,
            platform_token=None,
            role="partner_admin",
        )
    if operator_type in scopes:
        return scaikey.issue_platform_token(scope=scopes[operator_type])
    return "no.token.at-all" if operator_type == GARBAGE else ""


def list_verb_paths(*, commits: bool) -> list[VerbPath]:
    return [words for words in VERBS if words in ROWS and ROWS[words].commits is commits]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("words", list_verb_paths(commits=False), ids=" ".join)
def test_success_only_permitted_operators_succeed(
    words: VerbPath,
    scaikey: Sandbox,
    sample: SampleData,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What one operator has done is undone before the next one tries."""
    for operator_type in OPERATORS:
        with undone(sample.directory):
            set_token(settings, scaikey, sample, operator_type)
            sample.create_keys(ROWS[words].keys)
            arguments = ROWS[words].arguments(sample)
            assert_permissions(words, arguments, operator_type, sample, monkeypatch)


def list_cases_with_commits() -> list[Any]:
    """Return each command with those who may run it, one by one, and with all others together."""
    cases = []
    for words in list_verb_paths(commits=True):
        codes = ROWS[words].codes
        refused = [each for each in OPERATORS if codes[each]]
        groups = [refused, *([each] for each in OPERATORS if codes[each] == 0)]
        cases += [pytest.param(words, group, id=f"{words} {group[0]}") for group in groups if group]
    return cases


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("words", "operator_types"), list_cases_with_commits())
def test_success_only_permitted_operators_succeed_with_commits(
    words: VerbPath,
    operator_types: list[str],
    scaikey: Sandbox,
    sample: SampleData,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who are refused change nothing, so that they can try one after the other."""
    settings.CONFIG = load(sample.environment)
    sample.create_keys(ROWS[words].keys)
    arguments = ROWS[words].arguments(sample)
    for operator_type in operator_types:
        set_token(settings, scaikey, sample, operator_type)
        assert_permissions(words, arguments, operator_type, sample, monkeypatch)


def set_token(settings: Settings, scaikey: Sandbox, sample: SampleData, operator_type: str) -> None:
    token = make_token(scaikey, sample, operator_type)
    settings.CONFIG = load({**sample.environment, "SCAIWAVE_ADMIN_TOKEN": token})


def assert_permissions(
    words: VerbPath,
    arguments: list[str],
    operator_type: str,
    sample: SampleData,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = ROWS[words]
    expected = row.codes[operator_type]
    before = (read_tables(), read_files(sample.directory)) if expected else None
    required: list[str] = []

    def require(operator: Operator, permission: Permission) -> None:
        required.append(permission.name)
        REQUIRE(operator, permission)

    monkeypatch.setattr(Operator, "require", require)
    code, out = run(words, arguments, monkeypatch)
    declared = VERBS[words].permission
    assert required[:1] in ([], [declared]), "the service requires another permission first"
    if operator_type == SUPER and words != ("sync",):  # A full sync looks at the role first.
        assert bool(required) is bool(declared)
    assert code == expected, (operator_type, out)
    if code:
        assert (read_tables(), read_files(sample.directory)) == before
    if row.seen is not None and code == 0:
        assert (row.seen(sample) in out) is (operator_type not in row.blind), operator_type


@contextmanager
def undone(directory: Path) -> Iterator[None]:
    """Undo what is changed in this block in the database and in the files of a directory."""
    files = read_files(directory)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    forget_seals()
    for path in read_files(directory).keys() - files.keys():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def run(words: VerbPath, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Return the exit code, and the output or the error."""
    stdout = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stdout, write_through=True))
    name = VERBS[words].command
    command = load_command_class(get_commands()[name], name)
    try:
        with translate_errors():
            command.run_from_argv(["scaiwave", name, *arguments])
    except ScaiWaveError as error:
        return error.exit_code, f"{error.code}: {error.message}"
    except SystemExit as stop:
        return int(stop.code or 0), stdout.getvalue().decode(errors="replace")
    return 0, stdout.getvalue().decode(errors="replace")


def read_tables() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of the suite."""
    tables = {model._meta.db_table for model in apps.get_models()}
    rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            if table.startswith("sw_"):
                cursor.execute(f"SELECT * FROM {table}")
                rows[table] = sorted(cursor.fetchall(), key=repr)
    return rows


def read_files(directory: Path) -> dict[Path, bytes]:
    """Return the contents of all files in the directory, except for locks."""
    paths = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.read_bytes() for path in paths}


def test_success_declared_permissions_fit_the_rows() -> None:
    """Who lacks the permission that a command declares is refused; few others are."""
    stricter = set()
    for words, row in ROWS.items():
        if not (declared := VERBS[words].permission):
            continue
        for operator_type, role in ROLES.items():
            if Permission[declared] not in ROLE_PERMISSIONS[role]:
                assert row.codes[operator_type] == 3, (words, operator_type)
            elif row.codes[operator_type] == 3:
                stricter.add((words, operator_type))
    assert stricter == STRICTER


def test_success_every_command_has_a_row() -> None:
    missing = {words for words in VERBS if words not in ROWS and not canonical_path(words)}
    assert not missing, f"ROWS of tests/test_authorisation.py lacks {missing}: add their rows."
    assert not [words for words in ROWS if words not in VERBS or canonical_path(words)]
