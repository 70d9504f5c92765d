"""The acts of tenants, partners, people, roles and accounts, as the commands do them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.utils import timezone

from scaiwave.console.text import pluralize
from scaiwave.core.bulk import BulkResult
from scaiwave.core.change import Change
from scaiwave.core.operators import Operator
from scaiwave.site.acts import (
    Act,
    ActCall,
    ReasonedSelectionForm,
    ReasonForm,
    RowForm,
    register_acts,
)
from tenants.models import Participant, Partner, Tenant
from tenants.people.partner_capacity import count_tenants
from tenants.people.queries.limits import MAX_LIMIT
from tenants.people.suspension import (
    PARTICIPANT,
    PARTNER,
    TENANT,
    SuspensionRules,
    resume,
    resume_many,
    suspend,
    suspend_many,
)
from tenants.people.tenant_limits import MAX_LIMITS, describe_usage
from tenants.people.update_partner import update_partner
from tenants.people.update_tenant import TenantUpdate, update_tenant

_LIMITED = {
    "max_participants": "Active participants",
    "max_rooms": "Rooms",
    "max_storage_mb": "Storage in MiB",
    "max_ai_tokens_month": "AI tokens a month",
    "max_tenants": "Tenants",
    "max_users_per_tenant": "Users per tenant",
    "max_applications_per_tenant": "Applications per tenant",
}


def _limit(name: str) -> forms.IntegerField:
    """Return a field that also sends the value that it was shown with, to find the changes."""
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_LIMITS.get(name, MAX_LIMIT),
        label=_LIMITED[name],
        show_hidden_initial=True,
    )


class LimitsForm(RowForm):
    """The present limits; an empty field means no limit."""

    def fit(self, operator: Operator, row: Any) -> None:
        usage = self.describe_usage(operator, row)
        for name, field in self.fields.items():
            self.initial[name] = getattr(row, name)
            in_use = f"{usage[name]} in use. " if name in usage else ""
            field.help_text = f"{in_use}Empty: no limit."

    def describe_usage(self, operator: Operator, row: Any) -> dict[str, str]:
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        if not self.errors and not self.changed_data:
            raise forms.ValidationError("Change a limit first.")
        return {"limits": {name: self.cleaned_data.get(name) for name in self.changed_data}}


class TenantLimitsForm(LimitsForm):
    max_participants = _limit("max_participants")
    max_rooms = _limit("max_rooms")
    max_storage_mb = _limit("max_storage_mb")
    max_ai_tokens_month = _limit("max_ai_tokens_month")

    def describe_usage(self, operator: Operator, row: Any) -> dict[str, str]:
        return describe_usage(operator, row, timezone.now())


class PartnerLimitsForm(LimitsForm):
    max_tenants = _limit("max_tenants")
    max_users_per_tenant = _limit("max_users_per_tenant")
    max_applications_per_tenant = _limit("max_applications_per_tenant")

    def describe_usage(self, operator: Operator, row: Any) -> dict[str, str]:
        return {"max_tenants": f"{count_tenants(row):,}"}


def _change(change: Callable[..., Change], rules: SuspensionRules[Any], call: ActCall) -> Change:
    """Only a suspension asks first."""
    undo = {"undo": f"choose Resume on the page of the {rules.kind}"}
    more: dict[str, Any] = undo if change is suspend else {"confirm": None}
    name, reason = str(call.row.pk), call.values["reason"]
    return call.run(partial(change, rules), name=name, reason=reason, **more)


def _set_removals(state: bool, call: ActCall) -> Change:
    update = TenantUpdate(sync_removals=state)
    return call.run(update_tenant, tenant=str(call.row.pk), update=update)


def _change_tenant_limits(call: ActCall) -> Change:
    """Ask before a limit is set that current usage exceeds."""
    update = TenantUpdate(limits=call.values["limits"])
    change = partial(call.run, update_tenant, tenant=str(call.row.pk), update=update)
    if warnings := change(dry_run=True).warnings:
        call.confirm(" ".join(warnings))
    return change()


def _change_partner_limits(call: ActCall) -> Change:
    partner, limits = call.row, call.values["limits"]
    count, limit = count_tenants(partner), limits.get("max_tenants")
    if limit is not None and limit < count:
        call.confirm(
            f"Partner {partner} exceeds the new limit: {pluralize(count, 'tenant')}, {limit:,} "
            "allowed. Nothing is deleted, and no tenant can be added."
        )
    return call.run(update_partner, partner=str(partner.pk), limits=limits)


def _change_selected(
    change: Callable[..., BulkResult], rules: SuspensionRules[Any], call: ActCall
) -> str:
    """Suspend or resume the selected people: all of them, or none."""
    undo = {"undo": "resume them in this list"} if change is suspend_many else {}
    names, reason = call.values["rows"], call.values["reason"]
    nouns = ("person", "people")
    return f"{call.run_for_all(partial(change, rules), nouns, names=names, reason=reason, **undo)}."


for verb, change in (("suspend", suspend_many), ("resume", resume_many)):
    register_acts(
        Act(
            f"admin {verb}-participant",
            f"{verb.capitalize()} selected",
            Participant,
            partial(_change_selected, change, PARTICIPANT),
            form=ReasonedSelectionForm,
            options="<names>",
            is_of_list=True,
            of_selection=True,
            is_destructive=verb == "suspend",
        )
    )
rules: SuspensionRules[Any]
for model, rules in ((Tenant, TENANT), (Partner, PARTNER), (Participant, PARTICIPANT)):
    register_acts(
        Act(
            f"admin suspend-{rules.kind}",
            "Suspend",
            model,
            partial(_change, suspend, rules),
            form=ReasonForm,
            is_offered=rules.can_suspend,
            is_destructive=True,
        ),
        Act(
            f"admin resume-{rules.kind}",
            "Resume",
            model,
            partial(_change, resume, rules),
            form=ReasonForm,
            is_offered=lambda row: row.suspended_by_hand_at is not None,
        ),
    )
register_acts(
    Act(
        "admin update-tenant",
        "Change limits",
        Tenant,
        _change_tenant_limits,
        TenantLimitsForm,
    ),
    Act(
        "admin update-tenant",
        "Turn removals off",
        Tenant,
        partial(_set_removals, False),
        is_offered=lambda tenant: tenant.scaikey_tenant_id is not None and tenant.sync_removals,
        options="--sync-removals off",
        get_note=lambda tenant: (
            "Until they are on again, syncs take no access from its people, "
            "also from those whom ScaiKey has removed."
        ),
    ),
    Act(
        "admin update-tenant",
        "Turn removals on",
        Tenant,
        partial(_set_removals, True),
        is_offered=lambda tenant: not tenant.sync_removals,
        options="--sync-removals on",
        get_note=lambda tenant: "The next sync takes the access that ScaiKey has taken until then.",
    ),
    Act(
        "admin update-partner",
        "Change limits",
        Partner,
        _change_partner_limits,
        PartnerLimitsForm,
        is_offered=lambda partner: partner.scaikey_id is None,
    ),
)
