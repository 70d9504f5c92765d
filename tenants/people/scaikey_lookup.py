"""Look up tenants in ScaiKey before they are linked.

These are network requests, so don't call them inside a transaction.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.core.operators import Operator, Permission
from tenants.errors import ScaiKeyMismatch, ScaiKeyTenantNotFound
from tenants.lookup.restoration import require_activated
from tenants.lookup.visibility import visible_partners
from tenants.models import Partner

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord


def fetch_scaikey_tenant(
    operator: Operator, scaikey_tenant_id: str, lookup: TenantLookup | None
) -> ScaiKeyTenantRecord | None:
    """Return the tenant from ScaiKey, or None without a lookup.

    Only operators of the whole platform may skip the lookup: others could take a tenant that
    belongs to another customer in ScaiKey. Raises `ScaiKeyTenantNotFound`, even for a tenant
    that exists outside the operator's scope, and the errors of the client.
    """
    if lookup is None:
        operator.require(Permission.MANAGE_PLATFORM)
        return None
    record = lookup(scaikey_tenant_id)
    sees = operator.sees_everything
    if record is None or not (sees or record.partner_id == operator.partner_id):
        raise ScaiKeyTenantNotFound(
            f"Tenant not found in ScaiKey: {scaikey_tenant_id}.",
            fix="Check the ID in ScaiKey. If the tenant will be created there later, add "
            "--no-verify.",
        )
    return record


def find_partner(operator: Operator, record: ScaiKeyTenantRecord) -> Partner | None:
    """Return the partner that owns the tenant in ScaiKey, if this server has it."""
    return visible_partners(operator).filter(scaikey_id=record.partner_id or None).first()


def validate_match(
    record: ScaiKeyTenantRecord, *, slug: str, name: str, partner: Partner | None
) -> None:
    """Raises `ScaiKeyMismatch` if the next sync would change the requested values.

    Values that ScaiKey leaves empty are not compared; `partner` is None if none was requested.
    """
    if (record.slug and record.slug != slug) or (record.name and record.name != name):
        scaikey_slug, scaikey_name = record.slug or slug, record.name or name
        raise ScaiKeyMismatch(
            f"In ScaiKey, tenant {record.id} has the slug {scaikey_slug!r} and the name "
            f"{scaikey_name!r}. The next sync would apply these.",
            fix=f"Pass --slug {shlex.quote(scaikey_slug)} --name {shlex.quote(scaikey_name)}, or "
            "change them in ScaiKey first.",
        )
    if partner is not None and partner.scaikey_id != (record.partner_id or None):
        scaikey_partner = f"partner {record.partner_id}" if record.partner_id else "no partner"
        raise ScaiKeyMismatch(
            f"In ScaiKey, tenant {record.id} belongs to {scaikey_partner}, not to {partner}.",
            fix="Omit --partner-id to use ScaiKey's partner, or move the tenant in ScaiKey first.",
        )


TenantLookup = Callable[[str], "ScaiKeyTenantRecord | None"]


def build_tenant_lookup(config: Configuration) -> TenantLookup:
    """Return a function that fetches one tenant from ScaiKey by its ID, or None if not found.

    It raises `NotRegistered` if this server is not registered with a ScaiKey.
    """
    # Importing httpx is slow, so only do it if a request is made.
    from scaiwave.clients.scaikey.client import scaikey_client
    from scaiwave.core.errors import NotRegistered

    def fetch_tenant(scaikey_tenant_id: str) -> ScaiKeyTenantRecord | None:
        require_activated()
        try:
            client = scaikey_client(config)
        except NotRegistered as error:
            error.fix += " Or add --no-verify to skip the check."
            raise
        with client:
            return client.get_tenant(scaikey_tenant_id)

    return fetch_tenant
