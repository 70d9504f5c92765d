"""List partners."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from django.db.models import Count

from scaiwave.auth.operators import Operator, Permission
from scaiwave.sql import batched
from tenants.models import Participant, Partner, Tenant
from tenants.queries.serializers import Row, partner_row
from tenants.queries.status_filters import MEMBERS, status_q
from tenants.queries.visibility import visible_partners

BATCH_SIZE = 500


def list_partners(
    *, operator: Operator, status: str = "all", limit: int | None = None
) -> Generator[Row, None, None]:
    """Return the partners within the operator's scope, with their active tenants and members.

    Yields one row at a time. Errors are raised at once.
    """
    operator.require(Permission.VIEW)
    partners = visible_partners(operator).filter(status_q(status)).order_by("slug", "name", "pk")
    return _iter_rows(partners[:limit].iterator(chunk_size=BATCH_SIZE))


def _iter_rows(partners: Iterator[Partner]) -> Generator[Row, None, None]:
    for batch in batched(partners, BATCH_SIZE):
        active = Tenant.objects.filter(status_q("active"), partner__in=batch)
        tenants = dict(active.values_list("partner").annotate(Count("pk")))
        people = Participant.objects.filter(MEMBERS, tenant__partner__in=batch)
        members = dict(people.values_list("tenant__partner").annotate(Count("pk")))
        for partner in batch:
            yield {
                **partner_row(partner),
                "tenants": tenants.get(partner.pk, 0),
                "members": members.get(partner.pk, 0),
            }
