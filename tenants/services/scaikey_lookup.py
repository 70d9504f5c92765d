"""What ScaiKey says of a tenant that is to be linked to it; network, so never in a transaction."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.auth.operators import Operator, Permission
from scaiwave.config import Configuration
from tenants.errors import ScaiKeyMismatch, ScaiKeyTenantNotFound
from tenants.models import Partner
from tenants.queries.visibility import visible_partners

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord


def fetch_scaikey_tenant(
    operator: Operator, scaikey_tenant_id: str, lookup: TenantLookup | None
) -> ScaiKeyTenantRecord | None:
    """The tenant as ScaiKey has it, or None when it is not to be asked.

    Not asking is for those who run the whole platform: others could take a tenant that ScaiKey
    has given to somebody else. Raises `ScaiKeyTenantNotFound`, also for a tenant outside the
    operator's scope, and what the client raises.
    """
    if lookup is None:
        operator.require(Permission.MANAGE_PLATFORM)
        return None
    row = lookup(scaikey_tenant_id)
    if row is None or not _is_in_scope(operator, row):
        raise ScaiKeyTenantNotFound(
            f"ScaiKey has no tenant {scaikey_tenant_id!r}.",
            fix="Check the id in ScaiKey. For a tenant that will be made there later, pass "
            "--no-verify.",
        )
    return row


def find_partner(operator: Operator, row: ScaiKeyTenantRecord) -> Partner | None:
    """The partner that ScaiKey names, if a sync has brought it already."""
    return visible_partners(operator).filter(scaikey_id=row.partner_id or None).first()


def validate_match(
    row: ScaiKeyTenantRecord, *, slug: str, name: str, partner: Partner | None
) -> None:
    """Raises `ScaiKeyMismatch` when the next sync would change what was asked for.

    What ScaiKey leaves out is not compared; `partner` is None when none was asked for.
    """
    if (row.slug and row.slug != slug) or (row.name and row.name != name):
        has_slug, has_name = row.slug or slug, row.name or name
        raise ScaiKeyMismatch(
            f"ScaiKey has tenant {row.id} with the slug {has_slug!r} and the name {has_name!r}, "
            "and its next sync would change yours to these.",
            fix=f"Pass --slug {shlex.quote(has_slug)} --name {shlex.quote(has_name)}, or change "
            "it in ScaiKey first.",
        )
    if partner is not None and partner.scaikey_id != (row.partner_id or None):
        has = f"partner {row.partner_id}" if row.partner_id else "no partner"
        raise ScaiKeyMismatch(
            f"ScaiKey has tenant {row.id} under {has}, not under {partner}.",
            fix="Leave out --partner-id to take ScaiKey's partner, or move the tenant in ScaiKey "
            "first.",
        )


def _is_in_scope(operator: Operator, row: ScaiKeyTenantRecord) -> bool:
    return operator.sees_everything or row.partner_id == operator.partner_id


TenantLookup = Callable[[str], "ScaiKeyTenantRecord | None"]


def build_tenant_lookup(config: Configuration) -> TenantLookup:
    """A function that asks ScaiKey for one tenant by its id; None if it has no such tenant.

    It raises `NotRegistered` where there is no ScaiKey to ask.
    """
    # httpx is worth its import only where something is asked.
    from scaiwave.clients.scaikey.client import scaikey_client
    from scaiwave.errors import NotRegistered

    def look_up(scaikey_tenant_id: str) -> ScaiKeyTenantRecord | None:
        try:
            client = scaikey_client(config)
        except NotRegistered as error:
            error.fix += " Or pass --no-verify to have it taken as given."
            raise
        with client:
            return client.get_tenant(scaikey_tenant_id)

    return look_up
