"""VERBS: every verb there is, what it runs, its one line of help and its examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Words = tuple[str, ...]


class Verb(NamedTuple):
    """One verb. `command` is its management command, None while it is planned.

    `profile` trims the installed applications: `cli` for all that needs no admin site.
    """

    command: str | None
    help: str
    examples: tuple[str, ...] = ()
    profile: str = "cli"


EXIT_CODES = (
    (0, "done"),
    (1, "refused, not found, or in conflict; nothing was half done"),
    (2, "usage, configuration, or a server that can't be reached"),
    (3, "not signed in, or not allowed"),
)

_REGISTER = Verb(
    "sync_register",
    "register this server with ScaiKey",
    (
        "scaiwave sync register",
        "scaiwave sync register --url https://scaikey.example.com --scope GLOBAL "
        "--name chat --contact-email ops@example.com --wait",
    ),
)
_STATUS = Verb(
    "sync_status",
    "registration, last runs and drift",
    ("scaiwave sync status", "scaiwave sync status --no-drift --json"),
)
_SHOW_CONFIG = Verb("sync_show_config", "every setting, secrets masked, and where it comes from")
_EXPORT_ENV = Verb(
    "sync_export_env",
    "the ScaiKey settings as shell lines, secrets included",
    ('eval "$(scaiwave sync export-env)"',),
)

VERBS: dict[Words, Verb] = {
    ("sync",): Verb(
        "sync",
        "make partners, tenants, people and groups equal to ScaiKey",
        (
            "scaiwave sync",
            "scaiwave sync --dry-run",
            "scaiwave sync --tenant acme",
            "scaiwave sync --allow-removals 120",
        ),
    ),
    ("sync", "register"): _REGISTER,
    ("sync", "status"): _STATUS,
    ("sync", "show-config"): _SHOW_CONFIG,
    ("sync", "export-env"): _EXPORT_ENV,
    ("admin", "list-tenants"): Verb(
        "list_tenants",
        "tenants with members, rooms, storage and AI tokens",
        (
            "scaiwave admin list-tenants",
            "scaiwave admin list-tenants --sort members --status active",
            "scaiwave admin list-tenants --partner northwind --json",
        ),
    ),
    ("admin", "show-tenant"): Verb(
        "show_tenant", "one tenant, whole", ("scaiwave admin show-tenant acme",)
    ),
    ("admin", "create-tenant"): Verb(
        "create_tenant",
        "create a tenant",
        (
            'scaiwave admin create-tenant --slug acme --name "Acme Corp" '
            "--scaikey-tenant-id tnt_8f3a",
            'scaiwave admin create-tenant --slug lab --name "Lab" --local',
        ),
    ),
    ("admin", "link-tenant"): Verb(
        "link_tenant",
        "give a local tenant its ScaiKey tenant",
        ("scaiwave admin link-tenant lab --scaikey-tenant-id tnt_8f3a",),
    ),
    ("admin", "unlink-tenant"): Verb(
        "unlink_tenant",
        "take a tenant out of ScaiKey's hands",
        ("scaiwave admin unlink-tenant lab",),
    ),
    ("admin", "list-partners"): Verb("list_partners", "partners with their tenants"),
    ("admin", "list-participants"): Verb(
        "list_participants",
        "people and other participants of a tenant",
        (
            "scaiwave admin list-participants --tenant acme --status inactive",
            "scaiwave admin list-participants --tenant acme --search anna",
        ),
    ),
    ("admin", "show-participant"): Verb(
        "show_participant",
        "one participant: may they sign in, and if not why",
        (
            "scaiwave admin show-participant anna@acme.example",
            "scaiwave admin show-participant @anna:chat.example.com",
        ),
    ),
    ("admin", "list-groups"): Verb(
        "list_groups",
        "groups of a tenant",
        ("scaiwave admin list-groups --tenant acme",),
    ),
    ("admin", "show-group"): Verb(
        "show_group",
        "one group and its members",
        ("scaiwave admin show-group Engineering --tenant acme",),
    ),
    ("admin", "update-tenant"): Verb(None, "change a tenant's limits and features"),
    ("admin", "suspend-tenant"): Verb(None, "suspend a tenant by hand"),
    ("admin", "resume-tenant"): Verb(None, "end a tenant's suspension by hand"),
    ("admin", "create-partner"): Verb(None, "create a partner that ScaiKey hasn't"),
    ("admin", "create-administrator"): Verb(None, "make somebody who may enter the admin site"),
    ("admin", "audit"): Verb(None, "who did what to which, when and from where"),
    ("admin", "federation", "key", "generate"): Verb(None, "make this server's first key"),
    ("admin", "federation", "key", "rotate"): Verb(None, "make a new key with a 30-day overlap"),
    ("admin", "federation", "key", "list"): Verb(None, "this server's keys and their days left"),
    ("admin", "federation", "key", "revoke"): Verb(None, "let a key verify nothing any more"),
    ("admin", "federation", "key", "check"): Verb(None, "does every key decrypt and sign"),
    ("admin", "federation", "key", "reencrypt"): Verb(
        None, "encrypt the keys under the newest of SCAIWAVE_ENCRYPTION_KEYS"
    ),
    ("admin", "federation", "descriptor"): Verb(None, "what this server tells its peers"),
    ("admin", "federation", "check-peer"): Verb(None, "would the handshake with a server work"),
    ("admin", "federation", "policy", "show"): Verb(None, "whom this server federates with"),
    ("admin", "federation", "policy", "set"): Verb(None, "change whom this server federates with"),
    ("role", "list"): Verb(None, "roles of a tenant and how many hold them"),
    ("role", "show"): Verb(None, "who holds a role, or which roles somebody holds and why"),
    ("role", "create"): Verb(None, "create a role"),
    ("role", "delete"): Verb(None, "delete a role that nobody holds"),
    ("role", "grant"): Verb(None, "give a role to a participant or a group"),
    ("role", "revoke"): Verb(None, "take a role from a participant or a group"),
    ("room", "list"): Verb(None, "rooms of a tenant"),
    ("room", "show"): Verb(None, "one room, its members and media"),
    ("room", "workspaces"): Verb(None, "workspaces of a tenant and who may import there"),
    ("room", "export"): Verb(None, "write a room as a bundle to stdout"),
    ("room", "import"): Verb(None, "read a bundle from stdin into a new room"),
    ("room", "verify"): Verb(None, "check a bundle offline"),
    ("doctor",): Verb(None, "check this server, and say how to mend what is wrong"),
    ("completion",): Verb(None, "completion of the command line for a shell"),
    ("register",): _REGISTER,
    ("status",): _STATUS,
    ("show-config",): _SHOW_CONFIG,
    ("export-env",): _EXPORT_ENV,
}

GROUPS: frozenset[Words] = frozenset(
    words[:length] for words in VERBS for length in range(1, len(words))
) - set(VERBS)


def longest(words: Sequence[str]) -> Words:
    """The longest beginning of the words that is a verb or a group of verbs."""
    for length in range(len(words), 0, -1):
        candidate = tuple(words[:length])
        if candidate in VERBS or candidate in GROUPS:
            return candidate
    return ()


def below(words: Words) -> dict[Words, Verb]:
    """The verbs that begin with these words and go on."""
    length = len(words)
    return {
        other: verb
        for other, verb in VERBS.items()
        if len(other) > length and other[:length] == words
    }


def alias_of(words: Words) -> Words | None:
    """The words that this verb is listed under first, when they are others."""
    first = next(other for other, verb in VERBS.items() if verb is VERBS[words])
    return first if first != words else None


def nearest(words: Sequence[str]) -> list[str]:
    """The verbs that somebody who typed these words may have meant, best first.

    Whoever knows the last word has forgotten the ones before it (`list-tenants`).
    """
    from difflib import get_close_matches

    if same_end := [" ".join(verb) for verb in VERBS if verb[-1] == words[-1]]:
        return same_end
    names = [" ".join(verb) for verb in VERBS if not alias_of(verb) or len(words) == 1]
    return get_close_matches(" ".join(words), names, n=3, cutoff=0.6)
