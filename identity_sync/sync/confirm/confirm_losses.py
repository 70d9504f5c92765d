"""Confirm the losses of access that the lists claim: the way into this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings

from identity_sync.reasons import format_cause
from identity_sync.sync.confirm.claims import count_off
from identity_sync.sync.confirm.look_up import Confirmer
from identity_sync.sync.confirm.memberships import EdgeConfirmer
from identity_sync.sync.fetch.kinds import MEMBERSHIPS
from identity_sync.sync.fetch.lists import Fetched, Record
from identity_sync.sync.fetch.scope import ScaiKeySource
from identity_sync.sync.rules import LookupBudget, RemovalLimit
from scaiwave.core.sql import fetch


@dataclass(frozen=True)
class Confirmed:
    """The decisions about the claims of the lists in `fetched`; the claims are in temporary tables.

    `inconsistent` has the kinds whose removals stop, because records that the list omits still
    exist. `off` counts the claims that are left out because removals are turned off. `undecided`
    has the reason for each announced record about which nothing is proven.
    """

    fetched: Fetched
    inconsistent: list[str]
    warnings: list[str]
    off: int
    undecided: Mapping[Record, str]


def confirm_losses(
    source: ScaiKeySource, fetched: Fetched, limit: RemovalLimit, *, now: datetime
) -> Confirmed:
    """Decide every claim: look up each, or a sample where the claims exceed the limit.

    `now` is the time at which approvals and keeps must be valid. Raises `UpstreamUnauthorized`.
    """
    source = replace(source, scope=fetched.scope)
    budget = LookupBudget()
    if limit.allowed is None:  # With a permission for removals every claim is looked up.
        lookups = settings.CONFIG.get_int("SCAIWAVE_SYNC_LOOKUP_LIMIT")
        budget = LookupBudget(lookups, settings.CONFIG.get_int("SCAIWAVE_SYNC_LOOKUP_SECONDS"))
    records = Confirmer(source, limit, budget, now)
    records.confirm(fetched)
    if MEMBERSHIPS in fetched.kinds:
        edges = EdgeConfirmer(source, limit, budget, now, records.inconsistent, records.warnings)
        edges.confirm_edges(fetched.present[MEMBERSHIPS])
    return Confirmed(
        fetched,
        records.inconsistent,
        records.warnings,
        count_off(),
        _list_undecided(fetched.undecided) if fetched.scope.announced_only else {},
    )


def _list_undecided(fetched: Mapping[Record, str]) -> dict[Record, str]:
    """Return the undecided records of the fetch that were not decided since, and the others."""
    decided = set(fetch("SELECT kind, scaikey_id FROM confirmed_removals"))
    undecided = {record: reason for record, reason in fetched.items() if record not in decided}
    postponed = fetch(
        "SELECT DISTINCT CASE kind WHEN 'memberships' THEN 'groups' ELSE kind END, scaikey_id, "
        "note, detail FROM loss_claims WHERE state = 'postponed'"
    )
    for kind, key, note, detail in postponed:
        undecided.setdefault((kind, key), format_cause(note, detail or ""))
    return undecided
