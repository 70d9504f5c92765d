"""The acts of syncs, as the command `sync` does them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse

from identity_sync.models import SyncRun
from identity_sync.sync import start_sync as service
from identity_sync.sync.start_sync import (
    SyncRequest,
    describe_allowance,
    find_refused_run,
    is_scope_of_registration,
)
from scaiwave.core.operators import Permission
from scaiwave.site.acts import Act, ActCall, ActResult, register_act
from tenants.models import Tenant

MAX_WAIT_SECONDS = 5.0
"""How long the page waits for a run to begin, in order to lead to it."""


class RemovalsForm(forms.Form):
    """The number of losses is typed, so that no one allows them without having read it."""

    number = forms.IntegerField(
        min_value=1,
        label="Number of losses of access",
        help_text="Type the number. The sync is refused if more would lose access by now.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )


def _start(call: ActCall, *, dry_run: bool) -> ActResult:
    tenant = None if call.row is None else str(call.row.pk)
    request = service.start_sync(
        operator=call.operator, tenant=tenant, dry_run=dry_run, now=call.now
    )
    return _show(call, request)


def _sync(call: ActCall) -> ActResult:
    return _start(call, dry_run=False)


def _try_sync(call: ActCall) -> ActResult:
    return _start(call, dry_run=True)


def _allow_removals(call: ActCall) -> ActResult:
    run = call.row if isinstance(call.row, SyncRun) else find_refused_run(call.row)
    request = service.allow_removals(
        operator=call.operator,
        run=run.pk if run else None,
        number=call.values["number"],
        now=call.now,
    )
    return _show(call, request)


def _show(call: ActCall, request: SyncRequest) -> ActResult:
    """Lead to the run, or to the list where it will appear.

    Operators with a limit don't see runs of all tenants.
    """
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


def _is_linked(tenant: Any) -> bool:
    return bool(tenant.scaikey_tenant_id)


def _explain_allowance(run: Any) -> str:
    text = describe_allowance(run)
    return f"{text} The page of the run of {run.started_at:%Y-%m-%d %H:%M} UTC lists whom."


def _describe_tenant_allowance(tenant: Any) -> str:
    run = find_refused_run(tenant)
    return describe_allowance(run) if run else ""


def _explain_tenant_allowance(tenant: Any) -> str:
    run = find_refused_run(tenant)
    return _explain_allowance(run) if run else ""


def _has_tenant_allowance(tenant: Any) -> bool:
    return _is_linked(tenant) and bool(_describe_tenant_allowance(tenant))


def _has_allowance(run: Any) -> bool:
    return bool(describe_allowance(run)) and find_refused_run(run.tenant) == run


def _explain_sync(row: Any) -> str:
    return (
        "Fetches all records from ScaiKey and applies what has changed, within the removal limit."
    )


def _explain_dry_run(row: Any) -> str:
    return "Fetches all records from ScaiKey and lists what a sync would change. Changes nothing."


register_act(
    Act(
        "sync",
        "Sync now",
        SyncRun,
        _sync,
        is_of_list=True,
        get_note=_explain_sync,
        is_also_for=is_scope_of_registration,
    )
)
register_act(
    Act(
        "sync",
        "Dry run",
        SyncRun,
        _try_sync,
        options="--dry-run",
        is_of_list=True,
        get_note=_explain_dry_run,
        is_also_for=is_scope_of_registration,
    )
)
register_act(
    Act(
        "sync",
        "Allow removals",
        SyncRun,
        _allow_removals,
        form=RemovalsForm,
        options="--allow-removals N",
        permission=Permission.SYNC_TENANTS,
        is_offered=_has_allowance,
        is_destructive=True,
        get_note=_explain_allowance,
    )
)
register_act(
    Act(
        "sync",
        "Sync now",
        Tenant,
        _sync,
        options="--tenant <slug>",
        permission=Permission.SYNC_TENANTS,
        is_offered=_is_linked,
        get_note=_explain_sync,
    )
)
register_act(
    Act(
        "sync",
        "Dry run",
        Tenant,
        _try_sync,
        options="--tenant <slug> --dry-run",
        permission=Permission.SYNC_TENANTS,
        is_offered=_is_linked,
        get_note=_explain_dry_run,
    )
)
register_act(
    Act(
        "sync",
        "Allow removals",
        Tenant,
        _allow_removals,
        form=RemovalsForm,
        options="--tenant <slug> --allow-removals N",
        permission=Permission.SYNC_TENANTS,
        is_offered=_has_tenant_allowance,
        is_destructive=True,
        get_note=_explain_tenant_allowance,
    )
)
