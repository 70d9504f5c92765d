"""Nothing counts as gone because a list did not show it: it is asked for by id, or walked again.

Rows move between the pages of a list while it is read (ScaiKey documents no order), so that one
can slip through a walk that looks whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from identity_sync.services.sync import fetch
from identity_sync.services.sync.scope import SyncScope
from identity_sync.services.sync.staging import copy_rows, execute, select
from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.pagination import PageIterator
from scaiwave.errors import UpstreamForbidden

# A deleted row may still be answered by id, with a status of its own. assumption: only these two
# are known to mean that it exists (ScaiKey docs, reference/api/users).
EXISTS_STATUSES = ("", "ACTIVE", "SUSPENDED")

# Asking one by one is fair up to this many; beyond, a second walk costs less.
ONE_BY_ONE = 200


def confirm_removals(client: ScaiKeyClient, reach: SyncScope, present: dict[str, int]) -> list[str]:
    """Drop from the plan what ScaiKey still has; returns warnings that say of how much.

    `present` has the kinds that were walked. Raises what the client raises, and
    `IncompleteListing`.
    """
    warnings = []
    for kind in present:
        if kind == "memberships":
            kept = _confirm_members(client)
            present[kind] -= kept  # They are left out of all counts: ScaiKey's list lacks them.
        else:
            kept = _confirm_kind(client, kind, reach)
        if kept:
            warnings.append(
                f"{kept:,} {kind} are missing from ScaiKey's list, yet ScaiKey still has them; "
                "they are left as they are."
            )
    return warnings


def _confirm_kind(client: ScaiKeyClient, kind: str, reach: SyncScope) -> int:
    execute("DELETE FROM seen_again")
    candidates = select(
        "SELECT scaikey_id FROM sync_plan WHERE kind = %s AND action = 'deactivate' LIMIT %s",
        [kind, ONE_BY_ONE + 1],
    )
    if not candidates:
        return 0
    ids = [row[0] for row in candidates]
    if len(ids) <= ONE_BY_ONE:
        copy_rows("seen_again", ((found,) for found in _still_there(client, kind, ids, reach)))
    else:
        copy_rows("seen_again", _walked_again(client, kind, reach))
    return _drop_seen(kind)


def _still_there(
    client: ScaiKeyClient, kind: str, ids: list[str], reach: SyncScope
) -> Iterator[str]:
    get: Callable[[str], Any] = {
        "partners": client.get_partner,
        "tenants": client.get_tenant,
        "participants": client.get_user,
        "groups": client.get_group,
    }[kind]

    def ask(item: str, stop: threading.Event) -> tuple[str, Any]:
        try:
            return item, get(item)
        except UpstreamForbidden:
            if reach.scope == "GLOBAL":
                raise
            return item, None  # The list was allowed, so it has moved out of our reach.

    with closing(OrderedPrefetcher(ask, workers=client.http.in_flight, name="confirm")) as ahead:
        for item in ids:
            ahead.submit(item)
        while len(ahead):
            item, row = ahead.take()
            if row is not None and _belongs(row, reach):
                yield item


def _belongs(row: Any, reach: SyncScope) -> bool:
    """Whether the row exists, and still in the tenant that was asked for."""
    same_tenant = not reach.tenant_only or getattr(row, "tenant_id", "") == reach.tenant_id
    return row.status in EXISTS_STATUSES and same_tenant


def _walked_again(client: ScaiKeyClient, kind: str, reach: SyncScope) -> Iterator[tuple[str]]:
    walk: PageIterator[Any] = client.walk(fetch.COLLECTIONS[kind], params=reach.params)  # type: ignore[call-overload]
    with walk:
        for page in walk:
            for row in page:
                yield (row.id,)
    if walk.truncated:
        raise fetch.truncated(walk, kind)


def _confirm_members(client: ScaiKeyClient) -> int:
    """Fetch the groups that seem to have lost members once more."""
    execute("DELETE FROM seen_again")
    groups = select(
        """
        SELECT DISTINCT w.scaikey_id FROM sync_plan d
        JOIN sw_group_memberships e ON e.id = d.row_id JOIN walked_rows w ON w.group_id = e.group_id
        WHERE d.kind = 'memberships' AND d.action = 'deactivate'
        """
    )
    if not groups:
        return 0
    gone: list[str] = []
    copy_rows("seen_again", _pairs_again(client, [row[0] for row in groups], gone))
    return _drop_seen("memberships") + sum(map(_drop_group, gone))


def _pairs_again(
    client: ScaiKeyClient, group_ids: list[str], gone: list[str]
) -> Iterator[tuple[str]]:
    with closing(fetch.iter_members(client, group_ids)) as answers:
        for group_id, members in answers:
            if members is None:
                gone.append(group_id)
            for member_id, _ in fetch.direct_memberships(members or []):
                yield (f"{group_id} {member_id}",)


def _drop_group(group_id: str) -> int:
    """A group that vanished meanwhile says nothing of its members: the next run sees to it."""
    return execute(
        """
        DELETE FROM sync_plan WHERE kind = 'memberships' AND action = 'deactivate'
        AND row_id IN (SELECT e.id FROM sw_group_memberships e
                       JOIN walked_rows w ON w.group_id = e.group_id WHERE w.scaikey_id = %s)
        """,
        [group_id],
    )


def _drop_seen(kind: str) -> int:
    execute("CREATE INDEX seen_again_id ON seen_again (scaikey_id)")
    dropped = execute(
        "DELETE FROM sync_plan WHERE kind = %s AND action = 'deactivate' "
        "AND scaikey_id IN (SELECT scaikey_id FROM seen_again)",
        [kind],
    )
    execute("DROP INDEX seen_again_id")
    return dropped
