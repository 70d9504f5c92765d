"""The words of each command, and of each act of the admin site, with who may use them."""

from __future__ import annotations

from federation.models import ServerKey
from scaiwave.cli.verbs import VerbPath
from tests.authorisation_outcomes import (
    ABSENT,
    ACCOUNT,
    ALL_ALLOWED,
    ALL_REFUSED,
    BACKUP,
    GARBAGE,
    LISTS,
    LOOK,
    LOOK_AT_PLATFORM,
    NEW_PASSWORD,
    NO_REDIS,
    OTHER_PARTNER,
    OTHER_TENANT,
    OWN_PARTNER,
    OWN_TENANT,
    PLATFORM,
    READ,
    REASON,
    ROOMS,
    SELECTED,
    SERVICE,
    SUPER,
    SYNC_TENANT,
    TENANT,
    TRANSCRIPT,
    WRITE,
    ActRow,
    Row,
    SentFile,
    of_tenant,
    search_index,
)
from tests.scaiwave.row_factories import NOW

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
            *("--force", "--output", f"{bundle}.merged"),
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
