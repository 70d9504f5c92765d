"""VERBS: the table of commands, with what each runs, its line of help and its examples. AREAS: how
help groups them.

In code a *verb* is an entry of this table; texts for operators call it a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

VerbPath = tuple[str, ...]


class Verb(NamedTuple):
    """An entry of the table. `command` is its management command.

    `profile` selects the installed applications; `cli` leaves out the applications of
    the admin site, and `full` has them all.
    """

    command: str
    help: str
    examples: tuple[str, ...] = ()
    profile: str = "cli"


EXIT_CODES = (
    ("0", "success"),
    ("1", "refused, not found or conflict; or a sync that applied a part"),
    ("2", "usage or configuration error, or a server can't be reached"),
    ("3", "not authenticated or not permitted"),
    ("130, 143", "ended by an interrupt, or by SIGTERM"),
)

_REGISTER = Verb(
    "sync_register",
    "Register this server with ScaiKey",
    (
        "scaiwave sync register",
        "scaiwave sync register --url https://scaikey.example.com --scope GLOBAL "
        "--name chat --contact-email ops@example.com --wait",
    ),
)
_STATUS = Verb(
    "sync_status",
    "Show registration, last runs and drift",
    (
        "scaiwave sync status",
        "scaiwave sync status --tenant acme",
        "scaiwave sync status --no-drift --exit-zero --json",
    ),
)
_RUNS = Verb(
    "sync_runs",
    "List runs of the sync",
    (
        "scaiwave sync runs",
        "scaiwave sync runs --tenant acme --since 7d",
        "scaiwave sync runs --outcome refused --json",
    ),
)
_SHOW_RUN = Verb(
    "sync_show_run",
    "Show the changes of a run, with reasons",
    (
        "scaiwave sync show-run last",
        "scaiwave sync show-run 019aab53-0c1f --tenant acme --action loss",
    ),
)
_LOSSES = Verb(
    "sync_losses",
    "List who lost access through syncs, and why",
    (
        "scaiwave sync losses --since yesterday",
        "scaiwave sync losses --participant anna@acme.example",
        "scaiwave sync losses --tenant acme --loss suspended --json",
    ),
)
_REMOVALS = Verb(
    "sync_removals",
    "List the removals that wait for a decision",
    ("scaiwave sync removals", "scaiwave sync removals --tenant acme --csv > removals.csv"),
)
_APPROVE = Verb(
    "sync_approve",
    "Approve pending removals for the next sync",
    (
        "scaiwave sync approve 5f3a9c01d2e4 --now",
        "scaiwave sync approve --tenant acme --expect 1f0c2a9b7d3e5f61",
        "scaiwave sync approve --from removals.csv --yes",
    ),
)
_KEEP = Verb(
    "sync_keep",
    "Keep access that pending removals would take",
    ('scaiwave sync keep 5f3a9c01d2e4 --reason "wrong in ScaiKey, ticket 4711"',),
)
_UNLOCK = Verb("sync_unlock", "End the session that has the lock of syncs")
_SHOW_CONFIG = Verb("sync_show_config", "Show all settings and where they come from")
_EXPORT_ENV = Verb(
    "sync_export_env",
    "Print ScaiKey settings with secrets for a shell",
    ('eval "$(scaiwave sync export-env)"',),
)

VERBS: dict[VerbPath, Verb] = {
    ("sync",): Verb(
        "sync",
        "Sync partners, tenants, people and groups",
        (
            "scaiwave sync",
            "scaiwave sync --dry-run",
            "scaiwave sync --tenant acme",
            "scaiwave sync --no-removals",
            "scaiwave sync --scheduled --wait 60",
            "scaiwave sync --plan plan.json",
            "scaiwave sync --apply plan.json",
            "scaiwave sync --allow-removals 120",
        ),
    ),
    ("sync", "register"): _REGISTER,
    ("sync", "status"): _STATUS,
    ("sync", "runs"): _RUNS,
    ("sync", "show-run"): _SHOW_RUN,
    ("sync", "losses"): _LOSSES,
    ("sync", "removals"): _REMOVALS,
    ("sync", "approve"): _APPROVE,
    ("sync", "keep"): _KEEP,
    ("sync", "unlock"): _UNLOCK,
    ("sync", "show-config"): _SHOW_CONFIG,
    ("sync", "export-env"): _EXPORT_ENV,
    ("admin", "list-tenants"): Verb(
        "list_tenants",
        "List tenants with their usage",
        (
            "scaiwave admin list-tenants",
            "scaiwave admin list-tenants --sort members --status active",
            "scaiwave admin list-tenants --partner northwind --json",
        ),
    ),
    ("admin", "show-tenant"): Verb(
        "show_tenant",
        "Show a tenant's details, limits and usage",
        ("scaiwave admin show-tenant acme",),
    ),
    ("admin", "create-tenant"): Verb(
        "create_tenant",
        "Create a tenant",
        (
            'scaiwave admin create-tenant --slug acme --name "Acme Corp" '
            "--scaikey-tenant-id tnt_8f3a",
            'scaiwave admin create-tenant --slug lab --name "Lab" --local',
        ),
    ),
    ("admin", "link-tenant"): Verb(
        "link_tenant",
        "Link a local tenant to a ScaiKey tenant",
        ("scaiwave admin link-tenant lab --scaikey-tenant-id tnt_8f3a",),
    ),
    ("admin", "unlink-tenant"): Verb(
        "unlink_tenant",
        "Stop syncing a tenant from ScaiKey",
        ("scaiwave admin unlink-tenant lab",),
    ),
    ("admin", "list-partners"): Verb("list_partners", "List partners with their tenants"),
    ("admin", "list-participants"): Verb(
        "list_participants",
        "List people and other participants of a tenant",
        (
            "scaiwave admin list-participants --tenant acme --status inactive",
            "scaiwave admin list-participants --tenant acme --search anna",
        ),
    ),
    ("admin", "show-participant"): Verb(
        "show_participant",
        "Show a participant and why they can't sign in",
        (
            "scaiwave admin show-participant anna@acme.example",
            "scaiwave admin show-participant @anna:chat.example.com",
        ),
    ),
    ("admin", "suspend-participant"): Verb(
        "suspend_participant",
        "Suspend a participant manually",
        ('scaiwave admin suspend-participant anna@acme.example --reason "lost laptop"',),
    ),
    ("admin", "resume-participant"): Verb(
        "resume_participant",
        "Lift a participant's manual suspension",
        ("scaiwave admin resume-participant anna@acme.example",),
    ),
    ("admin", "purge-participant"): Verb(
        "purge_participant",
        "Erase the data of people removed from ScaiKey",
        (
            "scaiwave admin purge-participant @anna:chat.example.com --dry-run",
            "scaiwave admin purge-participant --purge-after 90 --yes",
            "scaiwave admin purge-participant --purge-after 90 --tenant acme --limit 500",
        ),
    ),
    ("admin", "list-groups"): Verb(
        "list_groups",
        "List groups of a tenant",
        ("scaiwave admin list-groups --tenant acme",),
    ),
    ("admin", "show-group"): Verb(
        "show_group",
        "Show a group and its members",
        ("scaiwave admin show-group Engineering --tenant acme",),
    ),
    ("admin", "update-tenant"): Verb(
        "update_tenant",
        "Change a tenant's limits and features",
        (
            "scaiwave admin update-tenant acme --max-participants 200 --max-storage-mb none",
            "scaiwave admin update-tenant acme --feature search.semantic=true",
            "scaiwave admin update-tenant acme --sync-removals off",
            'scaiwave admin update-tenant lab --name "The Lab" --dry-run',
        ),
    ),
    ("admin", "suspend-tenant"): Verb(
        "suspend_tenant",
        "Suspend a tenant manually",
        ('scaiwave admin suspend-tenant acme --reason "unpaid since May"',),
    ),
    ("admin", "resume-tenant"): Verb(
        "resume_tenant",
        "Lift a tenant's manual suspension",
        ("scaiwave admin resume-tenant acme",),
    ),
    ("admin", "create-partner"): Verb(
        "create_partner",
        "Create a local partner",
        ('scaiwave admin create-partner --slug northwind --name "Northwind" --max-tenants 20',),
    ),
    ("admin", "show-partner"): Verb(
        "show_partner",
        "Show a partner's status, limits and tenants",
        ("scaiwave admin show-partner northwind",),
    ),
    ("admin", "update-partner"): Verb(
        "update_partner",
        "Change a local partner",
        (
            "scaiwave admin update-partner northwind --max-tenants 30",
            'scaiwave admin update-partner northwind --name "Northwind Traders" --dry-run',
        ),
    ),
    ("admin", "suspend-partner"): Verb(
        "suspend_partner",
        "Suspend a partner manually, with all its tenants",
        ('scaiwave admin suspend-partner northwind --reason "contract ended"',),
    ),
    ("admin", "resume-partner"): Verb(
        "resume_partner",
        "Lift a partner's manual suspension",
        ("scaiwave admin resume-partner northwind",),
    ),
    ("admin", "create-workspace"): Verb(
        "create_workspace",
        "Create a workspace",
        (
            'scaiwave admin create-workspace --tenant acme --slug sales --name "Sales" '
            "--owner anna@acme.example",
        ),
    ),
    ("admin", "create-administrator"): Verb(
        "create_administrator",
        "Create an account for the admin site",
        (
            "scaiwave admin create-administrator anna --email anna@example.com",
            "scaiwave admin create-administrator anna --password-file password.txt",
        ),
    ),
    ("admin", "list-administrators"): Verb(
        "list_administrators", "List the accounts of the admin site"
    ),
    ("admin", "disable-administrator"): Verb(
        "disable_administrator",
        "Disable an account of the admin site",
        ("scaiwave admin disable-administrator anna",),
    ),
    ("admin", "enable-administrator"): Verb(
        "enable_administrator",
        "Enable a disabled account of the admin site",
        ("scaiwave admin enable-administrator anna",),
    ),
    ("admin", "reset-administrator-password"): Verb(
        "reset_administrator_password",
        "Set a new password for the admin site",
        (
            "scaiwave admin reset-administrator-password anna",
            "scaiwave admin reset-administrator-password anna --password-file password.txt",
        ),
    ),
    ("admin", "remove-administrator"): Verb(
        "remove_administrator",
        "Delete an account of the admin site",
        ("scaiwave admin remove-administrator anna --no-input",),
        # Deletes also what the applications of the admin site store about the account.
        profile="full",
    ),
    ("admin", "prune"): Verb(
        "prune",
        "Delete old records",
        (
            "scaiwave admin prune --dry-run",
            "scaiwave admin prune --quiet",
            "scaiwave admin prune --audit-older-than 3650",
        ),
    ),
    ("admin", "record-figures"): Verb(
        "record_figures",
        "Record today's size of this server, for charts",
        ("scaiwave admin record-figures", "scaiwave admin record-figures --dry-run"),
    ),
    ("admin", "refresh-usage"): Verb(
        "refresh_usage",
        "Fetch this month's AI token usage from ScaiGrid",
        ("scaiwave admin refresh-usage", "scaiwave admin refresh-usage --dry-run"),
    ),
    ("admin", "audit"): Verb(
        "list_audit",
        "Show the audit log",
        (
            "scaiwave admin audit --tenant acme --since 7d",
            "scaiwave admin audit --operator anna@example.com --action suspend-tenant",
            "scaiwave admin audit --jsonl --after 019aab53-0000-7000-8000-000000000000",
        ),
    ),
    ("admin", "audit", "seal"): Verb(
        "seal_audit",
        "Seal the days of the audit log that have ended",
        ("scaiwave admin audit seal", "scaiwave admin audit seal --dry-run"),
    ),
    ("admin", "audit", "verify"): Verb(
        "verify_audit",
        "Verify the audit log, or an export of it",
        (
            "scaiwave admin audit verify",
            "scaiwave admin audit verify november.jsonl",
            "scaiwave admin audit verify november.jsonl "
            "--key ed25519:Jfn1MzY3bkVNUwQvoZ2RDJRwEOoVCHMv8E4vtMe6vsE=",
        ),
    ),
    ("admin", "audit", "export"): Verb(
        "export_audit",
        "Export sealed days of the audit log",
        (
            "scaiwave admin audit export --since 2026-11-01 --until 2026-11-30 > november.jsonl",
            "scaiwave admin audit export --since 7d > week.jsonl",
        ),
    ),
    ("admin", "federation", "key", "generate"): Verb(
        "generate_key",
        "Create this server's first signing key",
        ("scaiwave admin federation key generate",),
    ),
    ("admin", "federation", "key", "rotate"): Verb(
        "rotate_key",
        "Rotate the server's signing key",
        (
            "scaiwave admin federation key rotate",
            "scaiwave admin federation key rotate --overlap-days 7 --dry-run",
        ),
    ),
    ("admin", "federation", "key", "list"): Verb(
        "list_keys",
        "List this server's keys and their days left",
        ("scaiwave admin federation key list",),
    ),
    ("admin", "federation", "key", "revoke"): Verb(
        "revoke_key",
        "Revoke a key and all its signatures",
        (
            "scaiwave admin federation key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            "scaiwave admin federation key revoke "
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k --yes",
        ),
    ),
    ("admin", "federation", "key", "check"): Verb(
        "check_keys",
        "Check that every key decrypts and signs",
        ("scaiwave admin federation key check",),
    ),
    ("admin", "federation", "key", "reencrypt"): Verb(
        "reencrypt_keys",
        "Re-encrypt keys with the newest encryption key",
        ("scaiwave admin federation key reencrypt",),
    ),
    ("admin", "federation", "descriptor"): Verb(
        "show_descriptor",
        "Print this server's federation descriptor",
        ("scaiwave admin federation descriptor",),
    ),
    ("admin", "federation", "check-peer"): Verb(
        "check_peer",
        "Check whether federation with a server works",
        (
            "scaiwave admin federation check-peer chat.example.com",
            "scaiwave admin federation check-peer chat.example.com:8448 --dry-run --json",
        ),
    ),
    ("admin", "federation", "peer", "list"): Verb(
        "list_peers",
        "List known servers and their keys",
        ("scaiwave admin federation peer list",),
    ),
    ("admin", "federation", "peer", "show"): Verb(
        "show_peer",
        "Show the stored key of another server",
        ("scaiwave admin federation peer show chat.example.com",),
    ),
    ("admin", "federation", "peer", "forget"): Verb(
        "forget_peer",
        "Delete the stored key of another server",
        (
            "scaiwave admin federation peer forget chat.example.com",
            "scaiwave admin federation peer forget chat.example.com --yes",
        ),
    ),
    ("admin", "federation", "policy", "show"): Verb(
        "show_policy",
        "Show the federation policy",
        ("scaiwave admin federation policy show",),
    ),
    ("admin", "federation", "policy", "set"): Verb(
        "set_policy",
        "Change the federation policy",
        (
            "scaiwave admin federation policy set --default-mode invite_only "
            "--allow-peer chat.example.com",
            "scaiwave admin federation policy set --max-foreign-participants 50",
        ),
    ),
    ("role", "list"): Verb(
        "list_roles",
        "List roles with the number of their holders",
        ("scaiwave role list --tenant acme", "scaiwave role list --json"),
    ),
    ("role", "show"): Verb(
        "show_role",
        "Show a role's holders, or a participant's roles",
        (
            "scaiwave role show editors --tenant acme",
            "scaiwave role show anna@acme.example --tenant acme",
        ),
    ),
    ("role", "create"): Verb(
        "create_role",
        "Create a role",
        ('scaiwave role create --tenant acme --slug editors --name "Editors"',),
    ),
    ("role", "update"): Verb(
        "update_role",
        "Change a role's name and description",
        (
            'scaiwave role update editors --tenant acme --name "Copy editors"',
            'scaiwave role update editors --tenant acme --description "May publish" --dry-run',
        ),
    ),
    ("role", "delete"): Verb(
        "delete_role",
        "Delete a role that has no holders",
        ("scaiwave role delete editors --tenant acme",),
    ),
    ("role", "grant"): Verb(
        "grant_role",
        "Grant a role to a participant or a group",
        (
            "scaiwave role grant editors --tenant acme --to anna@acme.example",
            "scaiwave role grant editors --tenant acme --to-group Engineering",
        ),
    ),
    ("role", "revoke"): Verb(
        "revoke_role",
        "Revoke a role from a participant or a group",
        (
            "scaiwave role revoke editors --tenant acme --from anna@acme.example",
            "scaiwave role revoke editors --tenant acme --from-group Engineering --dry-run",
        ),
    ),
    ("room", "list"): Verb(
        "list_rooms",
        "List rooms of a tenant",
        (
            "scaiwave room list --tenant acme",
            "scaiwave room list --tenant acme --sort=-events --limit 10",
            "scaiwave room list --tenant acme --workspace sales --search launch --json",
        ),
    ),
    ("room", "show"): Verb(
        "show_room",
        "Show a room, its members and media",
        ("scaiwave room show launch-party --tenant acme",),
    ),
    ("room", "workspaces"): Verb(
        "list_workspaces",
        "List workspaces and who may import to them",
        ("scaiwave room workspaces --tenant acme",),
    ),
    ("room", "search"): Verb(
        "search_rooms",
        "Search a tenant's messages",
        (
            'scaiwave room search "launch date" --tenant acme',
            "scaiwave room search invoice --tenant acme --room lobby --limit 5 --json",
        ),
    ),
    ("room", "search-index"): Verb(
        "backfill_search",
        "Fill the index of room search",
        (
            "scaiwave room search-index --dry-run",
            "scaiwave room search-index --inline",
            "scaiwave room search-index --tenant acme --since 7d --inline",
        ),
    ),
    ("room", "export"): Verb(
        "export_room",
        "Export a room as a bundle to stdout",
        (
            "scaiwave room export lobby --tenant acme > lobby.zip",
            "scaiwave room export lobby --tenant acme --since 2026-11-01 --output november.zip",
            "scaiwave room export --all --tenant acme --output-dir /srv/bundles",
        ),
    ),
    ("room", "import"): Verb(
        "import_room",
        "Import a bundle from stdin as a new room",
        (
            "scaiwave room import sales --tenant acme --as anna@acme.example < bundle.zip",
            "scaiwave room import sales --tenant acme --as @anna --input bundle.zip --dry-run",
            "ssh old.example.com scaiwave room export launch --tenant acme | "
            "scaiwave room import sales --tenant acme --as @anna --once",
        ),
    ),
    ("room", "archive"): Verb(
        "archive_room",
        "Archive a room",
        ('scaiwave room archive launch-party --tenant acme --reason "project ended"',),
    ),
    ("room", "reopen"): Verb(
        "reopen_room",
        "Open an archived room again",
        ("scaiwave room reopen launch-party --tenant acme",),
    ),
    ("room", "verify"): Verb(
        "verify_bundle",
        "Verify a bundle offline",
        (
            "scaiwave room verify lobby.zip",
            "scaiwave room verify lobby.zip --descriptor chat.example.com.json --require-signature",
            "scaiwave room export lobby --tenant acme | scaiwave room verify - --json",
        ),
    ),
    ("scaigrid", "check"): Verb(
        "check_scaigrid",
        "Check the connection to ScaiGrid",
        ("scaiwave scaigrid check", "scaiwave scaigrid check --embed --tenant acme"),
    ),
    ("admin", "show-deploy-file"): Verb(
        "show_deploy_file",
        "Print a systemd unit or a proxy configuration",
        (
            "scaiwave admin show-deploy-file --list",
            "scaiwave admin show-deploy-file nginx.conf > /etc/nginx/conf.d/scaiwave.conf",
        ),
    ),
    ("worker",): Verb(
        "worker",
        "Run the jobs in Redis until stopped",
        ("scaiwave worker", "scaiwave worker --grace 120", "scaiwave worker --burst"),
    ),
    ("scheduler",): Verb(
        "scheduler",
        "Enqueue scheduled jobs until stopped",
        ("scaiwave scheduler",),
    ),
    ("jobs", "list"): Verb(
        "list_jobs",
        "List the jobs in Redis",
        ("scaiwave jobs list", "scaiwave jobs list --state failed --json"),
    ),
    ("jobs", "show"): Verb(
        "show_job",
        "Show a job with its error and how to fix it",
        ("scaiwave jobs show full_sync-1790000000",),
    ),
    ("jobs", "retry"): Verb(
        "retry_job",
        "Put a failed job into the queue again",
        ("scaiwave jobs retry full_sync-1790000000",),
    ),
    ("jobs", "delete"): Verb(
        "delete_job",
        "Delete a failed or a waiting job",
        (
            "scaiwave jobs delete full_sync-1790000000 --dry-run",
            "scaiwave jobs delete full_sync-1790000000 --yes",
        ),
    ),
    ("jobs", "clear"): Verb(
        "clear_jobs",
        "Delete failed or waiting jobs",
        ("scaiwave jobs clear", "scaiwave jobs clear --state waiting --dry-run"),
    ),
    ("doctor",): Verb(
        "doctor",
        "Check this server and suggest fixes",
        ("scaiwave doctor", "scaiwave doctor --fix", "scaiwave doctor --json"),
        profile="full",
    ),
    ("completion",): Verb(
        "completion",
        "Print the completion script of a shell",
        ("scaiwave completion bash", "scaiwave completion zsh", "scaiwave completion fish"),
    ),
    ("register",): _REGISTER,
    ("status",): _STATUS,
    ("show-config",): _SHOW_CONFIG,
    ("export-env",): _EXPORT_ENV,
}

GROUPS: frozenset[VerbPath] = frozenset(
    words[:length] for words in VERBS for length in range(1, len(words))
) - set(VERBS)


class Area(NamedTuple):
    """A heading of the help, and the management commands below it.

    The overview lists `everyday`, and the help of a group lists `commands`.
    """

    title: str
    everyday: frozenset[str]
    others: frozenset[str]

    @property
    def commands(self) -> frozenset[str]:
        return self.everyday | self.others


def _area(title: str, *everyday: str, others: str = "") -> Area:
    return Area(title, frozenset(everyday), frozenset(others.split()))


AREAS = (
    _area(
        "Sync with ScaiKey",
        "sync",
        "sync_register",
        "sync_status",
        others="sync_runs sync_show_run sync_losses sync_removals sync_approve sync_keep "
        "sync_unlock sync_show_config sync_export_env",
    ),
    _area(
        "Tenants and partners",
        "list_tenants",
        "create_tenant",
        "suspend_tenant",
        others="show_tenant link_tenant unlink_tenant update_tenant resume_tenant list_partners "
        "show_partner create_partner update_partner suspend_partner resume_partner refresh_usage "
        "record_figures",
    ),
    _area(
        "People, groups and roles",
        "show_participant",
        "grant_role",
        others="list_participants suspend_participant resume_participant purge_participant "
        "list_groups show_group list_roles show_role create_role update_role delete_role "
        "revoke_role",
    ),
    _area(
        "Rooms",
        "export_room",
        "import_room",
        others="list_rooms show_room list_workspaces create_workspace search_rooms backfill_search "
        "archive_room reopen_room verify_bundle",
    ),
    _area(
        "Federation",
        others="generate_key rotate_key list_keys revoke_key check_keys reencrypt_keys "
        "show_descriptor check_peer list_peers show_peer forget_peer show_policy set_policy",
    ),
    _area(
        "This server",
        "doctor",
        "list_audit",
        others="create_administrator list_administrators disable_administrator "
        "enable_administrator reset_administrator_password remove_administrator prune "
        "seal_audit verify_audit export_audit check_scaigrid show_deploy_file worker scheduler "
        "list_jobs show_job retry_job delete_job clear_jobs completion",
    ),
)


def find_longest_match(words: Sequence[str]) -> VerbPath:
    """Return the longest prefix of the words that is a command or a group of commands."""
    for length in range(len(words), 0, -1):
        candidate = tuple(words[:length])
        if candidate in VERBS or candidate in GROUPS:
            return candidate
    return ()


def subcommands(words: VerbPath) -> dict[VerbPath, Verb]:
    """Return the commands below these words."""
    length = len(words)
    return {
        other: verb
        for other, verb in VERBS.items()
        if len(other) > length and other[:length] == words
    }


def canonical_path(words: VerbPath) -> VerbPath | None:
    """Return the words that an alias stands for; None for words that are not an alias."""
    first = next(other for other, verb in VERBS.items() if verb is VERBS[words])
    return first if first != words else None
