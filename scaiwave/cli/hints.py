"""What to do after an unknown command: words that people try first, or the nearest command.

Imported only when a command is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from shlex import join

from scaiwave.cli.overview import MANAGE_COMMANDS
from scaiwave.cli.verbs import GROUPS, VERBS, canonical_path, find_longest_match

_MAX_SUGGESTIONS = 3

_NO_DELETION = (
    "Tenants are never deleted. Run `scaiwave admin suspend-tenant <tenant>` to block it, or "
    "`scaiwave admin unlink-tenant <tenant>` to stop syncing it."
)
_NO_PARTNER_DELETION = (
    "Partners are never deleted. Run `scaiwave admin suspend-partner <partner>` to block it, or "
    "remove it in ScaiKey and run `scaiwave sync`."
)
_LIST_PEOPLE = "Run `scaiwave admin list-participants --tenant <tenant>`."
_SHOW_PERSON = "Run `scaiwave admin show-participant <participant>`."
_GROUPS_FROM_SCAIKEY = "Add, change and remove groups in ScaiKey, then run `scaiwave sync`."
_SHOW_HOLDERS = "Run `scaiwave role show <role> --tenant <tenant>`."
_RUNS = "Run `scaiwave sync runs`, and `scaiwave sync show-run <run>` for the changes of a run."
_PEOPLE_FROM_SCAIKEY = "Add, change and remove people in ScaiKey, then run `scaiwave sync`."
_PEOPLE_TO_ERASE = (
    "Remove people in ScaiKey, then run `scaiwave sync`. To erase their data afterwards, run "
    "`scaiwave admin purge-participant`."
)
_SIGN_IN = "Set SCAIWAVE_ADMIN_TOKEN to a ScaiKey token; there is no command to sign in."
_NO_ROOM_CREATION = (
    "There is no command that creates an empty room; `scaiwave room import` creates one from a "
    "bundle."
)
_CREATE_WORKSPACE = "Run `scaiwave admin create-workspace --tenant <tenant>`."

_MAX_HINT_WORDS = 4

# Words that a newcomer may type, and the command that exists or what to do without one.
HINTS: dict[str, str] = {
    "login": _SIGN_IN,
    "logout": "Unset SCAIWAVE_ADMIN_TOKEN; there is no command to sign out.",
    "version": "Run `scaiwave --version`.",
    "config": "Run `scaiwave sync show-config`.",
    "init": "Run `scaiwave manage migrate`, then `scaiwave sync register`.",
    "health": "Run `scaiwave doctor`.",
    "search": "Run `scaiwave room search <text> --tenant <tenant>`.",
    "partners": "Run `scaiwave admin list-partners`.",
    "groups": "Run `scaiwave admin list-groups --tenant <tenant>`.",
    "setup": "Run `scaiwave manage migrate`, then `scaiwave sync register`.",
    "audit": "Run `scaiwave admin audit`.",
    "history": "Run `scaiwave admin audit`.",
    "tenants": "Run `scaiwave admin list-tenants`.",
    "tenant list": "Run `scaiwave admin list-tenants`.",
    "rooms": "Run `scaiwave room list --tenant <tenant>`.",
    "roles": "Run `scaiwave role list`.",
    "users": "Run `scaiwave admin list-participants --tenant <tenant>`.",
    "export": "Run `scaiwave room export <room> --tenant <tenant>`.",
    "import": "Run `scaiwave room import <workspace> --tenant <tenant> --as <participant>`.",
    "sync run": "Run `scaiwave sync`.",
    "sync now": "Run `scaiwave sync`.",
    "sync start": "Run `scaiwave sync`.",
    "sync all": "Run `scaiwave sync`.",
    "sync trigger": "Run `scaiwave sync`.",
    "sync tenant": "Run `scaiwave sync --tenant <tenant>`.",
    "sync plan": "Run `scaiwave sync --dry-run`, or `scaiwave sync --plan <file>` to keep the "
    "plan.",
    "sync preview": "Run `scaiwave sync --dry-run`.",
    "sync diff": "Run `scaiwave sync --dry-run`.",
    "sync apply": "Run `scaiwave sync --apply <file>`.",
    "sync history": _RUNS,
    "sync log": _RUNS,
    "sync logs": _RUNS,
    "sync list": _RUNS,
    "sync show": _RUNS,
    "sync config": "Run `scaiwave sync show-config`.",
    "sync unregister": "Run `scaiwave sync register --cancel` for a pending registration; revoke "
    "an approved one in ScaiKey.",
    "role assign": "Run `scaiwave role grant`.",
    "role add": "Run `scaiwave role grant`.",
    "role remove": "Run `scaiwave role revoke`, or `scaiwave role delete` for the role itself.",
    "role unassign": "Run `scaiwave role revoke`.",
    "role holders": _SHOW_HOLDERS,
    "role info": _SHOW_HOLDERS,
    "role edit": "Run `scaiwave role update <role> --tenant <tenant>`.",
    "role rename": "Run `scaiwave role update <role> --tenant <tenant> --name <name>`.",
    "role new": "Run `scaiwave role create`.",
    "room info": "Run `scaiwave room show <room> --tenant <tenant>`.",
    "room backup": "Run `scaiwave room export <room> --tenant <tenant>`.",
    "room restore": "Run `scaiwave room import <workspace> --tenant <tenant> --as <participant>`.",
    "room close": "Run `scaiwave room archive <room> --tenant <tenant>`.",
    "room unarchive": "Run `scaiwave room reopen <room> --tenant <tenant>`.",
    "room create-workspace": _CREATE_WORKSPACE,
    "workspace create": _CREATE_WORKSPACE,
    "room find": "Run `scaiwave room search <text> --tenant <tenant>`.",
    "room list-workspaces": "Run `scaiwave room workspaces --tenant <tenant>`.",
    "room create": _NO_ROOM_CREATION,
    "room remove": "Run `scaiwave room delete <room> --tenant <tenant> --reason <text>`.",
    "room members": "Run `scaiwave room show <room> --tenant <tenant>`.",
    "admin delete-tenant": _NO_DELETION,
    "admin remove-tenant": _NO_DELETION,
    "admin add-tenant": "Run `scaiwave admin create-tenant`.",
    "admin purge-tenant": _NO_DELETION,
    "admin disable-tenant": "Run `scaiwave admin suspend-tenant <tenant>`.",
    "admin enable-tenant": "Run `scaiwave admin resume-tenant <tenant>`.",
    "admin unsuspend-tenant": "Run `scaiwave admin resume-tenant <tenant>`.",
    "admin edit-tenant": "Run `scaiwave admin update-tenant <tenant>`.",
    "admin delete-partner": _NO_PARTNER_DELETION,
    "admin remove-partner": _NO_PARTNER_DELETION,
    "admin disable-partner": "Run `scaiwave admin suspend-partner <partner>`.",
    "admin enable-partner": "Run `scaiwave admin resume-partner <partner>`.",
    "admin edit-partner": "Run `scaiwave admin update-partner <partner>`.",
    "admin add-partner": "Run `scaiwave admin create-partner`.",
    "admin list-users": _LIST_PEOPLE,
    "admin list-members": _LIST_PEOPLE,
    "admin list-people": _LIST_PEOPLE,
    "admin show-user": _SHOW_PERSON,
    "admin show-member": _SHOW_PERSON,
    "admin show-person": _SHOW_PERSON,
    "admin create-user": _PEOPLE_FROM_SCAIKEY,
    "admin add-user": _PEOPLE_FROM_SCAIKEY,
    "admin update-user": _PEOPLE_FROM_SCAIKEY,
    "admin update-participant": _PEOPLE_FROM_SCAIKEY,
    "admin remove-user": _PEOPLE_TO_ERASE,
    "admin remove-participant": _PEOPLE_TO_ERASE,
    "admin delete-user": _PEOPLE_TO_ERASE,
    "admin erase-participant": _PEOPLE_TO_ERASE,
    "admin suspend-user": "Run `scaiwave admin suspend-participant <participant>`.",
    "admin disable-user": "Run `scaiwave admin suspend-participant <participant>`.",
    "admin resume-user": "Run `scaiwave admin resume-participant <participant>`.",
    "admin enable-user": "Run `scaiwave admin resume-participant <participant>`.",
    "admin reset-password": "People sign in through ScaiKey. For the admin site, run `scaiwave "
    "manage changepassword <username>`.",
    "admin create-participant": _PEOPLE_FROM_SCAIKEY,
    "admin delete-participant": _PEOPLE_TO_ERASE,
    "admin create-group": _GROUPS_FROM_SCAIKEY,
    "admin update-group": _GROUPS_FROM_SCAIKEY,
    "admin delete-group": _GROUPS_FROM_SCAIKEY,
    "admin grant-role": "Run `scaiwave role grant <role> --tenant <tenant>`.",
    "admin assign-role": "Run `scaiwave role grant <role> --tenant <tenant>`.",
    "admin revoke-role": "Run `scaiwave role revoke <role> --tenant <tenant>`.",
    "admin create-role": "Run `scaiwave role create`.",
    "admin show-room": "Run `scaiwave room show <room> --tenant <tenant>`.",
    "admin export-room": "Run `scaiwave room export <room> --tenant <tenant>`.",
    "admin import-room": "Run `scaiwave room import <workspace> --tenant <tenant> --as "
    "<participant>`.",
    "admin list-audit": "Run `scaiwave admin audit`.",
    "admin list-keys": "Run `scaiwave admin federation key list`.",
    "admin rotate-key": "Run `scaiwave admin federation key rotate`.",
    "admin federation status": "Run `scaiwave admin federation key list` and `scaiwave admin "
    "federation policy show`.",
    "admin federation key create": "Run `scaiwave admin federation key generate`.",
    "admin federation key delete": "Keys are never deleted. Run `scaiwave admin federation key "
    "revoke <key>`.",
    "admin federation key show": "Run `scaiwave admin federation key list`.",
    "admin federation peers": "Run `scaiwave admin federation peer list`.",
    "admin federation list-peers": "Run `scaiwave admin federation peer list`.",
    "admin federation peer add": "Run `scaiwave admin federation check-peer <server>`; it stores "
    "the server's key.",
    "admin federation peer check": "Run `scaiwave admin federation check-peer <server>`.",
    "admin federation peer delete": "Run `scaiwave admin federation peer forget <server>`.",
    "admin federation peer remove": "Run `scaiwave admin federation peer forget <server>`.",
    "admin federation peer block": "Run `scaiwave admin federation policy set`.",
    "admin federation policy update": "Run `scaiwave admin federation policy set`.",
    "createsuperuser": "Run `scaiwave admin create-administrator <username>`.",
    "admin create-superuser": "Run `scaiwave admin create-administrator <username>`.",
    "admin create-admin": "Run `scaiwave admin create-administrator <username>`.",
    "changepassword": "Run `scaiwave admin reset-administrator-password <username>`.",
    "admin delete-administrator": "Run `scaiwave admin remove-administrator <username>`.",
    "admin list-admins": "Run `scaiwave admin list-administrators`.",
    "admin list-rooms": "Run `scaiwave room list --tenant <tenant>`.",
    "admin list-roles": "Run `scaiwave role list`.",
    "admin list-workspaces": "Run `scaiwave room workspaces --tenant <tenant>`.",
}


def find_fix(words: Sequence[str]) -> str:
    """Return the fix of the error for an unknown command."""
    if hint := _find_hint(words):
        return hint
    if names := suggest(words):
        quoted = [f"`scaiwave {name}`" for name in names]
        return f"Did you mean {' or '.join(filter(None, (', '.join(quoted[:-1]), quoted[-1])))}?"
    group = " ".join(("scaiwave", *find_longest_match(words)))
    return f"`{group} --help` lists the commands."


def _find_hint(words: Sequence[str]) -> str | None:
    """Return the hint for the words, which arguments of the command may follow."""
    if words and words[0] in MANAGE_COMMANDS:
        return f"Run `scaiwave manage {join(words)}`."
    for length in range(min(len(words), _MAX_HINT_WORDS), 0, -1):
        typed = " ".join(words[:length])
        # The group may have been forgotten, as in `scaiwave delete-tenant`.
        for group in ("", "admin ", "admin federation "):
            if hint := HINTS.get(group + typed):
                return hint
    return None


def suggest(words: Sequence[str]) -> list[str]:
    """Return the commands that these words may have been meant for, best first.

    The words before them may have been forgotten, as in `scaiwave list-tenants`, and arguments of
    the command may follow.
    """
    if found := _find_endings(words):
        return found
    for length in range(len(words), 0, -1):
        if found := _find_nearest(words[:length]):
            return found
    return _find_endings(words[-1:])


def _find_endings(words: Sequence[str]) -> list[str]:
    """Return commands that end with all of these words."""
    count = len(words)
    return [" ".join(path) for path in VERBS if path[-count:] == tuple(words)][:_MAX_SUGGESTIONS]


def _find_nearest(words: Sequence[str]) -> list[str]:
    """Compare what follows the words of a group with the commands of that group."""
    group = find_longest_match(words)
    typed = " ".join(words[len(group) :])
    paths = [*VERBS, *sorted(GROUPS)] if len(words) == 1 else list(VERBS)
    names = {
        " ".join(path[len(group) :]): " ".join(path)
        for path in paths
        if path[: len(group)] == group and path != group
        if len(words) == 1 or not canonical_path(path)
    }
    matches = get_close_matches(typed, names, n=_MAX_SUGGESTIONS, cutoff=0.6)
    if not matches and typed:
        matches = [name for name in names if name.startswith(typed)][:_MAX_SUGGESTIONS]
    return [names[match] for match in matches]
