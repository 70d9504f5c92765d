"""The acts of syncs and pending removals, as the commands do them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from identity_sync.models import OPEN_STATES, Outcome, PendingRemoval, SyncRun, Trigger
from identity_sync.removals.decide import Selection, approve_removals, keep_removals
from identity_sync.removals.queries import count_by_tenant, is_pending_q, visible_removals
from identity_sync.sync import request as service
from identity_sync.sync.request import is_scope_of_registration
from identity_sync.sync.unlock import unlock_sync
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Permission
from scaiwave.site.acts import (
    Act,
    ActCall,
    ActResult,
    ReasonedSelectionForm,
    ReasonForm,
    SelectionForm,
    register_acts,
)
from tenants.models import Tenant

MAX_WAIT_SECONDS = 5.0
"""How long the page waits for a run to begin, in order to lead to it."""


def _start(call: ActCall, tenant_id: UUID | None, *, dry_run: bool) -> ActResult:
    tenant = None if tenant_id is None else str(tenant_id)
    request = call.run(service.start_sync, tenant=tenant, dry_run=dry_run)
    # Lead to the run, or to the list: operators with a limit don't see runs of all tenants.
    if request.tenant is None and not call.operator.sees_everything:
        return ActResult(request.sentence, reverse("admin:identity_sync_syncrun_changelist"))
    if service.wait_for_run(request, MAX_WAIT_SECONDS):
        page = reverse("admin:identity_sync_syncrun_change", args=[request.run_id])
        return ActResult(f"{request.sentence} This page shows how far it is.", page)
    where = "a worker is free" if request.is_queued else "its process is ready"
    return ActResult(
        f"{request.sentence} It appears in this list as soon as {where}.",
        reverse("admin:identity_sync_syncrun_changelist"),
    )


def _report_rest(call: ActCall, sentence: str) -> str:
    """Name the number of other removals: a decision covers only the rows that were shown."""
    left = visible_removals(call.operator).filter(is_pending_q(call.now)).count()
    if left:
        sentence += f" {pluralize(left, 'other removal')} still wait{'s' * (left == 1)}."
    return sentence


def _approve_all(call: ActCall) -> str:
    """The question has the digest: if other rows wait when it is answered, it is asked again."""
    groups = count_by_tenant(call.operator, call.row.slug, call.now)
    selection = Selection(tenant=call.row.slug, expect=groups[0]["digest"] if groups else "-")

    def confirm(effect: str) -> None:
        call.confirm(f"{effect} The digest of these removals is {selection.expect}.")

    return _approve_selection(call, selection, confirm)


def _approve_selection(call: ActCall, selection: Selection, confirm: Callable[[str], None]) -> str:
    """The question names decisions of others."""
    values = {"selection": selection, "reason": "", "confirm": confirm, "override": True}
    return call.run(approve_removals, **values).sentence


def _keep_selection(call: ActCall, selection: Selection) -> str:
    values = {"selection": selection, "reason": call.values["reason"], "until": None}
    return call.run(keep_removals, **values, override=True).sentence


def _is_open(removal: PendingRemoval) -> bool:
    return removal.state in OPEN_STATES


def _offer_sync(label: str, note: str, option: str = "") -> None:
    """Register an act of the list of runs, for all tenants, and one of the page of a tenant."""

    def start(call: ActCall) -> ActResult:
        return _start(call, call.row and call.row.pk, dry_run=bool(option))

    register_acts(
        Act(
            "sync",
            label,
            SyncRun,
            start,
            options=option,
            permission=Permission.MANAGE_PLATFORM,
            is_of_list=True,
            get_note=lambda row: note,
            is_also_for=is_scope_of_registration,
        ),
        Act(
            "sync",
            label,
            Tenant,
            start,
            options=f"--tenant <slug> {option}".rstrip(),
            permission=Permission.SYNC_TENANTS,
            is_offered=lambda tenant: bool(tenant.scaikey_tenant_id),
            get_note=lambda row: note,
        ),
    )


_offer_sync(
    "Sync now",
    "Fetches all records from ScaiKey and applies the changes, within the removal limit.",
)
_offer_sync(
    "Dry run",
    "Fetches all records from ScaiKey and lists the changes of a sync. Changes nothing.",
    "--dry-run",
)
register_acts(
    Act(
        "sync",
        "Run again",
        SyncRun,
        lambda call: _start(call, call.row.tenant_id, dry_run=call.row.is_dry_run),
        options="[--dry-run] [--tenant <slug>]",
        permission=Permission.SYNC_TENANTS,
        # Syncs of single records, for webhooks, can't be repeated.
        is_offered=lambda run: run.outcome != Outcome.RUNNING and run.trigger != Trigger.WEBHOOK,
        get_note=lambda run: (
            f"Starts a new {'dry run' if run.is_dry_run else 'sync'} of "
            f"{'all tenants' if run.tenant is None else run.tenant.slug}."
        ),
    ),
    Act(
        "sync unlock",
        "Cancel this sync",
        SyncRun,
        lambda call: call.run(unlock_sync),
        # On SQLite nothing can end the process that has the lock.
        is_offered=lambda run: run.outcome == Outcome.RUNNING and connection.vendor != "sqlite",
        is_destructive=True,
    ),
    Act(
        "sync approve",
        "Approve",
        PendingRemoval,
        lambda call: _approve_selection(call, Selection([str(call.row.pk)]), call.confirm),
        options="<id>",
        permission=Permission.SYNC_TENANTS,
        is_offered=_is_open,
        is_destructive=True,
    ),
    Act(
        "sync approve",
        "Approve removals",
        Tenant,
        _approve_all,
        options="--tenant <slug> --expect <digest>",
        permission=Permission.SYNC_TENANTS,
        is_offered=lambda tenant: PendingRemoval.objects.filter(
            is_pending_q(timezone.now()), tenant=tenant
        ).exists(),
        is_destructive=True,
    ),
    Act(
        "sync approve",
        "Approve selected",
        PendingRemoval,
        lambda call: _report_rest(
            call, _approve_selection(call, Selection(call.values["rows"]), call.confirm)
        ),
        form=SelectionForm,
        options="<ids>",
        permission=Permission.SYNC_TENANTS,
        is_of_list=True,
        of_selection=True,
        is_destructive=True,
    ),
    Act(
        "sync keep",
        "Keep access of selected",
        PendingRemoval,
        lambda call: _report_rest(call, _keep_selection(call, Selection(call.values["rows"]))),
        form=ReasonedSelectionForm,
        options="<ids>",
        permission=Permission.MANAGE_TENANTS,
        is_of_list=True,
        of_selection=True,
    ),
    Act(
        "sync keep",
        "Keep access",
        PendingRemoval,
        lambda call: _keep_selection(call, Selection([str(call.row.pk)])),
        form=ReasonForm,
        options="<id>",
        permission=Permission.MANAGE_TENANTS,
        is_offered=_is_open,
    ),
)
