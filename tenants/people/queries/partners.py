"""List partners and show one."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from django.db.models import Count

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from scaiwave.core.sql import batched
from tenants.lookup.resolve import resolve_partner
from tenants.lookup.serializers import Row, last_audit_entries, partner_row
from tenants.lookup.status_filters import MEMBERS, status_q
from tenants.lookup.visibility import visible_partners
from tenants.models import AuditEntry, Participant, Partner, Tenant

BATCH_SIZE = 500


def list_partners(*, operator: Operator, status: str = "all", limit: int | None = None) -> Page:
    """Return the partners within the operator's scope, with their active tenants and members.

    Yields one row at a time. Errors are raised at once.
    """
    operator.require(Permission.VIEW)
    partners = visible_partners(operator).filter(status_q(status)).order_by("slug", "name", "pk")
    rows = _iter_rows(partners[:limit].iterator(chunk_size=BATCH_SIZE))
    return Page(rows, count=partners.count)


def _iter_rows(partners: Iterator[Partner]) -> Generator[Row, None, None]:
    for batch in batched(partners, BATCH_SIZE):
        active = Tenant.objects.filter(status_q("active"), partner__in=batch)
        tenants = dict(active.values_list("partner").annotate(number=Count("*")))
        people = Participant.objects.filter(MEMBERS, tenant__partner__in=batch)
        members = dict(people.values_list("tenant__partner").annotate(number=Count("*")))
        for partner in batch:
            yield {
                **partner_row(partner),
                "tenants": tenants.get(partner.pk, 0),
                "members": members.get(partner.pk, 0),
            }


def show_partner(*, operator: Operator, name: str) -> Row:
    """Return everything about one partner. Raises `PartnerNotFound` or `AmbiguousName`.

    Its audit entries belong to no tenant, so only operators of the whole platform see them.
    """
    operator.require(Permission.VIEW)
    partner = resolve_partner(operator, name)
    entries = AuditEntry.objects.filter(subject_type="partner", subject_id=str(partner.pk))
    return {
        **next(_iter_rows(iter([partner]))),
        "inactive_tenants": partner.tenants.filter(status_q("inactive")).count(),
        "audit_entries": last_audit_entries(entries) if operator.sees_everything else [],
    }
