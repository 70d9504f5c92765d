"""Nothing counts as gone because a list did not show it: it is asked for by id, or walked again.

Rows move between the pages of a list while it is read (ScaiKey documents no order), so that one
can slip through a walk that looks whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from identity_sync.services import fetch
from identity_sync.services.staging import execute, load, select
from scaiwave.clients.lookahead import Lookahead
from scaiwave.clients.scaikey import ScaiKeyClient

# A deleted row may still be answered by id, with a status of its own. assumption: only these two
# are known to mean that it exists (ScaiKey docs, reference/api/users).
EXISTS_STATUSES = ("", "ACTIVE", "SUSPENDED")

# Asking one by one is fair up to this many; beyond, a second walk costs less.
ONE_BY_ONE = 200

_IN_FLIGHT = 8


def confirm_absent(client: ScaiKeyClient, kind: str, *, params: dict[str, str] | None) -> int:
    """Drop from the plan what ScaiKey still has; returns how many that were."""
    execute("DELETE FROM seen_again")
    candidates = select(
        "SELECT DISTINCT scaikey_id FROM sync_plan WHERE kind = %s AND action = 'deactivate'",
        [kind],
    )
    if not candidates:
        return 0
    ids = [row[0] for row in candidates]
    if len(ids) <= ONE_BY_ONE:
        load("seen_again", ((found,) for found in _still_there(client, kind, ids, params)))
    else:
        load("seen_again", _walked_again(client, kind, params))
    return _drop_seen(kind)


def _still_there(
    client: ScaiKeyClient, kind: str, ids: list[str], params: dict[str, str] | None
) -> Iterator[str]:
    ask: Callable[[str], Any] = {
        "partners": client.get_partner,
        "tenants": client.get_tenant,
        "participants": client.get_user,
        "groups": client.get_group,
    }[kind]
    ahead = Lookahead(lambda item, stop: (item, ask(item)), workers=_IN_FLIGHT, name="confirm")
    try:
        for item in ids:
            ahead.submit(item)
        while len(ahead):
            item, row = ahead.take()
            if row is not None and _belongs(row, params):
                yield item
    finally:
        ahead.close()


def _belongs(row: Any, params: dict[str, str] | None) -> bool:
    """Whether the row exists, and still in the tenant that was asked for."""
    wanted = (params or {}).get("tenant_id")
    same_tenant = not wanted or getattr(row, "tenant_id", wanted) == wanted
    return row.status in EXISTS_STATUSES and same_tenant


def _walked_again(
    client: ScaiKeyClient, kind: str, params: dict[str, str] | None
) -> Iterable[tuple[Any, ...]]:
    with client.walk(fetch.COLLECTIONS[kind], params=params) as walk:  # type: ignore[call-overload]
        for page in walk:
            for row in page:
                yield (row.id,)


def confirm_members_absent(client: ScaiKeyClient) -> int:
    """Fetch the groups that seem to have lost members once more, and drop what is there."""
    execute("DELETE FROM seen_again")
    groups = select(
        """
        SELECT DISTINCT g.scaikey_id FROM sync_plan d
        JOIN sw_group_memberships e ON e.id = d.row_id JOIN sw_groups g ON g.id = e.group_id
        WHERE d.kind = 'memberships' AND d.action = 'deactivate'
        """
    )
    if not groups:
        return 0
    load("seen_again", fetch.member_pairs(client, [row[0] for row in groups]))
    return _drop_seen("memberships")


def _drop_seen(kind: str) -> int:
    execute("CREATE INDEX seen_again_id ON seen_again (scaikey_id)")
    dropped = execute(
        "DELETE FROM sync_plan WHERE kind = %s AND action = 'deactivate' "
        "AND scaikey_id IN (SELECT scaikey_id FROM seen_again)",
        [kind],
    )
    execute("DROP INDEX seen_again_id")
    return dropped
