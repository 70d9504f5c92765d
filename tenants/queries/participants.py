from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from django.db.models import Q

from scaiwave.auth.operators import Operator, Permission
from tenants.models import Participant
from tenants.queries.resolve import is_storable_text, resolve_tenant
from tenants.queries.serializers import Row, get_server_name, participant_row
from tenants.queries.status_filters import status_q

AT_ONCE = 2000
SEARCHED = ("display_name", "email", "local_id")


def list_participants(
    *,
    operator: Operator,
    tenant: str,
    status: str = "all",
    kind: str | None = None,
    search: str | None = None,
    limit: int | None = None,
) -> Generator[Row, None, None]:
    """The participants of one tenant by name, one at a time, so that memory does not grow with
    them. What can go wrong does so at once, not at the first row. Close it when not all is read.

    `search` is a part of a name, an e-mail address or a local id, in small or capital letters.
    """
    operator.require(Permission.VIEW)
    found = Participant.objects.filter(status_q(status), tenant=resolve_tenant(operator, tenant))
    if kind is not None:
        found = found.filter(participant_type=kind)
    if search:
        found = found.filter(_containing(search))
    return _rows(found.order_by("display_name", "pk")[:limit].iterator(chunk_size=AT_ONCE))


def _rows(participants: Iterator[Participant]) -> Generator[Row, None, None]:
    server_name = get_server_name()
    for participant in participants:
        yield participant_row(participant, server_name=server_name)


def _containing(search: str) -> Q:
    """A regular expression, since LIKE of SQLite folds the case of ASCII letters alone."""
    if not is_storable_text(search):
        return Q(pk__in=[])
    pattern = re.escape(search)
    query = Q()
    for field in SEARCHED:
        query |= Q(**{f"{field}__iregex": pattern})
    return query
