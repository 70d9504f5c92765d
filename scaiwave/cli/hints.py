"""What to do after an unknown command: words that people try first, or the nearest command.

Imported only when a command is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from scaiwave.cli.overview import MANAGE_COMMANDS
from scaiwave.cli.verbs import GROUPS, VERBS, canonical_path, find_longest_match

_MAX_SUGGESTIONS = 3

_NO_DELETION = "Tenants are never deleted. Run `scaiwave admin suspend-tenant <tenant>` instead."
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
_NO_ROOM_DELETION = "There is no command that deletes a room."

# Words that a newcomer may type, and the command that exists or what to do without one.
HINTS: dict[str, str] = {
    "login": _SIGN_IN,
    "logout": "Unset SCAIWAVE_ADMIN_TOKEN; there is no command to sign out.",
    "version": "Run `scaiwave --version`.",
    "config": "Run `scaiwave sync show-config`.",
    "init": "Run `scaiwave manage migrate`, then `scaiwave sync register`.",
    "setup": "Run `scaiwave manage migrate`, then `scaiwave sync register`.",
    "audit": "Run `scaiwave admin audit`.",
    "history": "Run `scaiwave admin audit`.",
    "tenants": "Run `scaiwave admin list-tenants`.",
    "tenant list": "Run `scaiwave admin list-tenants`.",
    "rooms": "Run `scaiwave room list --tenant <tenant>`.",
    "roles": "Run `scaiwave role list --tenant <tenant>`.",
    "users": "Run `scaiwave admin list-participants --tenant <tenant>`.",
    "export": "Run `scaiwave room export <room> --tenant <tenant>`.",
    "import": "Run `scaiwave room import <workspace> --tenant <tenant> --as <participant>`.",
    "sync run": "Run `scaiwave sync`.",
    "sync now": "Run `scaiwave sync`.",
    "sync start": "Run `scaiwave sync`.",
    "sync history": "Run `scaiwave sync status`; it shows the last runs.",
    "sync log": "Run `scaiwave sync status`; it shows the last runs.",
    "sync unregister": "Run `scaiwave sync register --cancel` for a pending registration; revoke "
    "an approved one in ScaiKey.",
    "role assign": "Run `scaiwave role grant`.",
    "role add": "Run `scaiwave role grant`.",
    "role remove": "Run `scaiwave role revoke`, or `scaiwave role delete` for the role itself.",
    "role unassign": "Run `scaiwave role revoke`.",
    "role members": "Run `scaiwave role show <role> --tenant <tenant>`.",
    "role holders": "Run `scaiwave role show <role> --tenant <tenant>`.",
    "room create": _NO_ROOM_CREATION,
    "room delete": _NO_ROOM_DELETION,
    "room remove": _NO_ROOM_DELETION,
    "room members": "Run `scaiwave room show <room> --tenant <tenant>`.",
    "admin delete-tenant": _NO_DELETION,
    "admin remove-tenant": _NO_DELETION,
    "admin add-tenant": "Run `scaiwave admin create-tenant`.",
    "admin delete-partner": "There is no command that deletes a partner. Remove it in ScaiKey, "
    "then run `scaiwave sync`.",
    "admin list-users": "Run `scaiwave admin list-participants --tenant <tenant>`.",
    "admin list-members": "Run `scaiwave admin list-participants --tenant <tenant>`.",
    "admin list-people": "Run `scaiwave admin list-participants --tenant <tenant>`.",
    "admin show-user": "Run `scaiwave admin show-participant <participant>`.",
    "admin create-user": _PEOPLE_FROM_SCAIKEY,
    "admin delete-user": _PEOPLE_TO_ERASE,
    "admin erase-participant": _PEOPLE_TO_ERASE,
    "admin suspend-user": "Run `scaiwave admin suspend-participant <participant>`.",
    "admin create-participant": _PEOPLE_FROM_SCAIKEY,
    "admin delete-participant": _PEOPLE_TO_ERASE,
    "admin create-group": "Create groups in ScaiKey, then run `scaiwave sync`.",
    "admin delete-group": "Delete groups in ScaiKey, then run `scaiwave sync`.",
    "createsuperuser": "Run `scaiwave admin create-administrator <username>`.",
    "admin create-superuser": "Run `scaiwave admin create-administrator <username>`.",
    "admin create-admin": "Run `scaiwave admin create-administrator <username>`.",
    "admin list-rooms": "Run `scaiwave room list --tenant <tenant>`.",
    "admin list-roles": "Run `scaiwave role list --tenant <tenant>`.",
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
        return f"Run `scaiwave manage {' '.join(words)}`."
    for length in range(min(len(words), 2), 0, -1):
        if hint := HINTS.get(" ".join(words[:length])):
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
