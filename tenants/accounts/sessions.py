"""Sessions of the admin site: list and end them.

In SQL, because workers and most commands run without the applications of the admin site.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.db import transaction

from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import MAX_STATEMENT_VALUES, batched, datetime_param, execute, fetch
from scaiwave.web.session_values import OPERATOR_KEY, SIGN_IN_KEY
from tenants.accounts.prune_sessions import has_table
from tenants.accounts.queries import build_administrator_row, get_administrator
from tenants.audit.record import record_audit
from tenants.lookup.serializers import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = ChangeWords(
    "administrator",
    "Would end {sessions} of administrator {username}: {list}.",
    "Ended {sessions} of administrator {username}: {list}.",
    "Administrator {username} has no session; nothing changed.",
)


@dataclass(frozen=True)
class AdminSession:
    """A session. Only one that the form or ScaiKey began has `address` and `signed_in_at`.

    `role` is the role of someone who signed in with ScaiKey. `key` is the hash that the database
    has of the session's key.
    """

    key: str
    address: str
    signed_in_at: datetime | None
    role: str

    @property
    def id(self) -> str:
        return self.key[:16]

    @property
    def text(self) -> str:
        since = f"{self.signed_in_at:%Y-%m-%d %H:%M} UTC" if self.signed_in_at else "unknown time"
        return f"{self.address or 'unknown address'} since {since}"

    def row(self) -> Row:
        at = self.signed_in_at
        return {"id": self.id, "address": self.address or None, "signed_in_at": at}


def find_sessions(valid_at: datetime | None = None) -> dict[str, list[AdminSession]]:
    """Return the sessions of each account by its ID, the latest first; by default expired ones too.

    Reads all sessions.
    """
    found: dict[str, list[AdminSession]] = defaultdict(list)
    if not has_table("django_session"):
        return found
    from scaiwave.web.sessions import SessionStore  # slow; few commands need it

    sql = "SELECT session_key, session_data FROM django_session WHERE expire_date > %s"
    for key, data in fetch(sql, [datetime_param(valid_at or _EPOCH)]):
        values = SessionStore().decode(data)
        sign_in, at = values.get(SIGN_IN_KEY, {}), None
        if "at" in sign_in:
            at = datetime.fromtimestamp(sign_in["at"], UTC)
        session = AdminSession(
            key, sign_in.get("address", ""), at, values.get(OPERATOR_KEY, {}).get("role", "")
        )
        found[str(values.get(SESSION_KEY))].append(session)
    for sessions in found.values():
        sessions.sort(key=lambda each: each.signed_in_at or _EPOCH, reverse=True)
    return found


def delete_sessions_of(*account_ids: Any) -> None:
    """Delete the sessions of accounts. Reads all sessions."""
    if account_ids:
        sessions = find_sessions()
        _delete(each for key in account_ids for each in sessions[str(key)])


def _delete(sessions: Iterable[AdminSession]) -> None:
    for batch in batched([each.key for each in sessions], MAX_STATEMENT_VALUES):
        places = ", ".join(["%s"] * len(batch))
        execute(f"DELETE FROM django_session WHERE session_key IN ({places})", batch)  # noqa: S608


def end_sessions(
    *,
    operator: Operator,
    username: str,
    confirm: Callable[[str], None],
    now: datetime,
    session_ids: Collection[str] = (),
    dry_run: bool = False,
) -> Change:
    """End these sessions of an account, or all: its owner must sign in again.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises
    AdministratorNotFound. Sessions that have ended already don't count.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    user = get_administrator(operator, username)
    sessions = find_sessions(now)[str(user.pk)]
    ended = [each for each in sessions if not session_ids or each.id in session_ids]
    names = {
        "sessions": pluralize(len(ended), "session"),
        "list": "; ".join(each.text for each in ended),
    }
    row, rest = build_administrator_row(user), {"sessions": [each.row() for each in ended]}
    if dry_run or not ended:
        return Change(_WORDS, row, dry_run=dry_run and bool(ended), names=names, rest=rest)
    confirm(f"This ends {names['sessions']} of {user.username}: {names['list']}.")
    with transaction.atomic():
        _delete(ended)
        details = {"sessions": len(ended)}
        record_audit(operator, "end-sessions", user, now, details)
    return Change(_WORDS, row, changed=True, names=names, rest=rest)
