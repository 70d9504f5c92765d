"""How many tenants a partner may have."""

from __future__ import annotations

from shlex import quote

from tenants.errors import PartnerFull
from tenants.models import Partner, Tenant


def lock_partner(partner: Partner | None) -> None:
    """Lock the partner until the transaction ends, so that concurrent commands count in turn.

    Call it before a tenant is written or locked: syncs lock the two in the same order. SQLite has
    only one writer at a time.
    """
    if partner is not None:
        Partner.objects.select_for_update().get(pk=partner.pk)


def count_tenants(partner: Partner) -> int:
    """Count the tenants of a partner, as its limit does: without those removed from ScaiKey."""
    return Tenant.objects.filter(partner=partner, absent_since=None).count()


def ensure_partner_has_room(partner: Partner | None) -> None:
    """Raises `PartnerFull` if the partner can't have one more tenant.

    Syncs do not check this: ScaiKey decides which tenants it creates.
    """
    if partner is None:
        return
    limit = Partner.objects.values_list("max_tenants", flat=True).get(pk=partner.pk)
    if limit is None:
        return
    count = count_tenants(partner)
    if count < limit:
        return
    raise PartnerFull(
        f"Partner {partner} has {count:,} of {limit:,} tenants.",
        fix="Raise the partner's limit in ScaiKey, then run `scaiwave sync`."
        if partner.scaikey_id
        else "Ask an operator of the whole platform to raise the limit: `scaiwave admin "
        f"update-partner {quote(str(partner))} --max-tenants {count + 1}`.",
    )
