"""Figures of tenants as SQL expressions. The admin site sorts and filters by them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Case, DateTimeField, Expression, F, Func, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce, Greatest

from identity_sync.models import SyncRun, SyncSkip
from identity_sync.reasons import ON_PURPOSE, Reason
from tenants.people.queries.figures import TenantFigure, TenantTotal


def build_last_sync(now: datetime) -> Expression | Subquery:
    """Return the expression for the end of the last run that wrote to a tenant.

    A full run counts for tenants that existed at its end. NULL for local tenants.
    """
    # A range, for the reason given in TenantTotal: most runs have no tenant.
    own = SyncRun.objects.written().filter(tenant__gte=OuterRef("pk"), tenant__lte=OuterRef("pk"))
    newest = Func(F("ended_at"), function="MAX", output_field=DateTimeField())
    own_end = Subquery(own.annotate(newest=newest).values("newest"))
    last = SyncRun.objects.full().written().exclude(ended_at=None).newest_first().first()
    if last is None:
        return own_end
    # Read here: a sub-query that depends on each tenant would search all runs for some of them.
    full_end = Case(
        When(created_at__lte=last.ended_at, then=last.ended_at), output_field=DateTimeField()
    )
    end = Greatest(Coalesce(own_end, full_end), Coalesce(full_end, own_end))
    return Case(When(scaikey_tenant_id=None, then=None), default=end, output_field=DateTimeField())


LAST_SYNC = TenantFigure(build_last_sync, SyncRun)

IS_REMOVAL = Q(is_postponed=True) | Q(
    reason_code__in=(Reason.OVER_LIMIT, Reason.PENDING, *ON_PURPOSE)
)

SKIPPED_REMOVALS = TenantTotal(lambda: SyncSkip.objects.filter(IS_REMOVAL))
"""The losses of access that the last syncs skipped of a tenant."""

SKIPPED_ROWS = TenantTotal(lambda: SyncSkip.objects.exclude(IS_REMOVAL))
"""What else they skipped, such as unusable records."""
