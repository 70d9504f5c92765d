"""Store the overviews of the admin site for a minute: every web process shows the same row.

There is one for each scope of a role. No one reads the overview of another scope.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from hashlib import blake2b

from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator
from scaiwave.operations.overview.build import build_overview
from scaiwave.site.overview import Stored
from tenants.models import StoredOverview

MAX_AGE = timedelta(seconds=60)
LOCK = "overview"
MAX_WAIT_SECONDS = 10.0
"""How long a request waits for the one that builds it. After that it builds one itself."""
POLL_SECONDS = 0.05
FORM = "tasks "
"""What the scopes of documents of this form begin with. Another release that runs at the same time,
during an upgrade, has documents of its own."""


def load_overview(
    now: datetime, operator: Operator | None = None, after: datetime | None = None
) -> Stored:
    """Return the stored overview, or build it if it is not from this minute by the clock.

    `operator` is someone who sees only some tenants; without one it is about the whole server.
    `after` is the last act of the reader: an overview from before it is built again for them.

    If several requests find an old one, one builds it, and the others wait. It is built outside of
    a transaction, which on SQLite would keep all others from writing, even while Redis does not
    answer.
    """
    scope = name_scope(operator)
    if len(scope) > StoredOverview.MAX_SCOPE_CHARS:  # This server has no such tenant or partner.
        return build_overview(now, operator)
    lock = LOCK
    if scope != StoredOverview.SERVER:
        lock += f"-{blake2b(scope.encode(), digest_size=8).hexdigest()}"
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (document := _find_document(scope, now, after)) is None:
        with process_lock(lock) as is_free:
            if is_free or time.monotonic() >= deadline:
                return _find_document(scope, now, after) or _build(scope, now, operator)
        time.sleep(POLL_SECONDS)
    return document


def name_scope(operator: Operator | None) -> str:
    """Return the name of what an operator sees. Two operators with the same one see the same.

    Raises ValueError for an operator who is not limited to a partner or a tenant.
    """
    if operator is None:
        return FORM + StoredOverview.SERVER
    key = operator.partner_id or operator.tenant_id
    if operator.sees_everything or not key:
        raise ValueError(f"{operator.role.value} has no scope.")
    return f"{FORM}{operator.role.value} {key}"


def _build(scope: str, now: datetime, operator: Operator | None) -> Stored:
    """Build the overview, and replace the stored one. Others that are old are deleted: their
    readers may never return."""
    document = build_overview(now, operator)
    StoredOverview.objects.exclude(scope=scope).filter(built_at__lt=now - MAX_AGE).delete()
    StoredOverview.objects.bulk_create(
        [StoredOverview(scope=scope, built_at=now, document=document)],
        update_conflicts=True,
        unique_fields=["scope"],
        update_fields=["built_at", "document"],
    )
    return document


def _find_document(scope: str, now: datetime, after: datetime | None) -> Stored | None:
    """Return a recent overview. The request that built it may have begun after this one."""
    stored = StoredOverview.objects.filter(scope=scope).first()
    if stored is None or abs(now - stored.built_at) >= MAX_AGE:
        return None
    if after and stored.built_at <= after:
        return None
    document: Stored = stored.document
    return document
